"""Colours images with every method and compares each result with the photograph."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from recolor.color.gamut import join
from recolor.color.lab import rgb_to_lab
from recolor.dataset.sampler import Int64Array
from recolor.evaluation.hues import HueCounts, PixelHues, hue_counts, pixel_hues
from recolor.evaluation.methods import Method
from recolor.evaluation.metrics import ImageMetrics, image_metrics
from recolor.evaluation.networks import Networks, inception_features, lpips_distance
from recolor.pipeline.progress import Progress

RGB = NDArray[np.uint8]
Float32Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sample:
    """One image and its colours by every method.

    Attributes:
        path: Path of the photograph relative to its folder.
        truth: The photograph, uint8 sRGB [H, W, 3].
        L: Lightness of the photograph, float32 [H, W], 0..100.
        truth_ab: a and b of the photograph, float32 [H, W, 2], in Lab units.
        methods: Methods and their a and b, float32 [H, W, 2], in Lab units.
    """

    path: str
    truth: RGB
    L: Float32Array
    truth_ab: Float32Array
    methods: tuple[tuple[Method, Float32Array], ...]


ProgressCallback = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Source:
    """Images to measure, in a fixed order; their sizes may differ.

    Attributes:
        paths: Paths of all images.
        samples: Colours the images of the given rows and yields them in small batches, which limits the memory used.
    """

    paths: tuple[str, ...]
    samples: Callable[[Int64Array], Iterator[Sequence[Sample]]]


@dataclass(frozen=True, slots=True)
class Score:
    """Metrics and hues of one image and method, and Inception's features (None without weights)."""

    method: Method
    metrics: ImageMetrics
    hues: HueCounts
    features: Float32Array | None


@dataclass(frozen=True, slots=True)
class ImageScores:
    """Scores of one image for every method, and Inception's features of the photograph."""

    path: str
    scores: tuple[Score, ...]
    truth_features: Float32Array | None

    def closer_than_grey(self, number: int) -> bool:
        """Whether ΔE2000 of a method's image, `scores[number]`, is below that of the method `grey`."""
        grey = next(score.metrics for score in self.scores if score.method.name == "grey")
        return self.scores[number].metrics.delta_e_2000 < grey.delta_e_2000


def measure(
    source: Source, networks: Networks, workers: int, tell: ProgressCallback | None = None
) -> list[ImageScores]:
    """Returns the scores of every image for every method, in the order of the images.

    Args:
        source: Images to measure.
        networks: Networks of LPIPS, FID and KID.
        workers: Number of threads that compute metrics.
        tell: Called after each batch with the number of finished images and of all images.
    """
    scored: list[ImageScores] = []
    rows = np.arange(len(source.paths), dtype=np.int64)
    with ThreadPoolExecutor(workers) as pool, Progress("evaluate", len(rows), "images") as progress:
        for batch in source.samples(rows):
            scored += pool.map(partial(_score, networks=networks), batch)
            progress.update(len(batch))
            if tell:
                tell(len(scored), len(rows))
    return scored


def draw(source: Source, rows: Int64Array, shown: Sequence[Method]) -> Iterator[tuple[RGB, ...]]:
    """Yields the tiles of each row, uint8 sRGB [H, W, 3].

    Tiles are the grey image, the methods in `shown`, and the photograph.
    """
    for batch in source.samples(rows):
        for sample in batch:
            ab = dict(sample.methods)
            coloured = (join(sample.L, ab[method]) for method in shown)
            yield join(sample.L, np.zeros_like(sample.truth_ab)), *coloured, sample.truth


def _score(sample: Sample, networks: Networks) -> ImageScores:
    truth = pixel_hues(rgb_to_lab(sample.truth))
    scores = tuple(_score_method(sample, truth, method, ab, networks) for method, ab in sample.methods)
    return ImageScores(sample.path, scores, inception_features(networks, sample.truth))


def _score_method(sample: Sample, truth: PixelHues, method: Method, ab: Float32Array, networks: Networks) -> Score:
    rgb = join(sample.L, ab)
    lpips = lpips_distance(networks, rgb, sample.truth)
    metrics = image_metrics(rgb, sample.truth, ab, sample.truth_ab, lpips)
    hues = hue_counts(pixel_hues(rgb_to_lab(rgb)), truth)
    return Score(method, metrics, hues, inception_features(networks, rgb))
