import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from recolor.dataset.augment import make_batch
from recolor.dataset.dataset import ShardDataset
from recolor.errors import ConfigError, InputError, MissingStageError, WeightsError
from recolor.manifests.pandas import read_manifest
from recolor.models.ab_bins import AbBins
from recolor.models.encoder import Encoder
from recolor.models.files import load_generator
from recolor.pipeline.workspace import open_workspace
from recolor.training import loop, train_generator
from recolor.training.generator import colour_distribution

OUTPUTS = ("model.safetensors", "config.json", "metrics.parquet", "loss_curve.png")


def _changed(config, *, model=None, train=None, **changes):
    generator = config.generator
    return replace(
        config,
        generator=replace(
            generator,
            model=replace(generator.model, **model or {}),
            train=replace(generator.train, **train or {}),
            **changes,
        ),
    )


def test_a_training_writes_its_outputs_and_is_then_current(make_shards, tiny):
    workspace = make_shards()
    outcome = train_generator(workspace, tiny)
    assert (outcome.built, outcome.counts) == (1, {"steps": 6, "images": 12})
    folder = workspace.models / "generator"
    assert all((folder / name).stat().st_size > 0 for name in OUTPUTS)
    frame = read_manifest(folder / "metrics.parquet")
    assert list(frame.columns) == ["step", "split", "loss", "lr"]
    assert len(frame) == 8
    assert train_generator(workspace, tiny).current


@pytest.mark.slow  # a training that learns something, or two
def test_a_training_learns_that_skies_are_blue_and_ground_green(make_shards, tiny):
    workspace = make_shards(train=24)
    train_generator(workspace, _changed(tiny, train={"steps": 45, "checkpoint_steps": 45, "validate_steps": 45}))
    loaded = load_generator(workspace.models / "generator")
    dataset = ShardDataset.open(workspace, "val")
    batch = make_batch(torch.from_numpy(dataset.codes(np.arange(4))), train=tiny.generator.train, step=0, augment=False)
    ab = loaded.predict_ab(batch.L)
    assert (ab - batch.ab_small).square().mean() < 0.3 * batch.ab_small.square().mean()
    assert ab[:, 1, :4].mean() < -20  # b of the sky: blue
    assert ab[:, 0, -4:].mean() < -15  # a of the ground: green


@pytest.mark.parametrize("head", ["distribution", "regression"])
@pytest.mark.slow  # a training that learns something, or two
def test_two_workspaces_get_the_same_bytes(make_shards, tiny, head):
    config = _changed(tiny, model={"head": head})
    first, second = make_shards("first"), make_shards("second")
    train_generator(first, config)
    train_generator(second, config)
    for name in OUTPUTS:
        one, two = (workspace.models / "generator" / name for workspace in (first, second))
        assert one.read_bytes() == two.read_bytes(), name


@pytest.mark.slow  # trains twice
def test_another_temperature_or_saturation_trains_nothing_and_another_rate_trains_again(make_shards, tiny, monkeypatch):
    workspace = make_shards()
    steps = []
    original = loop.one_step
    monkeypatch.setattr(loop, "one_step", lambda *args: (steps.append(1), original(*args)))
    train_generator(workspace, tiny)
    assert len(steps) == 6
    assert not train_generator(workspace, _changed(tiny, temperature=0.9, saturation=1.5)).current
    assert len(steps) == 6
    loaded = load_generator(workspace.models / "generator")
    assert (loaded.temperature, loaded.saturation) == (0.9, 1.5)
    train_generator(workspace, _changed(tiny, train={"lr": 1e-3}))
    assert len(steps) == 12


@pytest.mark.parametrize("change", [{"device": "auto"}, {"checkpoint_steps": 5}])
def test_what_changes_no_result_trains_nothing_again(trained, tiny, change):
    assert train_generator(trained, _changed(tiny, train=change)).current


