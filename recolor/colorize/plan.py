"""Which file becomes which: decided, and checked, before anything is written."""

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
_MAGIC = re.compile(r"[*?[]")
_NEVER_WRITTEN = (".gif", ".avif", ".heic", ".jp2", ".jxl", ".pdf")


@dataclass(frozen=True, slots=True)
class Job:
    """One photograph, where its coloured version goes, and where the comparison, if one is made."""

    source: Path
    target: Path
    comparison: Path | None = None

    @property
    def outputs(self) -> tuple[Path, ...]:
        """In the order of writing: if the target is there, so is the comparison."""
        return (self.target,) if self.comparison is None else (self.comparison, self.target)


@dataclass(frozen=True, slots=True)
class Plan:
    """The photographs in the order of the inputs, and the folders that could not be looked into."""

    jobs: tuple[Job, ...]
    unreadable_folders: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """Photographs, each with its place below the output folder; and folders that could not be looked into."""

    photographs: tuple[tuple[Path, Path], ...]
    unreadable_folders: tuple[Path, ...] = ()


def make_plan(inputs: Sequence[Path], out: Path, *, compare: bool = False) -> Plan:
    """Every photograph with its place.

    Args:
        inputs: Files, folders, patterns such as `old/**/*.jpg`; or `-` alone: standard input.
        out: A folder; or, for one file, a file with the suffix of an image, or `-`: standard output.
        compare: Whether comparisons are made too.

    Raises:
        InputError: An input is missing, a folder or pattern has no image, two inputs would have one output, or an
            output would overwrite an input. Nothing was written.
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
                f"{source} and {sources[target]} would both become {target}. Give the folder that holds both, or colour"
                " them one by one."
            )
    jobs = tuple(_job(source, target, compare) for target, source in sources.items())
    _check(jobs, out)
    return Plan(jobs, tuple(folder for some in found for folder in some.unreadable_folders))


def is_video(path: Path) -> bool:
    """Whether a name has the suffix of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir()


def _is_one_file(inputs: Sequence[Path], out: Path) -> bool:
    if out.suffix.lower() in _NEVER_WRITTEN and not out.is_dir():
        raise InputError(f"{out}: this format is not written. Give a name that ends in {', '.join(FORMATS)}.")
    return len(inputs) == 1 and not inputs[0].is_dir() and not _is_pattern(inputs[0]) and _is_file_name(out)


def _is_file_name(out: Path) -> bool:
    return out.suffix.lower() in FORMATS and not out.is_dir()


def _plan_one(inputs: Sequence[Path], out: Path, compare: bool) -> Plan:
    """One photograph to one file, or through standard input or output."""
    (source, *others) = inputs
    if others or source.is_dir() or _is_pattern(source):
        raise InputError("`-` stands for one photograph: give one file, or `-`, and one output.")
    if source != STANDARD and not os.path.lexists(source):
        raise InputError(f"{source}: there is no such file or folder.")
    if out == STANDARD:
        if compare:
            raise InputError("standard output holds one picture: no comparison can be written. Give a file as OUT.")
        return Plan((Job(source, out),), ())
    if not _is_file_name(out):
        raise InputError(f"{out}: what comes from standard input has no name. Give a file such as out.png, or `-`.")
    job = _job(source, out, compare)
    _check((job,), out.parent)
    return Plan((job,), ())


def _job(source: Path, target: Path, compare: bool) -> Job:
    """`a.jpg` has `a.compare.jpg` beside it; `a.png` and `a.JPG`, which may stand there too, `a.png.compare.jpg`."""
    stem = target.stem if target.suffix == ".jpg" else target.name
    return Job(source, target, target.with_name(f"{stem}.compare.jpg") if compare else None)


def _find(path: Path, out: Path) -> _Found:
    """What an input stands for; what is in the output folder is left out."""
    if path.is_dir():
        return _in_folder(path, path, out)
    if os.path.lexists(path):
        return _Found(((path, Path(path.name)),))
    if _is_pattern(path):
        return _of_pattern(path, out)
    raise InputError(f"{path}: there is no such file or folder.")


def _in_folder(folder: Path, base: Path, out: Path) -> _Found:
    """Image files under a folder, with their paths relative to `base`."""
    scan = scan_folder(folder, IndexConfig(), skip=(out,) if _real(out) != _real(folder) else ())
    if not scan.found and not scan.unreadable_folders:
        raise InputError(f"{folder}: no image file is in this folder.")
    photographs = (folder / file.path for file in scan.found)
    return _Found(
        tuple((path, path.relative_to(base)) for path in photographs), tuple(map(Path, scan.unreadable_folders))
    )


def _is_pattern(path: Path) -> bool:
    return not os.path.lexists(path) and _MAGIC.search(str(path)) is not None


def _of_pattern(pattern: Path, out: Path) -> _Found:
    """Matching image files, and those of matching folders; their places are relative to where the pattern begins."""
    pattern = pattern.expanduser()  # quoted, so no shell has done it
    parts = pattern.parts
    first = next(number for number, part in enumerate(parts) if _MAGIC.search(part))
    base = Path(*parts[:first])
    matches = [Path(match) for match in sorted(glob.glob(str(pattern), recursive=True))]  # noqa: PTH207 - takes whole paths
    kept = [path for path in matches if _real(out) == _real(base) or not _real(path).is_relative_to(_real(out))]
    photographs = dict.fromkeys(path for path in _files_of(kept, out))
    if not photographs:
        raise InputError(f"{pattern}: no image file matches.")
    return _Found(tuple((path, path.relative_to(base)) for path in photographs))


def _files_of(matches: Sequence[Path], out: Path) -> Iterator[Path]:
    """The images among them, and those in folders among them unless the files below match too (`**`)."""
    named = set(matches)
    for path in matches:
        if not path.is_dir():
            if path.name.lower().endswith(IndexConfig().suffixes):
                yield path
        elif not any(parent in named for parent in path.parents):
            yield from (path / file.path for file in scan_folder(path, IndexConfig(), skip=(out,)).found)


def _real(path: Path) -> Path:
    """The path with every link followed; unlike `Path.resolve`, a loop of links is no error."""
    return Path(os.path.realpath(path))


def _target_name(relative: Path) -> Path:
    kept = relative.suffix.lower() in FORMATS
    return relative if kept else relative.with_name(relative.name + ".png")


def _check(jobs: Sequence[Job], out: Path) -> None:
    """Refuses what cannot be, or must not be, written.

    Raises:
        InputError: See `make_plan`.
    """
    originals = {_real(job.source) for job in jobs}
    targets = {job.target for job in jobs}
    for job in jobs:
        if job.comparison in targets:
            raise InputError(f"{job.comparison}: a photograph and a comparison would have this name.")
        for path in job.outputs:
            _check_target(path, out, originals)


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
