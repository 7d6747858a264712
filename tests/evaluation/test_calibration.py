from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from evaluation.hue_examples import reference_counts

from recolor.cli.main import cli
from recolor.color.gamut import join
from recolor.config.settings import Config, EvaluateConfig
from recolor.dataset.dataset import ShardDataset
from recolor.errors import InputError
from recolor.evaluation.calibration import (
    TEMPERATURES,
    CalibrationPoint,
    best_point,
    calibration_text,
    suggest_calibration,
)
from recolor.evaluation.methods import load_models
from recolor.evaluation.metrics import colourfulness, psnr_db
from recolor.evaluation.split import crops
from recolor.models.device import resolve_device

CONFIG = Config(evaluate=EvaluateConfig(device="cpu"))
POINT = CalibrationPoint(
    0.5, 1.0, psnr_db=24.0, ab_mse=2e-3, colourfulness=20.0, truth_colourfulness=30.0, hue_kept=0.5
)


def by_hand(workspace, point):
    """Colourfulness, PSNR and the share of hues kept, image by image."""
    (model,) = load_models([workspace.models], [], resolve_device("cpu"))
    dataset = ShardDataset.open(workspace, "val")
    found, pixels = [], np.zeros((5, 5))
    for row in range(dataset.rows):
        ((_, batch),) = crops(dataset, np.array([row]), model.device, 8)
        ab_small = point.saturation * model.generator.model.predict_ab(batch.L, point.temperature)
        ab = model.refiner.refine_ab(batch.L, ab_small)
        L, own, truth = (tensor[0].permute(1, 2, 0).numpy() for tensor in (batch.L, ab, batch.ab))
        rgb, true_rgb = join(L[..., 0], own), join(L[..., 0], truth)
        found.append((colourfulness(rgb), psnr_db(rgb, true_rgb), colourfulness(true_rgb)))
        pixels += reference_counts(rgb, true_rgb)[0]
    return *np.mean(found, axis=0), np.trace(pixels[:4, :4]) / pixels[:4].sum()  # neutral comes last


@pytest.mark.slow  # many evaluations
def test_the_saturation_found_makes_the_set_as_colourful_as_the_photographs(without_test_split):
    points = suggest_calibration(without_test_split, CONFIG)
    assert [point.temperature for point in points] == [T for T in TEMPERATURES for _ in range(2)]
    assert all(point.saturation == 1.0 for point in points[::2])
    assert all(point.delta_cf < 0.5 for point in points[1::2])
    assert any(point.delta_cf > 5 for point in points[::2])
    for point in points[:3]:
        expected = (point.colourfulness, point.psnr_db, point.truth_colourfulness)
        *found, kept = by_hand(without_test_split, point)
        np.testing.assert_allclose(found, expected, rtol=1e-4)
        assert kept == pytest.approx(point.hue_kept, abs=2e-3)  # pixels beside a limit


def test_of_the_looks_that_are_colourful_enough_that_with_the_least_error_is_suggested():
    points = [
        POINT,
        replace(POINT, colourfulness=29.5, psnr_db=21.0),
        replace(POINT, colourfulness=30.9, psnr_db=22.0),
        replace(POINT, colourfulness=31.5, psnr_db=23.0),
    ]
    assert best_point(points) == points[2]
    assert best_point([points[0], points[3]]) == points[3]


@pytest.mark.slow  # many evaluations
def test_the_command_prints_the_table_and_what_to_write_into_the_settings(without_test_split):
    result = CliRunner().invoke(cli, ["evaluate", "suggest", "--workspace", str(without_test_split.root)])
    assert result.exit_code == 0, result.output
    assert (
        len([line for line in result.stdout.splitlines() if line[:7].strip() in {"1.00", "0.60", "0.38", "0.20"}]) == 8
    )
    assert "[generator]\ntemperature = " in result.stdout
    assert "\nsaturation = " in calibration_text([POINT])
    assert calibration_text([POINT]).splitlines()[1].split()[-1] == "50"


def test_it_is_given_alone_and_needs_photographs_to_validate_on(evaluable, replace_shards):
    result = CliRunner().invoke(cli, ["evaluate", "suggest", "--split", "test", "--workspace", str(evaluable.root)])
    assert (result.exit_code, "No such option '--split'" in result.output) == (2, True)
    replace_shards(evaluable, ["test"] * 9)
    with pytest.raises(InputError, match="val"):
        suggest_calibration(evaluable, CONFIG)
