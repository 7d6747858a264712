"""Colours image files, several at a time, and reports the outcome of each."""

import errno
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor.cleaning.passed_over import COMPARISON_COMMENT
from recolor.color.arrays import Pixels, Uint8, on_white, to_8_bits
from recolor.color.gamut import join, join16
from recolor.colorize.colorizer import Colorizer
from recolor.colorize.encode import FORMATS_16_BIT, Format, encode
from recolor.colorize.look import Look
from recolor.colorize.metadata import Metadata
from recolor.colorize.outputs import check_writable, is_done, remove_stray, write_output
from recolor.colorize.photo import Photo, read_photo
from recolor.colorize.plan import FORMATS, Job, Plan, make_plan
from recolor.config.settings import ExecutionConfig, MeasureConfig
from recolor.errors import ConfigError, ImageError, InputError, RecolorError, StorageError
from recolor.images import read_bytes
from recolor.models.device import torch_threads
from recolor.pipeline.c_messages import no_c_messages
from recolor.pipeline.inputs import STANDARD
from recolor.pipeline.parallel import in_threads, worker_count
from recolor.pipeline.progress import track
from recolor.pipeline.storage import storage_errors

_BATCH_ON_CUDA = 16
_MAX_WORKERS = 4  # photographs in progress without batches: each takes up to 50 bytes a pixel
_READ_AHEAD = 2  # photographs beyond a batch: each takes 4 to 20 bytes a pixel
_WRITE_BEHIND = 2
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # errors that all other files would meet too
_LINE_PX = 2
_OF_COMPARISON = Metadata(comment=COMPARISON_COMMENT)  # a later run knows by it that this is no photograph
_MAX_JPEG_SIDE_PX = 65_500
_QUALITY = 95  # of JPEG and WebP


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that was not coloured, and the error."""

    path: Path
    error: RecolorError


@dataclass(frozen=True, slots=True)
class FileNote:
    """A file that was coloured, and what is not in order in it, or what of it is not in the result."""

    path: Path
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ColorizeResult:
    """The outcome of a run; each tuple is in the order of the input files.

    Attributes:
        done: Outputs that were written.
        skipped: Outputs that existed already.
        failed: Files that were not coloured.
        had_colour: Photographs that showed colour; only their lightness was used.
        first_frames: Animations and files of several pages; only their first frame was coloured.
        notes: Coloured photographs whose file is not in order or, with `lenient`, damaged.
        dropped: Coloured photographs whose file holds more than the result does, such as the video of a motion photo;
            the notes name what is missing.
        renamed: Photograph and output, where the output is not called as usual: another output has that name, or the
            name would be too long.
        passed_over: Numbers of files that are not images by kind, of hidden and skipped names, and of outputs; empty if
            none.
    """

    done: tuple[Path, ...] = ()
    skipped: tuple[Path, ...] = ()
    failed: tuple[Failure, ...] = ()
    had_colour: tuple[Path, ...] = ()
    first_frames: tuple[Path, ...] = ()
    notes: tuple[FileNote, ...] = ()
    dropped: tuple[FileNote, ...] = ()
    renamed: tuple[tuple[Path, Path], ...] = ()
    passed_over: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    """Settings of a run, the same for every file."""

    look: Look
    file_format: Format | None
    quality: int
    compare: bool
    overwrite: bool
    lenient: bool
    limits: MeasureConfig


@dataclass(frozen=True, slots=True)
class _Read:
    """A file that has been read, or the error."""

    job: Job
    photo: Photo | RecolorError


@dataclass(frozen=True, slots=True)
class _Coloured:
    """A photograph and its predicted colour: ab, float32 [H, W, 2] at full size."""

    job: Job
    photo: Photo
    ab: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The outcome of a file."""

    job: Job
    error: RecolorError | None = None
    had_colour: bool = False
    frames: int = 1
    notes: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


