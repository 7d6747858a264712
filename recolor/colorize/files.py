"""Photographs and folders of them: which file becomes which, and what became of each."""

import io
import logging
import os
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from recolor.colorize.colorizer import Colorizer
from recolor.config import IndexConfig, MeasureConfig
from recolor.errors import ImageError, InputError
from recolor.images import decode, read_bytes
from recolor.index import scan_folder
from recolor.storage import storage_errors, write_atomically

_JPEG = ("JPEG", {"quality": 95, "subsampling": 0})  # 4:4:4: colour is what is new
_TIFF = ("TIFF", {"compression": "tiff_deflate"})
_FORMATS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".png": ("PNG", {}),
    ".webp": ("WEBP", {"quality": 95}),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".bmp": ("BMP", {}),
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that was not coloured, and why."""

    path: Path
    error: ImageError


@dataclass(frozen=True, slots=True)
class ColorizeResult:
    """What became of the files: coloured now, there already, not colourable; in the order of the files."""

    done: tuple[Path, ...]
    skipped: tuple[Path, ...]
    failed: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class _Job:
    """One photograph and where its coloured version goes."""

    source: Path
    target: Path


def colorize_paths(
    inputs: Sequence[Path],
    out: Path,
    colorizer: Colorizer,
    *,
    overwrite: bool = False,
    limits: MeasureConfig | None = None,
) -> ColorizeResult:
    """Colours photographs, and all photographs of folders, into a folder.

    A folder's structure is kept. JPEG, PNG, WebP, TIFF and BMP keep their format; others become PNG. Each file is
    written whole or not at all. A file that cannot be read is reported and the others are done.

    Args:
        inputs: Files and folders.
        out: Folder that everything is written to, and nothing outside of it.
        colorizer: The models.
        overwrite: Whether to colour again what is there already.
        limits: Sizes above which a file is not read.

    Raises:
        InputError: An input is missing, a folder has no image, two inputs would have one output, or an output would
            overwrite an input. Nothing was written.
        StorageError: The disk is full or cannot be written to; what was finished is kept.
    """
    jobs = _plan(inputs, out)
    done, skipped, failed = [], [], []
    for job in tqdm(jobs, desc="colorize", unit=" images", disable=None, delay=1):
        if job.target.exists() and not overwrite:
            skipped.append(job.target)
            continue
        try:
            _colorize_file(job, colorizer, limits or MeasureConfig())
            done.append(job.target)
        except ImageError as error:
            _log.warning("%s: not coloured, %s", job.source, error)
            failed.append(Failure(job.source, error))
    return ColorizeResult(tuple(done), tuple(skipped), tuple(failed))


def _colorize_file(job: _Job, colorizer: Colorizer, limits: MeasureConfig) -> None:
    rgb = decode(read_bytes(job.source, limits), limits).rgb
    data = _encode(Image.fromarray(colorizer.colorize_rgb(rgb)), job.target.suffix.lower())
    with storage_errors(job.target):
        job.target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(job.target, data)


def _encode(picture: Image.Image, suffix: str) -> bytes:
    """The file's bytes, without metadata: sRGB, upright.

    Raises:
        ImageError: `unsupported`: the format has no room for a picture of this size.
    """
    buffer = io.BytesIO()
    file_format, options = _FORMATS[suffix]
    try:
        picture.save(buffer, file_format, **options)
    except (OSError, ValueError) as error:
        raise ImageError("unsupported", f"cannot be written as {file_format}: {error}") from error
    return buffer.getvalue()


def _plan(inputs: Sequence[Path], out: Path) -> list[_Job]:
    """Every photograph with its place under `out`.

    Raises:
        InputError: See `colorize_paths`.
    """
    if not inputs:
        raise InputError("nothing to colour: give photographs or folders of them.")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: the output must be a folder, and this is a file.")
    sources: dict[Path, Path] = {}
    for source, relative in [found for path in inputs for found in _photographs(path, out)]:
        target = out / _target_name(relative)
        if _real(sources.setdefault(target, source)) != _real(source):
            raise InputError(f"{source} and {sources[target]} would both become {target}. Colour them one by one.")
    originals = {_real(source) for source in sources.values()}
    for target in sources:
        _check_target(target, out, originals)
    return [_Job(source, target) for target, source in sources.items()]


def _photographs(path: Path, out: Path) -> Iterator[tuple[Path, Path]]:
    """A file, or the image files under a folder, each with its path relative to that folder; `out` is left out."""
    if path.is_dir():
        found = scan_folder(path, IndexConfig(), skip=(out,) if _real(out) != _real(path) else ()).found
        if not found:
            raise InputError(f"{path}: no image file is in this folder.")
        yield from ((path / file.path, Path(file.path)) for file in found)
    elif path.exists():
        yield path, Path(path.name)
    else:
        raise InputError(f"{path}: there is no such file or folder.")


def _real(path: Path) -> Path:
    """The path with every link followed; unlike `Path.resolve`, a loop of links is no error."""
    return Path(os.path.realpath(path))


def _target_name(relative: Path) -> Path:
    kept = relative.suffix.lower() in _FORMATS
    return relative if kept else relative.with_name(relative.name + ".png")


def _check_target(target: Path, out: Path, originals: Set[Path]) -> None:
    """Refuses a target that a link leads out of `out`, that is a photograph to be coloured, or that cannot be made."""
    real = _real(target.parent) / target.name
    if not real.is_relative_to(_real(out)):
        raise InputError(f"{target}: a link leads out of {out}; nothing is written there. Remove the link.")
    if real in originals:
        raise InputError(f"{target}: the coloured photograph would take the original's place. Give another folder.")
    in_the_way = target if target.is_dir() else next((path for path in target.parents if path.is_file()), None)
    if in_the_way is not None:
        raise InputError(f"{in_the_way}: this is in the way of {target}. Move it, or give another folder.")
