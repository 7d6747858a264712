"""The type `Detector`: schema, settings and functions of a detector."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import pyarrow as pa

from recolor.cleaning.detect.enlargements import Photographs
from recolor.color.arrays import Floats
from recolor.config.settings import Config
from recolor.manifests.schemas import Schema


class DetectorSettings(Protocol):
    """Settings that all detectors have."""

    @property
    def enabled(self) -> bool:
        """Whether the detector runs; if not, its manifest is empty."""


S = TypeVar("S", bound=DetectorSettings)


@dataclass(frozen=True, kw_only=True, slots=True)
class Detector(Generic[S]):
    """Finds the outliers of one issue among measured images.

    Attributes:
        schema: Schema of the manifest that it writes. The schema's name is the name of the issue.
        settings: Returns the detector's settings.
        columns: Returns the columns of `measurements.parquet` that it reads with these settings.
        detect: Returns the outliers in a table of measurements, as a table of `schema`.
        score: Returns the scores of images, float64 [rows], 0 (outlier) to 1, 1 if not judged; `detect` compares them
            with the threshold. None if only the outliers have a score; all other images then score 1.
        threshold: Returns the threshold of the score. None if the limit is in the unit of a measurement; the threshold
            of the score is then 0.5.
        compact: Reduces rows of measurements to the data that must stay in memory until all rows are read, for a
            detector that compares images with each other. None if each image is judged by itself.
        look_again: Corrects the compact measurements by opening a few photographs. None if measurements suffice.
    """

    schema: Schema
    settings: Callable[[Config], S]
    columns: Callable[[S], tuple[str, ...]]
    detect: Callable[[pa.Table, S], pa.Table]
    score: Callable[[pa.Table, S], Floats] | None = None
    threshold: Callable[[S], float] | None = None
    compact: Callable[[pa.Table, S], pa.Table] | None = None
    look_again: Callable[[pa.Table, S, Photographs], pa.Table] | None = None

    @property
    def name(self) -> str:
        """Name of the issue, of its settings and of its manifest."""
        return self.schema.name