def colorize_paths(
    inputs: Sequence[Path],
    out: Path,
    colorizer: Colorizer,
    *,
    look: Look | None = None,
    overwrite: bool = False,
    compare: bool = False,
    file_format: Format | None = None,
    quality: int = _QUALITY,
    batch_images: int | None = None,
    lenient: bool = False,
    limits: MeasureConfig | None = None,
    plan: Plan | None = None,
) -> ColorizeResult:
    """Colours photographs, all photographs in folders, and those that match patterns.

    The folder structure is kept. JPEG, PNG, WebP, TIFF and BMP keep their format; other formats become PNG. The outputs
    are upright and keep EXIF, ICC profile, XMP and resolution. 16 bits and alpha are kept if the output format supports
    them. Each file is written atomically. A file that cannot be read or written is reported, and the others are
    coloured. Threads read and write files while the networks run.

    Args:
        inputs: Files, folders, and patterns such as `old/**/*.jpg`; or only `-` for standard input.
        out: Output folder; nothing is written outside it. For a single photograph also a file, or `-` for standard
            output.
        colorizer: The models.
        look: How bold the colours are; None for the defaults.
        overwrite: Whether to colour photographs again whose output exists.
        compare: Whether to write a before-and-after picture beside each output.
        file_format: Format on standard output; None for the format of the photograph.
        quality: Quality of JPEG and WebP, 1..100.
        batch_images: Photographs coloured together; None for 16 on CUDA and 1 elsewhere.
        lenient: Whether to colour what is left of damaged JPEG, PNG and BMP files; otherwise they are reported.
        limits: Size limits; a larger file is not read.
        plan: What `make_plan` returned for these arguments, if it was called before the models were loaded.

    Raises:
        InputError: An input is missing, a folder has no image, two inputs have the same path below `out`, or an output
            would overwrite an input. Nothing was written.
        ConfigError: A setting is out of range. Nothing was written.
        StorageError: The disk is full or not writable. Finished outputs are kept.
    """
    if not 1 <= quality <= 100 or (batch_images is not None and batch_images < 1):
        raise ConfigError(f"quality = {quality}, batch = {batch_images}: allowed are 1 to 100, and 1 or more.")
    if file_format is not None and out != STANDARD:
        raise ConfigError("a format can be given for standard output only; files get the format of their suffix.")
    plan = plan or make_plan(inputs, out, compare=compare)
    check_writable(plan.jobs)
    remove_stray(plan.jobs)
    waiting = [job for job in plan.jobs if overwrite or not is_done(job)]
    settings = _Settings(
        look=look or Look(),
        file_format=file_format,
        quality=quality,
        compare=compare,
        overwrite=overwrite,
        lenient=lenient,
        limits=limits or MeasureConfig(),
    )
    batch = batch_images or (_BATCH_ON_CUDA if colorizer.device.type == "cuda" else 1)
    unreadable = [Failure(folder, InputError("this folder cannot be read.")) for folder in plan.unreadable_folders]
    outcomes = list(_colour_all(waiting, colorizer, settings, batch))
    return _summary(plan, waiting, outcomes, unreadable)


def _summary(
    plan: Plan, waiting: Sequence[Job], outcomes: Sequence[_Outcome], unreadable: Sequence[Failure]
) -> ColorizeResult:
    good = [outcome for outcome in outcomes if outcome.error is None]
    new = set(waiting)
    failures = [Failure(outcome.job.source, outcome.error) for outcome in outcomes if outcome.error is not None]
    return ColorizeResult(
        done=tuple(outcome.job.target for outcome in good),
        skipped=tuple(job.target for job in plan.jobs if job not in new),
        failed=(*failures, *unreadable),
        had_colour=tuple(outcome.job.source for outcome in good if outcome.had_colour),
        first_frames=tuple(outcome.job.source for outcome in good if outcome.frames > 1),
        notes=tuple(FileNote(outcome.job.source, note) for outcome in good for note in outcome.notes),
        dropped=tuple(FileNote(one.job.source, ", ".join(one.dropped)) for one in good if one.dropped),
        renamed=tuple((job.source, job.target) for job in plan.renamed),
        passed_over=str(plan.passed_over),
    )


