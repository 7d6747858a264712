from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from recolor.config import TrainConfig
from recolor.dataset import ShardDataset
from recolor.errors import TrainingError
from recolor.train.checkpoint import checkpoint_paths
from recolor.train.loop import train
from recolor.train.step import Training, ema_decay_at, lr_at, uses_bfloat16


class _Painter(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(2)

    def forward(self, L):
        return self.norm(self.conv(L / 100))


def _loss(model, batch):
    return (model(batch.L) - batch.ab / 110).square().mean()


def _training(tmp_path, config, loss=_loss):
    torch.manual_seed(14)
    return Training(
        name="painter", model=_Painter(), loss=loss, config=config, checkpoints=tmp_path / "checkpoints", key="k"
    )


@pytest.fixture
def sets(make_shards):
    workspace = make_shards()
    return ShardDataset.open(workspace, "train"), ShardDataset.open(workspace, "val")


def test_the_learning_rate_warms_up_then_falls_to_a_hundredth():
    config = TrainConfig(steps=100, warmup_steps=10, lr=1.0)
    rates = [lr_at(step, config) for step in range(100)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10] == pytest.approx(1.0)
    assert rates[99] == pytest.approx(0.01)
    assert all(a >= b for a, b in pairwise(rates[10:]))


def test_the_average_forgets_the_first_weights_soon_and_then_moves_slowly():
    config = TrainConfig(ema_decay=0.99)
    assert ema_decay_at(0, config) == pytest.approx(0.1)
    assert ema_decay_at(100_000, config) == 0.99


def test_the_exported_model_is_the_average_of_weights_and_statistics(tmp_path, sets, tiny):
    config = replace(tiny.generator.train, steps=3, warmup_steps=0)
    training = _training(tmp_path, config)
    seen = []

    def watched(model, batch):
        if model.training:
            seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return _loss(model, batch)

    trained = train(replace(training, loss=watched), *sets)
    # What the loss saw is the weights before each step, and the statistics before each step.
    states = [*seen[1:], training.model.state_dict()]
    expected = {name: tensor.clone() for name, tensor in seen[0].items()}
    for step, state in enumerate(states):
        decay = ema_decay_at(step, config)
        for name, value in state.items():
            expected[name] = decay * expected[name] + (1 - decay) * value if value.is_floating_point() else value
    torch.testing.assert_close(trained.model.state_dict(), expected)
    assert not trained.model.training


def test_weight_decay_spares_biases_and_norms(tmp_path, sets, tiny):
    def nothing(model, batch):
        return 0 * _loss(model, batch)

    config = replace(tiny.generator.train, steps=2, warmup_steps=0, weight_decay=0.5)
    training = _training(tmp_path, config, nothing)
    before = {name: tensor.clone() for name, tensor in training.model.named_parameters()}
    train(training, *sets)
    after = dict(training.model.named_parameters())
    assert (after["conv.weight"].abs() < before["conv.weight"].abs()).all()
    for name in ("conv.bias", "norm.weight", "norm.bias"):
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=0)


def test_metrics_have_every_step_and_validations_when_due(tmp_path, sets, tiny):
    metrics = train(_training(tmp_path, tiny.generator.train), *sets).metrics
    assert [step for step, split, _, _ in metrics if split == "train"] == [1, 2, 3, 4, 5, 6]
    assert [step for step, split, _, _ in metrics if split == "val"] == [3, 6]


def test_a_resumed_training_does_only_the_steps_after_its_checkpoint(tmp_path, sets, tiny):
    whole = train(_training(tmp_path / "whole", tiny.generator.train), *sets)
    steps = []

    def dies_at_step_five(model, batch):
        if model.training and len(steps) == 4:
            raise KeyboardInterrupt
        steps.extend([1] * model.training)
        return _loss(model, batch)

    with pytest.raises(KeyboardInterrupt):
        train(_training(tmp_path, tiny.generator.train, dies_at_step_five), *sets)
    steps = []

    def counts(model, batch):
        steps.extend([1] * model.training)
        return _loss(model, batch)

    resumed = train(_training(tmp_path, tiny.generator.train, counts), *sets)
    assert len(steps) == 2  # checkpoint_steps is 2: steps 1 to 4 were kept
    assert resumed.metrics == whole.metrics
    torch.testing.assert_close(resumed.model.state_dict(), whole.model.state_dict(), rtol=0, atol=0)


def test_a_finished_training_trains_nothing_again(tmp_path, sets, tiny):
    first = train(_training(tmp_path, tiny.generator.train), *sets)

    def never(model, batch):
        raise AssertionError("a step was done again")

    again = train(_training(tmp_path, tiny.generator.train, never), *sets)
    assert again.metrics == first.metrics
    assert len(checkpoint_paths(tmp_path / "checkpoints")) == 1


def test_a_loss_that_is_not_a_number_names_step_images_and_checkpoint(tmp_path, sets, tiny):
    calls = []

    def breaks(model, batch):
        calls.extend([1] * model.training)
        return _loss(model, batch) * (float("nan") if len(calls) == 4 else 1)

    with pytest.raises(TrainingError, match=r"painter: loss nan.* at step 4\..*step-00000002.*Images: image \d+\.jpg"):
        train(_training(tmp_path, tiny.generator.train, breaks), *sets)
    assert [path.name[:13] for path in checkpoint_paths(tmp_path / "checkpoints")] == ["step-00000002"]


def test_an_infinite_gradient_is_an_error_though_the_loss_is_finite(tmp_path, sets, tiny):
    def steep(model, batch):
        return (model(batch.L) * 0).abs().sum().sqrt() + _loss(model, batch)

    with pytest.raises(TrainingError, match="gradient norm"):
        train(_training(tmp_path, tiny.generator.train, steep), *sets)


def test_fewer_images_than_a_batch_and_no_val_split_still_train(tmp_path, make_shards, tiny, caplog):
    train_set = ShardDataset.open(make_shards(train=3, val=0), "train")
    metrics = train(_training(tmp_path, replace(tiny.generator.train, batch_images=8)), train_set, None).metrics
    assert {split for _, split, _, _ in metrics} == {"train"}
    assert "val split has no images" in caplog.text


def test_autocast_is_for_devices_that_multiply_bfloat16_unless_asked_for(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False}, raising=False)
    assert not uses_bfloat16(TrainConfig(amp="auto"), cpu)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert uses_bfloat16(TrainConfig(amp="auto"), cpu)
    assert uses_bfloat16(TrainConfig(amp="auto"), cuda)
    assert uses_bfloat16(TrainConfig(amp="bfloat16"), cpu)
    assert not uses_bfloat16(TrainConfig(amp="off"), cpu)
    assert not uses_bfloat16(TrainConfig(amp="off"), cuda)
