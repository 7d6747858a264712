"""Colouring files: read, coloured, written, several at once; and what became of each."""

import errno
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from recolor.color.depth import Pixels, to_8_bits
from recolor.color.gamut import join, join16
from recolor.colorize.colorizer import Colorizer, Look
from recolor.colorize.compare import side_by_side
from recolor.colorize.encode import DEEP_FORMATS, Format, encode
from recolor.colorize.metadata import Kept
from recolor.colorize.outputs import check_writable, deliver, is_done, remove_stray
from recolor.colorize.photo import Photo, read_photo
from recolor.colorize.plan import FORMATS, STANDARD, Job, make_plan
from recolor.config.settings import ExecutionConfig, MeasureConfig
from recolor.errors import ConfigError, ImageError, InputError, RecolorError, StorageError
from recolor.images import read_bytes
from recolor.models.device import torch_threads
from recolor.pipeline.parallel import in_threads, worker_count
from recolor.pipeline.storage import storage_errors

_BATCH_ON_CUDA = 16
_MOST_WORKERS = 4  # photographs under way at once, if they go one by one: each takes up to 50 bytes a pixel
_READ_AHEAD = 2  # photographs more than a batch: each takes 4 to 20 bytes a pixel
_WRITTEN_BEHIND = 2
_NOWHERE_TO_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that was not coloured, and why."""

    path: Path
    error: RecolorError


@dataclass(frozen=True, slots=True, kw_only=True)
class ColorizeResult:
    """What became of the files, each in the order of the files.

    Attributes:
        done: Outputs that were written.
        skipped: Outputs that were there already.
        failed: Files that were not coloured.
        had_colour: Photographs of which only the lightness was used.
        first_frames: Animations, or files of several pages, of which only the first frame was coloured.
    """

    done: tuple[Path, ...] = ()
    skipped: tuple[Path, ...] = ()
    failed: tuple[Failure, ...] = ()
    had_colour: tuple[Path, ...] = ()
    first_frames: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    """What holds for every file."""

    look: Look
    file_format: Format | None
    quality: int
    compare: bool
    overwrite: bool
    limits: MeasureConfig


@dataclass(frozen=True, slots=True)
class _Read:
    """A file that has been read, or the reason why not."""

    job: Job
    photo: Photo | RecolorError


@dataclass(frozen=True, slots=True)
class _Coloured:
    """A photograph with its colour, float32 [H, W, 2] at full size."""

    job: Job
    photo: Photo
    ab: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a file."""

    job: Job
    error: RecolorError | None = None
    had_colour: bool = False
    frames: int = 1


def colorize_paths(
    inputs: Sequence[Path],
    out: Path,
    colorizer: Colorizer,
    *,
    look: Look | None = None,
    overwrite: bool = False,
    compare: bool = False,
    file_format: Format | None = None,
    quality: int = 95,
    batch_images: int | None = None,
    limits: MeasureConfig | None = None,
) -> ColorizeResult:
    """Colours photographs, all photographs of folders, and those that match patterns.

    A folder's structure is kept. JPEG, PNG, WebP, TIFF and BMP keep their format; others become PNG. What is written is
    upright, with 16 bits and alpha where the photograph has them and the format too, with its EXIF, ICC, XMP and
    resolution. Each file is written whole or not at all. A file that cannot be read or written is reported and the
    others are done. Files are read and written by threads while the networks run.

    Args:
        inputs: Files, folders, patterns such as `old/**/*.jpg`; or `-` alone: standard input.
        out: Folder that everything is written to, and nothing outside of it; or, for one photograph, a file, or `-`:
            standard output.
        colorizer: The models.
        look: What a person may turn.
        overwrite: Whether to colour again what is there already.
        compare: Whether to write a picture of before and after beside each result.
        file_format: Of standard output; None is the photograph's own.
        quality: Of JPEG and WebP, 1..100.
        batch_images: Photographs that go through the networks together; None: 16 on CUDA, else 1.
        limits: Sizes above which a file is not read.

    Raises:
        InputError: An input is missing, a folder has no image, two inputs would have one output, or an output would
            overwrite an input. Nothing was written.
        ConfigError: A setting is impossible. Nothing was written.
        StorageError: The disk is full or cannot be written to; what was finished is kept.
    """
    if not 1 <= quality <= 100 or (batch_images is not None and batch_images < 1):
        raise ConfigError(f"quality = {quality}, batch = {batch_images}: allowed are 1 to 100, and 1 or more.")
    if file_format is not None and out != STANDARD:
        raise ConfigError("a format can be given for standard output only: the suffix of a file says its own.")
    plan = make_plan(inputs, out, compare=compare)
    check_writable(plan.jobs)
    remove_stray(plan.jobs)
    waiting = [job for job in plan.jobs if overwrite or not is_done(job)]
    settings = _Settings(
        look=look or Look(),
        file_format=file_format,
        quality=quality,
        compare=compare,
        overwrite=overwrite,
        limits=limits or MeasureConfig(),
    )
    batch = batch_images or (_BATCH_ON_CUDA if colorizer.device.type == "cuda" else 1)
    unreadable = [Failure(folder, InputError("this folder cannot be read.")) for folder in plan.unreadable_folders]
    outcomes = list(_colour_all(waiting, colorizer, settings, batch))
    return _summary(plan.jobs, waiting, outcomes, unreadable)


