import random
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from recolor.manifests.pandas import read_manifest
from recolor.training.metrics import (
    METRICS_SO_FAR,
    BestValidation,
    best_validation,
    draw_loss_curve,
    metrics_table,
    write_metrics_so_far,
)

RED = (214, 39, 40)  # matplotlib's tab:red


def _train(count):
    return [(step, "train", 1.0 / step, 1e-3) for step in range(1, count + 1)]


def test_the_best_validation_is_that_of_a_slow_count():
    chance = random.Random(17)
    for _ in range(200):
        losses = [chance.choice([0.1, 0.2, 0.3, 0.4]) for _ in range(chance.randrange(1, 9))]
        metrics = [
            metric for step, loss in enumerate(losses) for metric in ((step, "train", 0, 1), (step, "val", loss, 1))
        ]
        best, since = None, 0
        for step, loss in enumerate(losses):
            best, since = ((step, "val", loss, 1), 0) if best is None or loss < best[2] else (best, since + 1)
        assert best_validation(metrics) == BestValidation(best, since)


def test_before_the_first_validation_there_is_no_best():
    assert best_validation(_train(3)) == BestValidation(None, 0)


def test_no_metrics_are_an_empty_table():
    assert metrics_table([]).num_rows == 0


def test_the_metrics_file_is_rewritten_when_it_has_grown_by_one_percent(tmp_path):
    written, rows, metrics = [], 0, _train(3000)
    for step in range(10, 3001, 10):
        now = write_metrics_so_far(tmp_path, metrics[:step], rows)
        if now != rows:
            written.append(step)
        rows = now
    assert written[:100] == list(range(10, 1001, 10))
    assert all(1.01 < later / earlier < 1.03 for earlier, later in pairwise(written[100:]))
    assert len(written) < 190
    assert [path.name for path in tmp_path.iterdir()] == [METRICS_SO_FAR]
    assert list(read_manifest(tmp_path / METRICS_SO_FAR)["step"]) == list(range(1, written[-1] + 1))


def test_a_file_of_another_training_is_replaced(tmp_path):
    write_metrics_so_far(tmp_path, _train(500), 0)
    assert write_metrics_so_far(tmp_path, _train(4), 0) == 4
    assert len(read_manifest(tmp_path / METRICS_SO_FAR)) == 4


def test_a_metrics_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    write_metrics_so_far(tmp_path, _train(4), 0)

    def full(*arguments, **more):
        raise OSError("No space left on device")

    monkeypatch.setattr("recolor.training.metrics.write_manifest", full)
    with pytest.raises(OSError, match="No space"):
        write_metrics_so_far(tmp_path, _train(8), 4)
    assert len(read_manifest(tmp_path / METRICS_SO_FAR)) == 4


def _metrics(steps=120):
    trained = [(step, "train", 1 / step, 1e-3) for step in range(1, steps)]
    return [*trained, *((step, "val", abs(step - 60) / 60 + 0.2, 1e-3) for step in range(20, steps, 20))]


def _pixels(path, colour):
    with Image.open(path) as image:
        return int((np.asarray(image.convert("RGB")) == colour).all(-1).sum())


def test_the_same_metrics_give_the_same_picture(tmp_path):
    draw_loss_curve(_metrics(), "generator", tmp_path / "a.png", planned_steps=200)
    draw_loss_curve(_metrics(), "generator", tmp_path / "b.png", planned_steps=200)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (700, 400)
        assert "Software" not in image.info


def test_a_single_step_can_be_drawn(tmp_path):
    draw_loss_curve([(1, "train", 0.5, 1e-3)], "generator", tmp_path / "one.png", planned_steps=1)
    assert (tmp_path / "one.png").stat().st_size > 0


@pytest.mark.parametrize(("planned_steps", "stopped"), [(119, False), (120, True)])
def test_an_early_stop_is_marked(tmp_path, planned_steps, stopped):
    draw_loss_curve(_metrics(), "generator", tmp_path / "a.png", planned_steps=planned_steps)
    assert (_pixels(tmp_path / "a.png", RED) > 100) == stopped


def test_the_best_validation_is_marked(tmp_path, monkeypatch):
    drawn = {}
    plot = "matplotlib.axes.Axes.plot"
    monkeypatch.setattr(plot, lambda axes, *data, label=None, **style: drawn.update({label: data}))
    monkeypatch.setattr("matplotlib.axes.Axes.legend", lambda axes: None)
    draw_loss_curve(_metrics(), "generator", tmp_path / "a.png", planned_steps=119)
    assert drawn["least val: 0.2 at step 60"] == (60, 0.2)
