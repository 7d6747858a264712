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
class MeasuredLook:
    """A way to read a generator, measured: means over the images.

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


def suggest_looks(workspace: Workspace, config: Config) -> list[MeasuredLook]:
    """Measures the workspace's models on the val split, as they are and made as colourful as the photographs.

    For each temperature the saturation at which the set's mean colourfulness is the photographs' is searched by the
    secant method. The refiner, where there is one, refines what is measured.

    Args:
        workspace: With shards and a trained generator.
        config: `config.evaluate.device` counts.

    Returns:
        For each temperature (one, where the head is a regression) the look at saturation 1 and the one that was found.

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
    looks: list[MeasuredLook] = []
    with tqdm(total=len(temperatures) * (1 + _SEARCH_STEPS), desc="looks", unit="look") as bar:
        for temperature in temperatures:
            for look in _search(model, batches, temperature):
                looks.append(look)
                bar.update()
    return [look for at in range(0, len(looks), 1 + _SEARCH_STEPS) for look in (looks[at], looks[at + _SEARCH_STEPS])]


def suggested(looks: Sequence[MeasuredLook]) -> MeasuredLook:
    """Of the looks as colourful as the photographs (to one unit, or the nearest), that with the highest PSNR."""
    nearest = min(look.delta_cf for look in looks)
    return max((look for look in looks if look.delta_cf <= max(1.0, nearest)), key=lambda look: look.psnr_db)


def looks_text(looks: Sequence[MeasuredLook]) -> str:
    """A table of looks, and the settings of the one that is suggested."""
    lines = ["    T  saturation  PSNR, dB  ab-MSE, e-3  colourfulness   ΔCF"]
    lines += [
        f"{look.temperature:5.2f}  {look.saturation:10.2f}  {look.psnr_db:8.2f}  {1e3 * look.ab_mse:11.3f}"
        f"  {look.colourfulness:13.1f}  {look.delta_cf:4.1f}"
        for look in looks
    ]
    best = suggested(looks)
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


def _search(model: Model, batches: Sequence[Batch], temperature: float) -> Iterator[MeasuredLook]:
    """Looks whose colourfulness nears the photographs': the first at saturation 1, then secants of CF(saturation)."""
    before_saturation, before_cf, saturation = 0.0, 0.0, 1.0
    for _ in range(1 + _SEARCH_STEPS):
        look = _measured(model, batches, temperature, saturation)
        yield look
        slope = (look.colourfulness - before_cf) / (saturation - before_saturation or 1.0)
        before_saturation, before_cf = saturation, look.colourfulness
        if slope > 0:
            wanted = saturation + (look.truth_colourfulness - look.colourfulness) / slope
            saturation = round(min(max(wanted, 0.1), 10.0), 2)


@torch.inference_mode()
def _measured(model: Model, batches: Sequence[Batch], temperature: float, saturation: float) -> MeasuredLook:
    generator = replace(model.generator, temperature=temperature, saturation=saturation)
    rows = []
    for batch in batches:
        ab_small = generator.predict_ab(batch.L)
        ab = pixels(model.refiner.refine_ab(batch.L, ab_small) if model.refiner else upsample_ab(ab_small))
        for L, truth_ab, own_ab in zip(pixels(batch.L)[..., 0], pixels(batch.ab), ab, strict=True):
            truth, own = join(L, truth_ab), join(L, own_ab)
            rows.append((psnr_db(own, truth), ab_mse(own_ab, truth_ab), colourfulness(own), colourfulness(truth)))
    psnr, error, own_cf, truth_cf = np.mean(rows, axis=0).tolist()
    return MeasuredLook(temperature, saturation, psnr, error, own_cf, truth_cf)
