"""Progress of a training: the bar, the status, the metrics so far, TensorBoard's curves."""

import re
import sys
from dataclasses import replace

import pytest
import tqdm
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from recolor.manifests.pandas import read_manifest
from recolor.training import progress as module
from recolor.training.loop import train
from recolor.training.metrics import METRICS_SO_FAR
from recolor.training.progress import STATUS_FILE, TrainingStatus, delete_status, read_status, write_status


@pytest.fixture
def config(tiny):
    return replace(tiny.generator.train, steps=24, checkpoint_steps=10, validate_steps=8, metrics_steps=4)


def _interrupted(painter_loss, at):
    """A loss that interrupts the training in its step `at`, counted from 1 after resuming."""
    steps = []

    def loss(model, batch):
        steps.extend([1] * model.training)
        if len(steps) == at:
            raise KeyboardInterrupt
        return painter_loss(model, batch)

    return loss


def test_the_metrics_so_far_can_be_read_while_it_trains_and_are_gone_at_the_end(
    tmp_path, sets, make_training, painter_loss, config
):
    seen = []

    def loss(model, batch):
        if model.training:
            path = tmp_path / METRICS_SO_FAR
            seen.append(list(read_manifest(path).itertuples(index=False, name=None)) if path.exists() else [])
        return painter_loss(model, batch)

    trained = train(make_training(config, loss=loss), *sets)
    for done, metrics in enumerate(seen):  # before step done + 1
        assert metrics == [metric for metric in trained.metrics if metric[0] <= done // 4 * 4]
    assert len(seen) == 24
    assert {path.name for path in tmp_path.iterdir()} == {"workspace", "checkpoints"}


def test_the_status_tells_steps_and_loss_while_it_trains_and_is_gone_however_it_ends(
    tmp_path, sets, make_training, painter_loss, *, config, monkeypatch
):
    monkeypatch.setattr(module, "STATUS_EVERY_S", 0.0)
    seen = []
    breaks_off = _interrupted(painter_loss, 15)

    def loss(model, batch):
        if model.training:
            seen.append(read_status(tmp_path))
        return breaks_off(model, batch)

    with pytest.raises(KeyboardInterrupt):
        train(make_training(config, loss=loss), *sets)
    assert seen[0] is None
    assert [(status.step, status.steps) for status in seen[1:]] == [(step, 24) for step in range(1, 15)]
    assert all(status.images_per_s > 0 for status in seen[1:])
    assert seen[1].loss is None
    assert seen[14].loss > 0
    assert read_status(tmp_path) is None


def test_the_bar_shows_loss_rate_and_remaining_time_of_what_is_left(
    sets, make_training, painter_loss, *, config, monkeypatch, capsys
):
    bar = tqdm.tqdm
    monkeypatch.setattr(tqdm, "tqdm", lambda **how: bar(**{**how, "disable": False, "delay": 0, "mininterval": 0}))
    with pytest.raises(KeyboardInterrupt):
        train(make_training(config, loss=_interrupted(painter_loss, 14)), *sets)
    first = capsys.readouterr().err.split("\r")
    assert re.search(r"train painter +0%.*\| 0/96, ", first[1])
    assert re.search(r"\| 48/96, +[\d.]+ images/s, \d\d:\d\d left, loss \d\.\d{4}", "".join(first))
    resumed = train(make_training(config), *sets)
    second = capsys.readouterr().err.split("\r")
    assert re.search(r"train painter +42%.*\| 40/96, ", second[1])
    assert [split for _, split, _, _ in resumed.metrics[-2:]] == ["train", "val"]
    assert f"loss {resumed.metrics[-2][2]:.4f}" in second[-1]
    assert "96/96" in second[-1]


def _curves(folder):
    [run] = (folder / "tensorboard").iterdir()
    events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def _expected(metrics):
    def of(split, place):
        return [(metric[0], pytest.approx(metric[place], rel=1e-6)) for metric in metrics if metric[1] == split]

    return {"loss/train": of("train", 2), "loss/val": of("val", 2), "lr": of("train", 3)}


def test_tensorboard_has_every_step_once_though_the_training_was_broken_off(
    tmp_path, sets, make_training, painter_loss, config
):
    asked_for = replace(config, tensorboard=True)
    for at in (5, 14, 8):  # at step 5, before any checkpoint; at step 14, after a new start; at step 18
        with pytest.raises(KeyboardInterrupt):
            train(make_training(asked_for, loss=_interrupted(painter_loss, at)), *sets)
    trained = train(make_training(asked_for), *sets)
    assert _curves(tmp_path) == _expected(trained.metrics)
    assert [step for step, _ in _curves(tmp_path)["loss/train"]] == list(range(1, 25))


def test_tensorboard_asked_for_in_the_middle_has_the_steps_before_too(
    tmp_path, sets, make_training, painter_loss, config
):
    with pytest.raises(KeyboardInterrupt):
        train(make_training(config, loss=_interrupted(painter_loss, 14)), *sets)
    trained = train(make_training(replace(config, tensorboard=True)), *sets)
    assert _curves(tmp_path) == _expected(trained.metrics)


def test_tensorboard_that_was_not_asked_for_is_not_loaded(tmp_path, sets, make_training, config, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    train(make_training(config), *sets)
    assert not (tmp_path / "tensorboard").exists()


def test_a_status_is_read_as_it_was_written_and_is_gone_when_it_is_deleted(tmp_path):
    assert read_status(tmp_path) is None
    for status in (TrainingStatus(3, 400, 12.5, None), TrainingStatus(40, 400, 80.0, 3.25)):
        write_status(tmp_path, status)
        assert read_status(tmp_path) == status
    assert [path.name for path in tmp_path.iterdir()] == [STATUS_FILE]
    delete_status(tmp_path)
    delete_status(tmp_path)
    assert read_status(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
