from dataclasses import replace

import pytest
import torch

from recolor.dataset.sampler import batch_rows
from recolor.errors import TrainingError
from recolor.manifests.pandas import read_manifest
from recolor.training.checkpoint import checkpoint_paths, step_of, valid_checkpoints
from recolor.training.loop import train
from recolor.training.metrics import METRICS_SO_FAR


@pytest.fixture
def config(tiny):
    return replace(tiny.generator.train, steps=12, checkpoint_steps=2, validate_steps=12)


def _kept(tmp_path):
    return [step_of(path) for path in checkpoint_paths(tmp_path / "checkpoints" / "k")]


def _places(train_set, config, step):
    rows = batch_rows(train_set.rows, config.batch_images, config.seed, step)
    return ", ".join(f"image {row}.jpg (shard-00000.npy row {row})" for row in rows)


def test_a_loss_that_is_not_a_number_names_step_shard_rows_and_checkpoint(
    tmp_path, sets, make_training, painter_loss, config
):
    calls = []

    def breaks(model, batch):
        calls.extend([1] * model.training)
        return painter_loss(model, batch) * (float("nan") if len(calls) == 6 else 1)

    with pytest.raises(TrainingError) as error:
        train(make_training(config, loss=breaks), *sets)
    message = str(error.value)
    assert message.startswith("painter: loss nan, gradient norm nan at step 6. Lower painter.train.lr, or look at")
    assert f"Last good checkpoint: {tmp_path}/checkpoints/k/step-00000004-" in message
    assert message.endswith(f"Images: {_places(sets[0], config, 5)}.")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("at", [1, 4, 5])
def test_neither_the_step_that_was_not_finite_nor_any_after_it_is_saved(
    tmp_path, sets, *, make_training, painter_loss, config, value, at
):
    calls = []

    def breaks(model, batch):
        calls.extend([1] * model.training)
        return painter_loss(model, batch) + (value if len(calls) == at else 0)

    with pytest.raises(TrainingError, match=f"at step {at}\\."):
        train(make_training(config, loss=breaks), *sets)
    assert max(_kept(tmp_path), default=0) < at
    for _, checkpoint in valid_checkpoints(tmp_path / "checkpoints" / "k"):
        assert all(tensor.isfinite().all() for tensor in (*checkpoint.model.values(), *checkpoint.ema.values()))


def test_an_infinite_gradient_is_an_error_though_the_loss_is_finite(sets, make_training, painter_loss, config):
    def steep(model, batch):
        return (model(batch.L) * 0).abs().sum().sqrt() + painter_loss(model, batch)

    with pytest.raises(TrainingError, match=r"gradient norm (nan|inf) at step 1\..*checkpoint: none yet"):
        train(make_training(config, loss=steep), *sets)


def _infinite_variance(state):
    state["norm.running_var"].fill_(float("inf"))


def _infinite_weight(state):
    state["conv.bias"][0] = float("inf")


@pytest.mark.parametrize("poison", [_infinite_variance, _infinite_weight])
def test_infinite_statistics_after_a_finite_loss_are_never_saved(
    tmp_path, sets, *, make_training, painter_loss, config, poison
):
    calls = []

    def loss(model, batch):
        value = painter_loss(model, batch)
        calls.extend([1] * model.training)
        if len(calls) == 4:
            poison({name: tensor.data for name, tensor in model.state_dict().items()})  # without autograd
        return value

    with pytest.raises(TrainingError, match=r"weights, statistics or moments not finite at step 4\..*step-00000002"):
        train(make_training(config, loss=loss), *sets)
    assert _kept(tmp_path) == [2]


def test_a_validation_loss_that_is_not_finite_names_the_images_of_the_val_split(
    tmp_path, sets, make_training, painter_loss, config
):
    def loss(model, batch):
        return painter_loss(model, batch) if model.training else torch.tensor(float("nan"))

    message = r"validation loss nan at step 6\..*step-00000004.*Images: image 12\.jpg \(shard-00000\.npy row 12\), "
    with pytest.raises(TrainingError, match=message):
        train(make_training(replace(config, validate_steps=6), loss=loss), *sets)
    assert _kept(tmp_path) == [2, 4]


def test_the_metrics_file_has_the_steps_before_the_error(tmp_path, sets, make_training, painter_loss, config):
    calls = []

    def breaks(model, batch):
        calls.extend([1] * model.training)
        return painter_loss(model, batch) * (float("nan") if len(calls) == 6 else 1)

    with pytest.raises(TrainingError):
        train(make_training(replace(config, metrics_steps=100), loss=breaks), *sets)
    assert list(read_manifest(tmp_path / METRICS_SO_FAR)["step"]) == [1, 2, 3, 4, 5]
