import numpy as np
import pytest
from PIL import Image

from recolor.training.curves import draw_loss_curve

RED, ORANGE = (214, 39, 40), (255, 127, 14)  # of matplotlib's tab:red and tab:orange


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
