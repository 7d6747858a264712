"""Measures images in worker processes, so that a crashing decoder does not end the run."""

import logging
from pathlib import Path

import pyarrow as pa

from recolor.cleaning.measure.rows import IndexedFile, Row, measure_files
from recolor.config.settings import MeasureConfig
from recolor.errors import ProcessDiedError
from recolor.images import NO_MEMORY, one_opencv_thread, opencv_memory_errors
from recolor.manifests.names import decode_path
from recolor.manifests.schemas import INDEX, MEASUREMENTS
from recolor.pipeline.c_messages import no_c_messages
from recolor.pipeline.workers import in_process

_NUMBERS = pa.schema([field for field in MEASUREMENTS.arrow if field.name not in INDEX.arrow.names])
_KILLED = "the process that decoded it was killed, perhaps because memory ran out"
_log = logging.getLogger(__name__)


def measure_apart(images: Path, identities: pa.Table, config: MeasureConfig) -> pa.Table:
    """Measures files in a worker process, if worker processes are running.

    If the process dies or memory runs out, each half of the files is measured again, down to the single file at fault,
    which gets the reason `decoder_crashed`. Running out of memory is not recorded as a defect of the image: it gets the
    reason `unreadable`, is named in the log, and is measured again by the next run. If a file takes too long, all files
    are measured one by one, so that the time limit passes only once more; the slow file gets the reason `too_slow`.

    Args:
        images: The folder of the files.
        identities: The files, a table of `schemas.INDEX`.
        config: Limits and sizes.

    Returns:
        One row per file: the columns of `schemas.MEASUREMENTS` without the identity.
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
    paths, sizes = (identities[name].to_pylist() for name in ("path", "size_bytes"))
    files = [IndexedFile(images / decode_path(path), size_bytes) for path, size_bytes in zip(paths, sizes, strict=True)]
    with one_opencv_thread(), no_c_messages(), opencv_memory_errors():
        return _table(list(measure_files(files, config)))


def _table(rows: list[Row]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=_NUMBERS)
