"""Plans the output path of every photograph and checks the plan before anything is written."""

import glob
import os
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from recolor.cleaning.index import scan_folder
from recolor.colorize.encode import Format
from recolor.config.settings import IndexConfig
from recolor.errors import InputError
from recolor.paths import expand_user

STANDARD = Path("-")  # standard input, or standard output
FORMATS: Mapping[str, Format] = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm")
_WILDCARD = re.compile(r"[*?[]")
_READ_ONLY_SUFFIXES = (".gif", ".avif", ".heic", ".jp2", ".jxl", ".pdf")


@dataclass(frozen=True, slots=True)
class Job:
    """Paths of a photograph, of its coloured version, and of the comparison if one is made."""

    source: Path
    target: Path
    comparison: Path | None = None

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Outputs in the order of writing: if the target exists, the comparison does too."""
        return (self.target,) if self.comparison is None else (self.comparison, self.target)


@dataclass(frozen=True, slots=True)
class Plan:
    """The photographs in the order of the inputs, and the folders that could not be read."""

    jobs: tuple[Job, ...]
    unreadable_folders: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """Photographs with their paths below the output folder, and folders that cannot be read."""

    photographs: tuple[tuple[Path, Path], ...]
    unreadable_folders: tuple[Path, ...] = ()


def make_plan(inputs: Sequence[Path], out: Path, *, compare: bool = False) -> Plan:
    """Returns the output path of every photograph.

    Args:
        inputs: Files, folders, and patterns such as `old/**/*.jpg`; or only `-` for standard input.
        out: Output folder. For a single photograph also a file with the suffix of an image, or `-` for standard output.
        compare: Whether comparisons are made too.

    Raises:
        InputError: An input is missing, a folder or pattern has no image, two inputs have the same output, or an output
            would overwrite an input. Nothing was written.
    """
    if not inputs:
        raise InputError("nothing to colour: give photographs or folders of them.")
    if STANDARD in (*inputs, out) or _is_one_file(inputs, out):
        return _plan_one(inputs, out, compare)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: the output must be a folder, or for one photograph a file such as out.png.")
    found = [_find(path, out) for path in inputs]
    sources: dict[Path, Path] = {}
    for source, relative in [photograph for some in found for photograph in some.photographs]:
        target = out / _target_name(relative)
        if _real(sources.setdefault(target, source)) != _real(source):
            raise InputError(
                f"{source} and {sources[target]} would both become {target}. Give the folder that contains both, or"
                " colour them one by one."
            )
    jobs = tuple(_job(source, target, compare) for target, source in sources.items())
    _check(jobs, out)
    return Plan(jobs, tuple(folder for some in found for folder in some.unreadable_folders))


def is_video(path: Path) -> bool:
    """Returns whether a path has the suffix of a video and is not a folder."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir()


def _is_one_file(inputs: Sequence[Path], out: Path) -> bool:
    if out.suffix.lower() in _READ_ONLY_SUFFIXES and not out.is_dir():
        raise InputError(f"{out}: this format cannot be written. Give a name that ends in {', '.join(FORMATS)}.")
    return len(inputs) == 1 and not inputs[0].is_dir() and not _is_pattern(inputs[0]) and _is_file_name(out)


def _is_file_name(out: Path) -> bool:
    return out.suffix.lower() in FORMATS and not out.is_dir()


def _plan_one(inputs: Sequence[Path], out: Path, compare: bool) -> Plan:
    """Plans a single photograph whose output is a file, or that uses standard input or output."""
    (source, *others) = inputs
    if others or source.is_dir() or _is_pattern(source):
        raise InputError("`-` reads or writes one photograph: give one file or `-`, and one output.")
    if source != STANDARD and not os.path.lexists(source):
        raise InputError(f"{source}: there is no such file or folder.")
    if out == STANDARD:
        if compare:
            raise InputError("no comparison can be written to standard output. Give a file as OUT.")
        return Plan((Job(source, out),), ())
    if not _is_file_name(out):
        raise InputError(f"{out}: a photograph from standard input has no name. Give a file such as out.png, or `-`.")
    job = _job(source, out, compare)
    _check((job,), out.parent)
    return Plan((job,), ())


