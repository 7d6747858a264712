from dataclasses import replace

import pytest
import torch

from recolor.dataset.dataset import ShardDataset
from recolor.training.checkpoint import checkpoint_paths, step_of
from recolor.training.loop import train
from recolor.training.step import ema_decay_at


def _scripted(painter_loss, of_validation):
    """A loss that is real in training, and in validation the given `of_validation[steps done]`."""
    steps = []

    def loss(model, batch):
        steps.extend([1] * model.training)
        return painter_loss(model, batch) if model.training else torch.tensor(of_validation[len(steps)])

    return loss


def test_the_exported_model_is_the_average_of_weights_and_statistics(sets, make_training, painter_loss, tiny):
    config = replace(tiny.generator.train, steps=3, warmup_steps=0)
    training = make_training(config)
    seen = []

    def watched(model, batch):
        if model.training:
            seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return painter_loss(model, batch)

    trained = train(replace(training, loss=watched), *sets)
    # The loss sees the weights and the batch norm statistics before each step.
    states = [*seen[1:], training.model.state_dict()]
    expected = {name: tensor.clone() for name, tensor in seen[0].items()}
    for step, state in enumerate(states):
        decay = ema_decay_at(step, config)
        for name, value in state.items():
            expected[name] = decay * expected[name] + (1 - decay) * value if value.is_floating_point() else value
    torch.testing.assert_close(trained.model.state_dict(), expected)
    assert not trained.model.training


def test_weight_decay_spares_biases_and_norms(sets, make_training, painter_loss, tiny):
    def nothing(model, batch):
        return 0 * painter_loss(model, batch)

    config = replace(tiny.generator.train, steps=2, warmup_steps=0, weight_decay=0.5)
    training = make_training(config, loss=nothing)
    before = {name: tensor.clone() for name, tensor in training.model.named_parameters()}
    train(training, *sets)
    after = dict(training.model.named_parameters())
    assert (after["conv.weight"].abs() < before["conv.weight"].abs()).all()
    for name in ("conv.bias", "norm.weight", "norm.bias"):
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=0)


def test_metrics_have_every_step_and_validations_when_due(sets, make_training, tiny):
    metrics = train(make_training(tiny.generator.train), *sets).metrics
    assert [step for step, split, _, _ in metrics if split == "train"] == [1, 2, 3, 4, 5, 6]
    assert [step for step, split, _, _ in metrics if split == "val"] == [3, 6]


def test_a_resumed_training_does_only_the_steps_after_its_checkpoint(tmp_path, sets, make_training, painter_loss, tiny):
    whole = train(make_training(tiny.generator.train, at=tmp_path / "whole"), *sets)
    steps = []

    def dies_at_step_five(model, batch):
        if model.training and len(steps) == 4:
            raise KeyboardInterrupt
        steps.extend([1] * model.training)
        return painter_loss(model, batch)

    with pytest.raises(KeyboardInterrupt):
        train(make_training(tiny.generator.train, loss=dies_at_step_five), *sets)
    steps = []

    def counts(model, batch):
        steps.extend([1] * model.training)
        return painter_loss(model, batch)

    resumed = train(make_training(tiny.generator.train, loss=counts), *sets)
    assert len(steps) == 2  # checkpoint_steps is 2: steps 1 to 4 were kept
    assert resumed.metrics == whole.metrics
    torch.testing.assert_close(resumed.model.state_dict(), whole.model.state_dict(), rtol=0, atol=0)


def test_a_finished_training_trains_nothing_again(tmp_path, sets, make_training, tiny):
    first = train(make_training(tiny.generator.train), *sets)

    def never(model, batch):
        raise AssertionError("a step was done again")

    again = train(make_training(tiny.generator.train, loss=never), *sets)
    assert again.metrics == first.metrics
    assert len(checkpoint_paths(tmp_path / "checkpoints" / "k")) == 1


def test_fewer_images_than_a_batch_and_no_val_split_still_train(make_shards, make_training, tiny, caplog):
    train_set = ShardDataset.open(make_shards(train=3, val=0), "train")
    metrics = train(make_training(replace(tiny.generator.train, batch_images=8)), train_set, None).metrics
    assert {split for _, split, _, _ in metrics} == {"train"}
    assert "val split has no images" in caplog.text


LOSSES = {2: 1.0, 4: 0.5, 6: 0.7, 8: 0.5, 10: 0.6, 12: 0.1}  # the second 0.5 is not lower than the first


def _patient(tiny, **changes):
    return replace(tiny.generator.train, **{"steps": 12, "validate_steps": 2, "checkpoint_steps": 5, **changes})


def test_patience_ends_a_training_with_the_averaged_weights_of_the_best_validation(
    sets, make_training, painter_loss, tiny
):
    averaged = {}
    scripted = _scripted(painter_loss, LOSSES)

    def loss(model, batch):
        if not model.training:
            averaged[len(averaged)] = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        return scripted(model, batch)

    trained = train(make_training(_patient(tiny, patience=3), loss=loss), *sets)
    assert [(step, value) for step, split, value, _ in trained.metrics if split == "val"] == [
        (step, pytest.approx(LOSSES[step])) for step in (2, 4, 6, 8, 10)
    ]
    assert (trained.steps, trained.planned_steps, trained.exported_step) == (10, 12, 4)
    torch.testing.assert_close(trained.model.state_dict(), averaged[1], rtol=0, atol=0)


def test_without_patience_all_steps_are_done_and_the_last_ones_average_is_exported(
    sets, make_training, painter_loss, tiny
):
    losses = {**LOSSES, 12: 0.9}
    trained = train(make_training(_patient(tiny), loss=_scripted(painter_loss, losses)), *sets)
    assert (trained.steps, trained.exported_step) == (12, 12)


def test_patience_that_is_not_lost_exports_the_best_too(sets, make_training, painter_loss, tiny):
    losses = {**LOSSES, 12: 0.9}
    trained = train(make_training(_patient(tiny, patience=5), loss=_scripted(painter_loss, losses)), *sets)
    assert (trained.steps, trained.exported_step) == (12, 4)


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_newest_checkpoints_and_the_best_are_kept_while_it_trains(
    tmp_path, sets, *, make_training, painter_loss, tiny, keep
):
    scripted, seen = _scripted(painter_loss, LOSSES), {}
    folder = tmp_path / "checkpoints" / "k"

    def loss(model, batch):
        if model.training:
            seen[len(seen)] = [step_of(path) for path in checkpoint_paths(folder)]
        return scripted(model, batch)

    train(make_training(_patient(tiny, checkpoint_steps=3, keep_checkpoints=keep), loss=loss), *sets)
    saved = [2, 3, 4, 6, 9, 12]  # each third, and where validation improved: at 2, 4 and 12
    for done, there in seen.items():
        newest = [step for step in saved if step <= done][-keep:]
        best = {2 if step < 4 else 4 for step in newest if step >= 2}
        assert there == sorted({*newest, *best}), done
    assert len(seen) == 12


def test_at_the_end_one_small_checkpoint_is_left(tmp_path, sets, make_training, painter_loss, tiny):
    folder, sizes = tmp_path / "checkpoints" / "k", []

    def loss(model, batch):
        sizes.extend(path.stat().st_size for path in checkpoint_paths(folder))
        return painter_loss(model, batch)

    train(make_training(_patient(tiny), loss=loss), *sets)
    [left] = folder.iterdir()
    assert left.name.startswith("done-00000012-")
    assert left.stat().st_size < 0.8 * min(sizes)  # the painter has few weights: most bytes are names and zip entries
