"""Finds the temperature and saturation at which a model is as colourful as the photographs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from recolor.color.gamut import join
from recolor.color.lab import rgb_to_lab
from recolor.config.settings import Config
from recolor.dataset.augment import Batch
from recolor.dataset.dataset import ShardDataset
from recolor.evaluation.hues import hue_counts, hue_kept, pixel_hues, weighted_sums
from recolor.evaluation.methods import Model, load_models
from recolor.evaluation.metrics import ab_mse, colourfulness, psnr_db
from recolor.evaluation.split import crops, pixels, spaced_rows
from recolor.models.device import resolve_device
from recolor.models.refiner import upsample_ab
from recolor.pipeline.progress import Progress
from recolor.pipeline.workspace import Workspace

TEMPERATURES = (1.0, 0.6, 0.38, 0.2)
_IMAGES = 128  # maximum number of images of the val split: mean colourfulness is then accurate to about 10%
_SEARCH_STEPS = 3


@dataclass(frozen=True, slots=True)
class CalibrationPoint:
    """A pair of temperature and saturation with its metrics, which are means over the images.

    Attributes:
        temperature: Temperature T of the annealed mean.
        saturation: Factor applied to a and b.
        psnr_db: PSNR in sRGB.
        ab_mse: Mean squared error of a and b, in units of (ab + 128) / 255.
        colourfulness: Colourfulness of the coloured images.
        truth_colourfulness: Colourfulness of the photographs.
        hue_kept: Share of the pixels with a true hue other than neutral that were given that hue; None without such
            pixels. Saturation does not make a wrong hue right.
    """

    temperature: float
    saturation: float
    psnr_db: float
    ab_mse: float
    colourfulness: float
    truth_colourfulness: float
    hue_kept: float | None

    @property
    def delta_cf(self) -> float:
        """Absolute difference of the mean colourfulness from that of the photographs."""
        return abs(self.colourfulness - self.truth_colourfulness)


def suggest_calibration(workspace: Workspace, config: Config) -> list[CalibrationPoint]:
    """Measures the workspace's models on the val split at several temperatures and saturations.

    For each temperature, the secant method searches the saturation at which the mean colourfulness equals that of the
    photographs. The refiner, if the workspace has one, is applied before measuring.

    Args:
        workspace: Workspace with shards and a trained generator.
        config: Only `config.evaluate.device` is used.

    Returns:
        Two points for each temperature: at saturation 1, and at the saturation that was found. A regression head has
        one temperature only.

    Raises:
        MissingStageError: There are no shards, or no generator.
        InputError: The val split has no images.
        WeightsError: A model's files are damaged or of another version.
    """
    (model,) = load_models([workspace.models], [], resolve_device(config.evaluate.device))
    dataset = ShardDataset.open(workspace, "val")
    batches = [
        batch
        for _, batch in crops(dataset, spaced_rows(dataset.rows, _IMAGES), model.device, model.generator.multiple_px)
    ]
    temperatures = TEMPERATURES if model.generator.config.head == "distribution" else TEMPERATURES[:1]
    points: list[CalibrationPoint] = []
    with Progress("calibrate", len(temperatures) * (1 + _SEARCH_STEPS), "points") as progress:
        for temperature in temperatures:
            for point in _search(model, batches, temperature):
                points.append(point)
                progress.update()
    return [
        point for at in range(0, len(points), 1 + _SEARCH_STEPS) for point in (points[at], points[at + _SEARCH_STEPS])
    ]


def best_point(points: Sequence[CalibrationPoint]) -> CalibrationPoint:
    """Returns the point with the highest PSNR among those as colourful as the photographs.

    These are the points with a ΔCF of at most 1, or the nearest ones if there are none.
    """
    nearest = min(point.delta_cf for point in points)
    return max((point for point in points if point.delta_cf <= max(1.0, nearest)), key=lambda point: point.psnr_db)


def calibration_text(points: Sequence[CalibrationPoint]) -> str:
    """Returns a table of the points and the suggested settings."""
    lines = ["    T  saturation  PSNR, dB  ab-MSE, e-3  colourfulness   ΔCF  hue kept, %"]
    lines += [
        f"{point.temperature:5.2f}  {point.saturation:10.2f}  {point.psnr_db:8.2f}  {1e3 * point.ab_mse:11.3f}"
        f"  {point.colourfulness:13.1f}  {point.delta_cf:4.1f}"
        + ("" if point.hue_kept is None else f"  {100 * point.hue_kept:11.0f}")
        for point in points
    ]
    best = best_point(points)
    return "\n".join(
        [
            *lines,
            "",
            f"As colourful as the photographs ({best.truth_colourfulness:.1f}), with the highest PSNR:",
            "[generator]",
            f"temperature = {best.temperature:g}",
            f"saturation = {best.saturation:.2f}",
        ]
    )


def _search(model: Model, batches: Sequence[Batch], temperature: float) -> Iterator[CalibrationPoint]:
    """Yields the point at saturation 1, then the steps of the secant method."""
    before_saturation, before_cf, saturation = 0.0, 0.0, 1.0
    for _ in range(1 + _SEARCH_STEPS):
        point = _measured(model, batches, temperature, saturation)
        yield point
        slope = (point.colourfulness - before_cf) / (saturation - before_saturation or 1.0)
        before_saturation, before_cf = saturation, point.colourfulness
        if slope > 0:
            wanted = saturation + (point.truth_colourfulness - point.colourfulness) / slope
            saturation = round(min(max(wanted, 0.1), 10.0), 2)


@torch.inference_mode()
def _measured(model: Model, batches: Sequence[Batch], temperature: float, saturation: float) -> CalibrationPoint:
    generator = replace(model.generator, temperature=temperature, saturation=saturation)
    rows, hues = [], []
    for batch in batches:
        ab_small = generator.predict_ab(batch.L)
        ab = pixels(model.refiner.refine_ab(batch.L, ab_small) if model.refiner else upsample_ab(ab_small))
        for L, truth_ab, own_ab in zip(pixels(batch.L)[..., 0], pixels(batch.ab), ab, strict=True):
            truth, own = join(L, truth_ab), join(L, own_ab)
            rows.append((psnr_db(own, truth), ab_mse(own_ab, truth_ab), colourfulness(own), colourfulness(truth)))
            hues.append(hue_counts(pixel_hues(rgb_to_lab(own)), pixel_hues(rgb_to_lab(truth))))
    psnr, error, own_cf, truth_cf = np.mean(rows, axis=0).tolist()
    kept = float(hue_kept(weighted_sums(hues, np.ones(len(hues)))))
    return CalibrationPoint(temperature, saturation, psnr, error, own_cf, truth_cf, None if np.isnan(kept) else kept)