def _colour_all(jobs: Sequence[Job], colorizer: Colorizer, settings: _Settings, batch: int) -> Iterator[_Outcome]:
    """Yields the outcomes in order, working on several files at once.

    An interrupted run starts no more files.
    """
    cores = worker_count(ExecutionConfig())
    workers = max(1, min(cores, _MAX_WORKERS, len(jobs)))
    with torch_threads(max(1, cores // workers)), no_c_messages(), ThreadPoolExecutor(workers) as pool:
        try:
            outcomes = (_one_by_one if batch == 1 else _in_batches)(pool, jobs, colorizer, settings, batch)
            yield from track(outcomes, "colorize", len(jobs), "images")
        finally:
            pool.shutdown(cancel_futures=True)


def _one_by_one(
    pool: ThreadPoolExecutor, jobs: Sequence[Job], colorizer: Colorizer, settings: _Settings, _: int
) -> Iterator[_Outcome]:
    """Reads, colours and writes each photograph in one thread."""

    def colour(job: Job) -> _Outcome:
        (coloured,) = _coloured(iter([_read(job, settings)]), colorizer, settings.look, 1)
        return _write(coloured, settings)

    return in_threads(pool, colour, jobs, ahead=_MAX_WORKERS)


def _in_batches(
    pool: ThreadPoolExecutor, jobs: Sequence[Job], colorizer: Colorizer, settings: _Settings, batch: int
) -> Iterator[_Outcome]:
    """Runs the networks in this thread while other threads read and write photographs."""
    read = in_threads(pool, lambda job: _read(job, settings), jobs, ahead=batch + _READ_AHEAD)
    coloured = _coloured(read, colorizer, settings.look, batch)
    return in_threads(pool, lambda one: _write(one, settings), coloured, ahead=_WRITE_BEHIND)


def _read(job: Job, settings: _Settings) -> _Read:
    try:
        data = _standard_input(settings.limits) if job.source == STANDARD else read_bytes(job.source, settings.limits)
        return _Read(job, _photo(data, settings))
    except ImageError as error:
        return _Read(job, error)
    except MemoryError:
        return _Read(job, ImageError("unreadable", "there is not enough memory to read it"))


def _photo(data: bytes, settings: _Settings) -> Photo:
    return read_photo(data, settings.limits, keep_original=settings.compare, lenient=settings.lenient)


def _standard_input(limits: MeasureConfig) -> bytes:
    data = sys.stdin.buffer.read(limits.max_file_bytes + 1)
    if len(data) > limits.max_file_bytes:
        raise ImageError("too_many_bytes", f"more than {limits.max_file_bytes} bytes")
    return data


def _coloured(read: Iterator[_Read], colorizer: Colorizer, look: Look, batch: int) -> Iterator[_Coloured | _Outcome]:
    """Runs the networks on one batch at a time; failures keep their place in the order."""
    while some := list(islice(read, batch)):
        photos = [one.photo for one in some if isinstance(one.photo, Photo)]
        colours = iter(_colours(photos, colorizer, look))
        for one in some:
            if not isinstance(one.photo, Photo):
                yield _Outcome(one.job, one.photo)
            elif (ab := next(colours)) is None:
                yield _Outcome(one.job, ImageError("unreadable", "there is not enough memory to colour it"))
            else:
                yield _Coloured(one.job, one.photo, ab)


def _colours(photos: Sequence[Photo], colorizer: Colorizer, look: Look) -> Sequence[NDArray[np.float32] | None]:
    """Returns the ab of each photograph; all None if memory runs out."""
    try:
        return colorizer.predict_colours([photo.L for photo in photos], look) if photos else ()
    except MemoryError:
        return [None] * len(photos)


def _write(one: _Coloured | _Outcome, settings: _Settings) -> _Outcome:
    """Encodes and writes a photograph.

    Raises:
        StorageError: The disk is full or read-only, which stops the run. Other failures become the file's outcome.
    """
    if isinstance(one, _Outcome):
        return one
    try:
        dropped = _write_outputs(one, settings)
    except ImageError as error:
        return _Outcome(one.job, error)
    except MemoryError:
        return _Outcome(one.job, ImageError("unreadable", "there is not enough memory to write it"))
    except OSError as error:
        if error.errno in _DISK_ERRORS:
            with storage_errors(one.job.target):
                raise
        return _Outcome(one.job, StorageError(f"{one.job.target} cannot be written: {error.strerror or error}"))
    return _Outcome(one.job, None, one.photo.had_colour, one.photo.frames, one.photo.notes, dropped)


def colorize_bytes(
    data: bytes, target: Path, colorizer: Colorizer, look: Look, limits: MeasureConfig, *, lenient: bool = False
) -> bytes:
    """Colours the bytes of a photograph, as `colorize_paths` colours a file.

    Args:
        data: The bytes.
        target: Path of the output, which is not written: its suffix decides the format.
        colorizer: The models.
        look: How bold the colours are.
        limits: Size limits; a larger image is not decoded.
        lenient: Whether to colour what is left of a damaged JPEG, PNG or BMP.

    Raises:
        ImageError: It cannot be decoded, or written in that format, or there is not enough memory.
    """
    try:
        photo = read_photo(data, limits, lenient=lenient)
        file_format = FORMATS[target.suffix.lower()]
        rgb = _joined(photo, colorizer.predict_colour(photo.L, look), file_format)
        return encode(rgb, photo.alpha, photo.metadata.held_by(file_format), file_format, _QUALITY)
    except MemoryError as error:
        raise ImageError("unreadable", "there is not enough memory to colour it") from error


def _write_outputs(one: _Coloured, settings: _Settings) -> tuple[str, ...]:
    """Writes what is missing; returns the names of what the photograph's file holds and the result does not."""
    job, photo = one.job, one.photo
    file_format = FORMATS[job.target.suffix.lower()] if job.target != STANDARD else settings.file_format
    file_format = file_format or _own_format(photo)
    rgb = _joined(photo, one.ab, file_format)
    missing = [path for path in job.outputs if settings.overwrite or path == STANDARD or not path.exists()]
    if job.comparison in missing:
        picture = _side_by_side(photo, to_8_bits(rgb))
        write_output(job.comparison, encode(picture, None, _OF_COMPARISON, "JPEG", settings.quality))
    if job.target not in missing:
        return ()
    metadata = photo.metadata.held_by(file_format)
    write_output(job.target, encode(rgb, photo.alpha, metadata, file_format, settings.quality))
    return metadata.dropped


def _joined(photo: Photo, ab: NDArray[np.float32], file_format: Format) -> Pixels:
    """Returns the coloured pixels, with 16 bits if both the photograph and the format have them."""
    in_16_bits = photo.is_16_bit and file_format in FORMATS_16_BIT
    return join16(photo.L, ab) if in_16_bits else join(photo.L, ab)


def _own_format(photo: Photo) -> Format:
    return next((known for known in FORMATS.values() if known == photo.format), "PNG")


def _side_by_side(photo: Photo, coloured: Uint8) -> Uint8:
    """Returns the grey, coloured and, if any, original picture, separated by white lines.

    Args:
        photo: The photograph as read.
        coloured: uint8 sRGB [H, W, 3].

    Returns:
        uint8 [H, 2 W + line, 3] or [H, 3 W + 2 lines, 3], reduced if it is too large for a JPEG.
    """
    grey = join(photo.L, np.zeros((*photo.L.shape, 2), np.float32))
    panels = [grey, coloured] if photo.original is None else [grey, coloured, photo.original]
    if photo.alpha is not None:
        alpha = to_8_bits(photo.alpha)
        panels = [to_8_bits(on_white(panel, alpha)) for panel in panels]
    line = np.full((photo.L.shape[0], _LINE_PX, 3), 255, np.uint8)
    joined = np.hstack([part for panel in panels for part in (panel, line)][:-1])
    factor = _MAX_JPEG_SIDE_PX / max(joined.shape)
    if factor >= 1:
        return joined
    size = (int(joined.shape[1] * factor), max(1, int(joined.shape[0] * factor)))
    return np.asarray(cv2.resize(joined, size, interpolation=cv2.INTER_AREA), np.uint8)
