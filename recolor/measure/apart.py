"""Measuring in processes of their own, where no decoder that crashes stops a run."""

import logging
from pathlib import Path

import cv2
import pyarrow as pa

from recolor.config import MeasureConfig
from recolor.errors import ProcessDiedError
from recolor.measure.rows import IndexedFile, Row, measure_files
from recolor.processes import in_process
from recolor.schemas import INDEX, MEASUREMENTS

_NUMBERS = pa.schema([field for field in MEASUREMENTS.arrow if field.name not in INDEX.arrow.names])
_log = logging.getLogger(__name__)


def measure_apart(images: Path, identities: pa.Table, config: MeasureConfig) -> pa.Table:
    """Measures files in a worker process, if some are open.

    If it dies, halves of the files are measured again, down to the one file that it dies of: that has the reason
    `decoder_crashed`.

    Args:
        images: The folder that they are in.
        identities: Which files, a table of `schemas.INDEX`.
        config: Limits and sizes.

    Returns:
        A row for each: the columns of `schemas.MEASUREMENTS` but for the identity.
    """
    try:
        return in_process(_measure, images, identities, config)
    except ProcessDiedError:
        if len(identities) == 1:
            detail = "the process that decoded it died, of a defect of the decoder or for want of memory"
            return _table([{"reason": "decoder_crashed", "detail": detail}])
    _log.warning("A process died while it measured %d images; they are measured again.", len(identities))
    half = len(identities) // 2
    halves = (identities.slice(0, half), identities.slice(half))
    return pa.concat_tables([measure_apart(images, some, config) for some in halves])


def _measure(images: Path, identities: pa.Table, config: MeasureConfig) -> pa.Table:
    cv2.setNumThreads(1)  # the parts are the parallelism; OpenCV's own threads would fight them
    paths, sizes = (identities[name].to_pylist() for name in ("path", "size_bytes"))
    files = [IndexedFile(images / path, size_bytes) for path, size_bytes in zip(paths, sizes, strict=True)]
    return _table(list(measure_files(files, config)))


def _table(rows: list[Row]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=_NUMBERS)