def _summary(
    jobs: Sequence[Job], waiting: Sequence[Job], outcomes: Sequence[_Outcome], unreadable: Sequence[Failure]
) -> ColorizeResult:
    good = [outcome for outcome in outcomes if outcome.error is None]
    new = set(waiting)
    failures = [Failure(outcome.job.source, outcome.error) for outcome in outcomes if outcome.error is not None]
    return ColorizeResult(
        done=tuple(outcome.job.target for outcome in good),
        skipped=tuple(job.target for job in jobs if job not in new),
        failed=(*failures, *unreadable),
        had_colour=tuple(outcome.job.source for outcome in good if outcome.had_colour),
        first_frames=tuple(outcome.job.source for outcome in good if outcome.frames > 1),
    )


def _colour_all(jobs: Sequence[Job], colorizer: Colorizer, settings: _Settings, batch: int) -> Iterator[_Outcome]:
    """In order, with several under way at once. What has not begun is dropped where the run is stopped."""
    cores = worker_count(ExecutionConfig())
    workers = max(1, min(cores, _MOST_WORKERS, len(jobs)))
    with torch_threads(max(1, cores // workers)), ThreadPoolExecutor(workers) as pool:
        try:
            outcomes = (_one_by_one if batch == 1 else _in_batches)(pool, jobs, colorizer, settings, batch)
            yield from tqdm(outcomes, desc="colorize", total=len(jobs), unit=" images", disable=None, delay=1)
        finally:
            pool.shutdown(cancel_futures=True)


def _one_by_one(
    pool: ThreadPoolExecutor, jobs: Sequence[Job], colorizer: Colorizer, settings: _Settings, _: int
) -> Iterator[_Outcome]:
    """Each photograph from reading to writing in one thread."""

    def colour(job: Job) -> _Outcome:
        (coloured,) = _coloured(iter([_read(job, settings)]), colorizer, settings.look, 1)
        return _write(coloured, settings)

    return in_threads(pool, colour, jobs, ahead=_MOST_WORKERS)


def _in_batches(
    pool: ThreadPoolExecutor, jobs: Sequence[Job], colorizer: Colorizer, settings: _Settings, batch: int
) -> Iterator[_Outcome]:
    """Reads ahead in threads, runs the networks here, and writes behind in threads."""
    read = in_threads(pool, lambda job: _read(job, settings), jobs, ahead=batch + _READ_AHEAD)
    coloured = _coloured(read, colorizer, settings.look, batch)
    return in_threads(pool, lambda one: _write(one, settings), coloured, ahead=_WRITTEN_BEHIND)


def _read(job: Job, settings: _Settings) -> _Read:
    try:
        data = _standard_input(settings.limits) if job.source == STANDARD else read_bytes(job.source, settings.limits)
        return _Read(job, read_photo(data, settings.limits, keep_original=settings.compare))
    except ImageError as error:
        return _Read(job, error)
    except MemoryError:
        return _Read(job, ImageError("unreadable", "there is not enough memory to read it"))


def _standard_input(limits: MeasureConfig) -> bytes:
    data = sys.stdin.buffer.read(limits.max_file_bytes + 1)
    if len(data) > limits.max_file_bytes:
        raise ImageError("too_many_pixels", f"more than {limits.max_file_bytes} bytes")
    return data


def _coloured(read: Iterator[_Read], colorizer: Colorizer, look: Look, batch: int) -> Iterator[_Coloured | _Outcome]:
    """Runs the networks on a batch of photographs at a time; failures keep their place."""
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
    """The ab of each; None for what there is not enough memory for."""
    try:
        return colorizer.predict_colours([photo.L for photo in photos], look) if photos else ()
    except MemoryError:
        return [None] * len(photos)


def _write(one: _Coloured | _Outcome, settings: _Settings) -> _Outcome:
    """Finishes and writes a photograph. A disk that is full stops the run, other failures concern this file alone."""
    if isinstance(one, _Outcome):
        return one
    try:
        _write_outputs(one, settings)
    except ImageError as error:
        return _Outcome(one.job, error)
    except MemoryError:
        return _Outcome(one.job, ImageError("unreadable", "there is not enough memory to write it"))
    except OSError as error:
        if error.errno in _NOWHERE_TO_WRITE:
            with storage_errors(one.job.target):
                raise
        return _Outcome(one.job, StorageError(f"{one.job.target} cannot be written: {error.strerror or error}"))
    return _Outcome(one.job, None, one.photo.had_colour, one.photo.frames)


def _write_outputs(one: _Coloured, settings: _Settings) -> None:
    job, photo = one.job, one.photo
    file_format = FORMATS[job.target.suffix.lower()] if job.target != STANDARD else settings.file_format
    file_format = file_format or _own_format(photo)
    rgb: Pixels = join16(photo.L, one.ab) if photo.deep and file_format in DEEP_FORMATS else join(photo.L, one.ab)
    missing = [path for path in job.outputs if settings.overwrite or path == STANDARD or not path.exists()]
    if job.comparison in missing:
        picture = side_by_side(photo, to_8_bits(rgb))
        deliver(job.comparison, encode(picture, None, Kept(), "JPEG", settings.quality))
    if job.target in missing:
        deliver(job.target, encode(rgb, photo.alpha, photo.kept, file_format, settings.quality))


def _own_format(photo: Photo) -> Format:
    return next((known for known in FORMATS.values() if known == photo.format), "PNG")
