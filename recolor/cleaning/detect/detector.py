"""The type of a detector: what it reads, its settings, and its functions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import pyarrow as pa

from recolor.color.arrays import Floats
from recolor.config.settings import Config
from recolor.manifests.schemas import Schema


class DetectorSettings(Protocol):
    """Settings that every detector has."""

    @property
    def enabled(self) -> bool:
        """Whether the detector runs; if not, its manifest is empty."""


S = TypeVar("S", bound=DetectorSettings)


@dataclass(frozen=True, kw_only=True, slots=True)
class Detector(Generic[S]):
    """Finds the outliers of one issue among measured images.

    Attributes:
        schema: Schema of the manifest it writes; the schema's name is the name of the issue.
        settings: Returns the detector's own settings.
        columns: Returns the columns of `measurements.parquet` that it needs with these settings; no others are read.
        detect: Returns the outliers of a table of measurements, as a table of `schema`.
        score: Scores images, float64 [rows], 0 (outlier) to 1; None where the score depends on the settings. `detect`
            compares it with `threshold`.
        compact: None if each image is judged by itself. A detector that compares images with each other gives a
            function that reduces some rows of measurements to what must be kept in memory until all rows are read.
    """

    schema: Schema
    settings: Callable[[Config], S]
    columns: Callable[[S], tuple[str, ...]]
    detect: Callable[[pa.Table, S], pa.Table]
    score: Callable[[pa.Table], Floats] | None = None
    compact: Callable[[pa.Table, S], pa.Table] | None = None

    @property
    def name(self) -> str:
        """Name of the issue, of its settings and of its manifest."""
        return self.schema.name
