import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recolor.evaluation.loss_curve import HEIGHT_PX, WIDTH_PX, loss_curve, read_loss_curve, ticks
from recolor.manifests.io import write_manifest
from recolor.manifests.schemas import TRAINING_METRICS
from recolor.training.metrics import metrics_table

NONE = np.empty(0)


def points(text):
    return np.array([[float(number) for number in point.split(",")] for point in text.split()])


def test_the_lines_fill_the_view_box_and_the_lowest_validation_is_marked():
    steps = np.arange(1.0, 2001.0)
    curve = loss_curve(steps, 100 / steps, steps[499::500], np.array([3.0, 2.0, 1.0, 1.5]))
    train, val = points(curve.train), points(curve.val)
    assert len(train) <= 300
    assert curve.window_steps == 40
    assert (np.diff(train[:, 0]) > 0).all()
    for line in (train, val):
        assert (line > 0).all()
        assert (line < [WIDTH_PX, HEIGHT_PX]).all()
    assert curve.best == pytest.approx(tuple(val[2]), abs=0.1)
    assert curve.best_text == "1 at step 1,500"
    assert [tick.label for tick in curve.x_ticks] == ["0", "500", "1,000", "1,500", "2,000"]


def test_one_step_without_validation_has_a_curve_and_no_step_has_none():
    curve = loss_curve(np.array([1.0]), np.array([0.5]), NONE, NONE)
    assert (curve.val, curve.best, curve.best_text) == ("", None, "")
    assert len(points(curve.train)) == 1
    assert loss_curve(NONE, NONE, NONE, NONE) is None


@given(low=st.floats(0, 1e4), span=st.floats(1e-3, 1e4))
def test_a_few_round_ticks_lie_within_the_range(low, span):
    found = ticks(low, low + span)
    assert 2 <= len(found) <= 7
    assert low - 1e-6 * span <= found[0]
    assert found[-1] <= low + span * (1 + 1e-6) + 1e-9


def test_a_training_is_read_from_its_metrics_and_a_missing_or_foreign_file_is_none(tmp_path):
    file = tmp_path / "metrics.parquet"
    assert read_loss_curve(file) is None
    file.write_bytes(b"no parquet")
    assert read_loss_curve(file) is None
    write_manifest(TRAINING_METRICS, metrics_table([(1, "train", 0.5, 1e-3), (1, "val", 0.4, 1e-3)]), file)
    assert read_loss_curve(file).best_text == "0.4 at step 1"
