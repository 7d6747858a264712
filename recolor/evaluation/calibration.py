"""Which temperature and saturation make a model as colourful as photographs are, and what that costs in error."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from tqdm import tqdm

from recolor.color.gamut import join
from recolor.config.settings import Config
from recolor.dataset.augment import Batch
from recolor.dataset.dataset import ShardDataset
from recolor.evaluation.methods import Model, load_models
from recolor.evaluation.metrics import ab_mse, colourfulness, psnr_db
from recolor.evaluation.split import crops, pixels, spaced_rows
from recolor.models.device import resolve_device
from recolor.models.refiner import upsample_ab
from recolor.pipeline.workspace import Workspace

TEMPERATURES = (1.0, 0.6, 0.38, 0.2)
_IMAGES = 128  # at most so many of the val split, evenly spaced: the mean colourfulness is known to about a tenth
_SEARCH_STEPS = 3


@dataclass(frozen=True, slots=True)
class CalibrationPoint:
    """A method to read a generator, measured: means over the images.

    Attributes:
        temperature: T of the annealed mean.
        saturation: Factor of the colour.
        psnr_db: PSNR in sRGB.
        ab_mse: Squared error of ab, in units of (ab + 128) / 255.
        colourfulness: Of what was coloured.
        truth_colourfulness: Of the photographs.
    """

    temperature: float
    saturation: float
    psnr_db: float
    ab_mse: float
    colourfulness: float
    truth_colourfulness: float

    @property
    def delta_cf(self) -> float:
        """How far the set's mean colourfulness is from the photographs'."""
        return abs(self.colourfulness - self.truth_colourfulness)


def suggest_calibration(workspace: Workspace, config: Config) -> list[CalibrationPoint]:
    """Measures the workspace's models on the val split, as they are and made as colourful as the photographs.

    For each temperature the saturation at which the set's mean colourfulness is the photographs' is searched by the
    secant method. The refiner, where there is one, refines what is measured.

    Args:
        workspace: With shards and a trained generator.
        config: `config.evaluate.device` counts.

    Returns:
        For each temperature (one, where the head is a regression) the point at saturation 1 and the one that was found.

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
    with tqdm(total=len(temperatures) * (1 + _SEARCH_STEPS), desc="calibrate", unit=" points") as bar:
        for temperature in temperatures:
            for point in _search(model, batches, temperature):
                points.append(point)
                bar.update()
    return [
        point for at in range(0, len(points), 1 + _SEARCH_STEPS) for point in (points[at], points[at + _SEARCH_STEPS])
    ]


def best_point(points: Sequence[CalibrationPoint]) -> CalibrationPoint:
    """Of the points as colourful as the photographs (to one unit, or the nearest), that with the highest PSNR."""
    nearest = min(point.delta_cf for point in points)
    return max((point for point in points if point.delta_cf <= max(1.0, nearest)), key=lambda point: point.psnr_db)


def calibration_text(points: Sequence[CalibrationPoint]) -> str:
    """A table of points, and the settings of the one that is suggested."""
    lines = ["    T  saturation  PSNR, dB  ab-MSE, e-3  colourfulness   ΔCF"]
    lines += [
        f"{point.temperature:5.2f}  {point.saturation:10.2f}  {point.psnr_db:8.2f}  {1e3 * point.ab_mse:11.3f}"
        f"  {point.colourfulness:13.1f}  {point.delta_cf:4.1f}"
        for point in points
    ]
    best = best_point(points)
    return "\n".join(
        [
            *lines,
            "",
            f"As colourful as the photographs ({best.truth_colourfulness:.1f}) with the least error:",
            "[generator]",
            f"temperature = {best.temperature:g}",
            f"saturation = {best.saturation:.2f}",
        ]
    )


def _search(model: Model, batches: Sequence[Batch], temperature: float) -> Iterator[CalibrationPoint]:
    """Points whose colourfulness nears the photographs': the first at saturation 1, then secants of CF(saturation)."""
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
    rows = []
    for batch in batches:
        ab_small = generator.predict_ab(batch.L)
        ab = pixels(model.refiner.refine_ab(batch.L, ab_small) if model.refiner else upsample_ab(ab_small))
        for L, truth_ab, own_ab in zip(pixels(batch.L)[..., 0], pixels(batch.ab), ab, strict=True):
            truth, own = join(L, truth_ab), join(L, own_ab)
            rows.append((psnr_db(own, truth), ab_mse(own_ab, truth_ab), colourfulness(own), colourfulness(truth)))
    psnr, error, own_cf, truth_cf = np.mean(rows, axis=0).tolist()
    return CalibrationPoint(temperature, saturation, psnr, error, own_cf, truth_cf)
