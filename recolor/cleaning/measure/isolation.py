"""Measuring in processes of their own, where no decoder that crashes stops a run."""

import logging
from pathlib import Path

import cv2
import pyarrow as pa

from recolor.cleaning.measure.rows import IndexedFile, Row, measure_files
from recolor.config.settings import MeasureConfig
from recolor.errors import ProcessDiedError
from recolor.images import NO_MEMORY, opencv_memory_errors
from recolor.manifests.schemas import INDEX, MEASUREMENTS
from recolor.pipeline.workers import in_process

_NUMBERS = pa.schema([field for field in MEASUREMENTS.arrow if field.name not in INDEX.arrow.names])
_KILLED = "the process that decoded it was killed, perhaps for want of memory"
_log = logging.getLogger(__name__)


def measure_apart(images: Path, identities: pa.Table, config: MeasureConfig) -> pa.Table:
    """Measures files in a worker process, if some are open.

    If it dies or memory runs out, halves of the files are measured again, down to the one file that it dies of: that
    has the reason `decoder_crashed`. One that there is no memory for says nothing about the file: it has the reason
    `unreadable`, with which the next run tries again, and is named in the log. If some file takes too long, each is
    measured by itself, so that the limit is waited for once more and not in every half; it has the reason `too_slow`.

    Args:
        images: The folder that they are in.
        identities: Which files, a table of `schemas.INDEX`.
        config: Limits and sizes.

    Returns:
        A row for each: the columns of `schemas.MEASUREMENTS` but for the identity.
    """
    rows = _measured(images, identities, config)
    for path, detail in zip(identities["path"].to_pylist(), rows["detail"].to_pylist()):
        if detail in (NO_MEMORY, _KILLED):
            _log.warning("%s: %s. It is left out for now; the next run measures it again.", images / path, detail)
    return rows


def _measured(images: Path, identities: pa.Table, config: MeasureConfig) -> pa.Table:
    try:
        return in_process(_measure, images, identities, config)
    except (ProcessDiedError, MemoryError) as error:
        if len(identities) == 1:
            return _table([_not_measured(error, config)])
        what = str(error) if isinstance(error, ProcessDiedError) else "there is not enough memory"
        too_slow = isinstance(error, ProcessDiedError) and error.timed_out
    size = 1 if too_slow else len(identities) // 2
    _log.warning("%s: %d images are measured again, %s.", what, len(identities), "singly" if too_slow else "in halves")
    pieces = [identities[start : start + size] for start in range(0, len(identities), size)]
    return pa.concat_tables([_measured(images, some, config) for some in pieces])


def _not_measured(error: ProcessDiedError | MemoryError, config: MeasureConfig) -> Row:
    if isinstance(error, MemoryError):
        return {"reason": "unreadable", "detail": NO_MEMORY}
    if error.killed:
        return {"reason": "unreadable", "detail": _KILLED}
    if error.timed_out:
        return {"reason": "too_slow", "detail": f"not decoded within {config.max_decode_s:g} s"}
    return {"reason": "decoder_crashed", "detail": "the process that decoded it died, of a defect of the decoder"}


def _measure(images: Path, identities: pa.Table, config: MeasureConfig) -> pa.Table:
    cv2.setNumThreads(1)  # the parts are the parallelism; OpenCV's own threads would fight them
    paths, sizes = (identities[name].to_pylist() for name in ("path", "size_bytes"))
    files = [IndexedFile(images / path, size_bytes) for path, size_bytes in zip(paths, sizes, strict=True)]
    with opencv_memory_errors():
        return _table(list(measure_files(files, config)))


def _table(rows: list[Row]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=_NUMBERS)