def test_the_config_file_tells_what_the_model_is(trained):
    details = json.loads((trained.models / "generator" / "config.json").read_text())
    assert details["kind"] == "generator"
    assert details["image_px"] == 64
    assert load_generator(trained.models / "generator").image_px == 64
    assert details["encoder"]["weights"] == "none"
    assert len(details["encoder"]["tensors_sha256"]) == 64
    assert sum(details["ab_distribution"]) == pytest.approx(1)
    assert details["training"]["train"]["steps"] == 6


def test_other_weights_in_the_same_file_train_again(make_shards, tiny, tmp_path):
    workspace, path = make_shards(), tmp_path / "encoder.pth"
    state = _resnet_like_state()
    torch.save(state, path)
    config = _changed(tiny, model={"encoder_weights": str(path)}, train={"steps": 3})
    train_generator(workspace, config)
    assert str(tmp_path) not in (workspace.models / "generator" / "config.json").read_text()
    assert train_generator(workspace, config).current
    torch.save({**state, "bn1.bias": state["bn1.bias"] + 1}, path)
    assert not train_generator(workspace, config).current


def _resnet_like_state():
    state = dict(Encoder(1).state_dict())
    return {**state, "conv1.weight": torch.randn(64, 3, 7, 7)}


def test_a_training_starts_from_the_weights_of_a_trained_model(trained, make_shards, tiny, tmp_path):
    second = make_shards()
    shutil.copytree(trained.models / "generator", tmp_path / "models" / "generator")
    still = {"lr": 1e-12, "weight_decay": 0.0, "steps": 3}
    config = _changed(tiny, train=still, start_from=str(tmp_path / "models"))
    train_generator(second, config)
    start, end = (load_generator(path / "generator").model for path in (tmp_path / "models", second.models))
    for name, parameter in start.named_parameters():
        torch.testing.assert_close(end.get_parameter(name), parameter, rtol=0, atol=1e-9)
    text = (second.models / "generator" / "config.json").read_text()
    assert json.loads(text)["training"]["inputs"]["start_from"].startswith("file ")
    assert str(tmp_path) not in text
    assert train_generator(second, config).current
    (tmp_path / "models" / "generator" / "model.safetensors").write_bytes(
        (second.models / "generator" / "model.safetensors").read_bytes()
    )
    assert not train_generator(second, config).current


def test_a_training_does_not_start_from_the_model_that_it_replaces(make_shards, tiny):
    workspace = make_shards()
    with pytest.raises(ConfigError, match="export models"):
        train_generator(workspace, _changed(tiny, start_from=str(workspace.models)))


def test_missing_weights_are_refused_before_the_data_is_looked_at(make_shards, tiny, monkeypatch):
    workspace = make_shards()
    monkeypatch.setattr(ShardDataset, "open", None)
    with pytest.raises(WeightsError, match="no such file"):
        train_generator(workspace, _changed(tiny, model={"encoder_weights": "gone.pth"}))


def test_without_shards_the_stage_to_run_is_named(tmp_path, tiny):
    with pytest.raises(MissingStageError, match="recolor shards build"):
        train_generator(open_workspace(tmp_path / "empty"), tiny)


def test_without_training_images_nothing_is_trained(make_shards, tiny):
    with pytest.raises(InputError, match="train"):
        train_generator(make_shards(train=0, val=3), tiny)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is there")
def test_cuda_without_cuda_is_refused(make_shards, tiny):
    with pytest.raises(ConfigError, match="cuda"):
        train_generator(make_shards(), _changed(tiny, train={"device": "cuda"}))


def test_the_colour_distribution_is_that_of_the_images(make_shards, tiny):
    dataset = ShardDataset.open(make_shards(), "train")
    shares = colour_distribution(dataset, tiny.generator.train)
    assert shares.sum().item() == pytest.approx(1)
    centres = AbBins().centres.double()
    batch = make_batch(
        torch.from_numpy(dataset.codes(np.arange(12))), train=tiny.generator.train, step=0, augment=False
    )
    torch.testing.assert_close(shares @ centres, batch.ab_small.double().mean((0, 2, 3)), rtol=0.1, atol=1.5)