def _job(source: Path, target: Path, compare: bool) -> Job:
    """Returns a job, with the path of the comparison if one is made.

    The comparison of `a.jpg` is `a.compare.jpg`, that of `a.png` is `a.png.compare.jpg`. Only `.jpg` is dropped from
    the name, so that `a.jpg`, `a.JPG` and `a.png` in one folder have different comparisons.
    """
    stem = target.stem if target.suffix == ".jpg" else target.name
    return Job(source, target, target.with_name(f"{stem}.compare.jpg") if compare else None)


def _find(path: Path, out: Path) -> _Found:
    """Returns the photographs of an input, except those in the output folder."""
    if path.is_dir():
        return _in_folder(path, path, out)
    if os.path.lexists(path):
        return _Found(((path, Path(path.name)),))
    if _is_pattern(path):
        return _of_pattern(path, out)
    raise InputError(f"{path}: there is no such file or folder.")


def _in_folder(folder: Path, base: Path, out: Path) -> _Found:
    """Returns the image files in a folder, with their paths relative to `base`."""
    scan = scan_folder(folder, IndexConfig(), skip=(out,) if _real(out) != _real(folder) else ())
    if not scan.found and not scan.unreadable_folders:
        raise InputError(f"{folder}: this folder contains no image files.")
    photographs = (folder / file.path for file in scan.found)
    return _Found(
        tuple((path, path.relative_to(base)) for path in photographs), tuple(map(Path, scan.unreadable_folders))
    )


def _is_pattern(path: Path) -> bool:
    return not os.path.lexists(path) and _WILDCARD.search(str(path)) is not None


def _of_pattern(pattern: Path, out: Path) -> _Found:
    """Returns matching image files and those in matching folders.

    Paths are relative to the folder before the first wildcard.
    """
    pattern = expand_user(pattern)  # patterns are quoted, so the shell does not expand `~`
    parts = pattern.parts
    first = next(number for number, part in enumerate(parts) if _WILDCARD.search(part))
    base = Path(*parts[:first])
    matches = [Path(match) for match in sorted(glob.glob(str(pattern), recursive=True))]  # noqa: PTH207 - takes whole paths
    kept = [path for path in matches if _real(out) == _real(base) or not _real(path).is_relative_to(_real(out))]
    photographs = dict.fromkeys(path for path in _files_of(kept, out))
    if not photographs:
        raise InputError(f"{pattern}: no image file matches.")
    return _Found(tuple((path, path.relative_to(base)) for path in photographs))


def _files_of(matches: Sequence[Path], out: Path) -> Iterator[Path]:
    """Yields matching images and the images in matching folders.

    A folder inside a matching one is not scanned again.
    """
    named = set(matches)
    for path in matches:
        if not path.is_dir():
            if path.name.lower().endswith(IndexConfig().suffixes):
                yield path
        elif not any(parent in named for parent in path.parents):
            yield from (path / file.path for file in scan_folder(path, IndexConfig(), skip=(out,)).found)


def _real(path: Path) -> Path:
    """Returns the path with all links followed.

    Unlike `Path.resolve`, it does not raise for a loop of links.
    """
    return Path(os.path.realpath(path))


def _target_name(relative: Path) -> Path:
    kept = relative.suffix.lower() in FORMATS
    return relative if kept else relative.with_name(relative.name + ".png")


def _check(jobs: Sequence[Job], out: Path) -> None:
    """Checks that all outputs can and may be written.

    Raises:
        InputError: One cannot or must not be written; see `make_plan`.
    """
    originals = {_real(job.source) for job in jobs}
    targets = {job.target for job in jobs}
    for job in jobs:
        if job.comparison in targets:
            raise InputError(f"{job.comparison}: both a photograph and a comparison would have this name.")
        for path in job.outputs:
            _check_target(path, out, originals)


def _check_target(target: Path, out: Path, originals: Set[Path]) -> None:
    """Checks one output.

    Raises:
        InputError: A link leads out of `out`, the target is an input, or a folder or file is in the way.
    """
    real = _real(target.parent) / target.name
    if not real.is_relative_to(_real(out)):
        raise InputError(f"{target}: a link leads out of {out}, where nothing is written. Remove the link.")
    if real in originals:
        raise InputError(f"{target}: the coloured photograph would replace the original. Give another folder.")
    in_the_way = target if target.is_dir() else next((path for path in target.parents if path.is_file()), None)
    if in_the_way is not None:
        raise InputError(f"{in_the_way}: is in the way of {target}. Move it, or give another folder.")
