import shutil
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import ResNet101_Weights, resnet101
from torchvision.models import _api as torchvision_api

from recolor.errors import WeightsError
from recolor.models.encoder import Encoder
from recolor.models.identity import encoder_identity
from recolor.models.weights import check_encoder_weights, load_encoder_weights, tensors_sha256


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(3)
    state = resnet101(weights=None).state_dict()
    return {name: tensor for name, tensor in state.items() if not name.startswith(("layer4", "fc"))}  # never used


@pytest.fixture
def file(state, tmp_path):
    path = tmp_path / "resnet101.pth"
    torch.save(state, path)
    return path


@pytest.fixture
def no_hub(monkeypatch, tmp_path):
    """No cached file, and every request goes to a local port without a server."""
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_a_pth_and_a_safetensors_file_give_the_same_weights(file, state, tmp_path):
    save_file(state, tmp_path / "resnet101.safetensors")
    first, second = Encoder(2), Encoder(2)
    assert load_encoder_weights(first, str(file)) == load_encoder_weights(
        second, str(tmp_path / "resnet101.safetensors")
    )
    torch.testing.assert_close(first.state_dict(), second.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(first.layer2[3].conv2.weight.data, state["layer2.3.conv2.weight"], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("key", "prefix"),
    [("state_dict", "module."), ("model_state_dict", ""), ("model", "model."), (None, "module._orig_mod.")],
)
def test_a_checkpoint_is_unwrapped(file, state, key, prefix, tmp_path):
    used = {name: tensor for name, tensor in state.items() if not name.startswith(("layer2", "layer3"))}
    wrapped = {f"{prefix}{name}": tensor for name, tensor in used.items()}
    torch.save({key: wrapped, "epoch": 7, "optimizer": {}} if key else wrapped, tmp_path / "checkpoint.pth")
    first, second = Encoder(1), Encoder(1)
    assert load_encoder_weights(first, str(file)) == load_encoder_weights(second, str(tmp_path / "checkpoint.pth"))


def test_the_name_of_imagenets_weights_is_torchvisions():
    address = ResNet101_Weights.IMAGENET1K_V2.url
    assert encoder_identity("imagenet") == f"imagenet {address.rpartition('/')[2]}"


def test_none_keeps_the_random_weights_and_sends_no_request(no_hub):
    encoder = Encoder(1)
    before = tensors_sha256(encoder.state_dict())
    assert load_encoder_weights(encoder, "none") == before
    check_encoder_weights("none")


def test_a_missing_file_is_refused_at_once():
    for ask in (check_encoder_weights, encoder_identity, lambda weights: load_encoder_weights(Encoder(1), weights)):
        with pytest.raises(WeightsError, match=r"no_such\.pth.*no such file.*imagenet.*PATH.*none"):
            ask("no_such.pth")


def test_missing_names_and_wrong_shapes_are_named(state, tmp_path):
    broken = {name: tensor for name, tensor in state.items() if name != "layer1.0.conv1.weight"}
    broken["bn1.weight"] = torch.zeros(65)
    torch.save(broken, tmp_path / "broken.pth")
    with pytest.raises(WeightsError, match=r"layer1\.0\.conv1\.weight.*bn1\.weight \(65,\) instead of \(64,\)"):
        load_encoder_weights(Encoder(1), str(tmp_path / "broken.pth"))
    with pytest.raises(WeightsError, match=r"layer1\.0\.conv1\.weight"):
        check_encoder_weights(str(tmp_path / "broken.pth"))


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_file_that_is_no_state_dict_is_refused(tmp_path, suffix):
    path = tmp_path / f"noise.{suffix}"
    path.write_bytes(b"not a state dict" * 10)
    with pytest.raises(WeightsError, match="cannot be read as a state dict"):
        check_encoder_weights(str(path))


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    torch.save({"x": shutil.rmtree}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="cannot be read as a state dict"):
        check_encoder_weights(str(tmp_path / "evil.pth"))


def test_the_identity_of_a_file_is_its_content_not_its_place(file, tmp_path):
    copy = tmp_path / "elsewhere.pth"
    shutil.copy(file, copy)
    assert encoder_identity(str(copy)) == encoder_identity(str(file))
    copy.write_bytes(copy.read_bytes() + b"x")
    assert encoder_identity(str(copy)) != encoder_identity(str(file))


def test_an_unreachable_hub_is_said_and_both_other_choices_are_named(no_hub):
    for ask in (check_encoder_weights, lambda weights: load_encoder_weights(Encoder(1), weights)):
        with pytest.raises(WeightsError, match=r"resnet101-cd907fc2\.pth cannot be downloaded.*PATH.*none"):
            ask("imagenet")


def test_a_hub_that_fails_leaves_the_encoder_as_it_was(monkeypatch):
    def fail(*args, **kwargs):
        raise URLError("no route to host")

    monkeypatch.setattr(torchvision_api, "load_state_dict_from_url", fail)
    encoder = Encoder(1)
    before = tensors_sha256(encoder.state_dict())
    with pytest.raises(WeightsError, match="no route to host"):
        load_encoder_weights(encoder, "imagenet")
    assert tensors_sha256(encoder.state_dict()) == before


def test_imagenet_takes_what_the_hub_gives_with_its_hash_checked(monkeypatch, state):
    asked = []

    def give(url, **kwargs):
        asked.append((url, kwargs["check_hash"], kwargs["weights_only"]))
        return state

    monkeypatch.setattr(torchvision_api, "load_state_dict_from_url", give)
    encoder = Encoder(1)
    load_encoder_weights(encoder, "imagenet")
    assert asked == [("https://download.pytorch.org/models/resnet101-cd907fc2.pth", True, True)]
    torch.testing.assert_close(encoder.conv1.weight.data, state["conv1.weight"].sum(1, keepdim=True), rtol=0, atol=0)


def _cache_hub_file():
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "resnet101-cd907fc2.pth").write_bytes(b"cached")


def test_a_cached_hub_file_needs_no_network(no_hub, monkeypatch):
    _cache_hub_file()
    monkeypatch.setattr("recolor.models.weights.sha256_file", lambda path: "cd907fc2" + 56 * "0")
    check_encoder_weights("imagenet")


def test_another_file_in_the_hubs_cache_is_not_taken_for_imagenet(no_hub):
    _cache_hub_file()
    with pytest.raises(WeightsError, match=r"is not torchvision's file .*cd907fc2"):
        check_encoder_weights("imagenet")
