"""Plans the output path of every photograph and video and checks the plan before anything is written."""

import errno
import glob
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from recolor.cleaning.index import SkipPatterns, is_output_folder, scan_folder
from recolor.cleaning.passed_over import (
    COMPARISON_SUFFIX,
    OTHER_IMAGE_SUFFIXES,
    RAW_SUFFIXES,
    VIDEO_SUFFIXES,
    PassedOver,
    is_comparison,
)
from recolor.config.settings import IndexConfig
from recolor.errors import InputError
from recolor.manifests.names import decode_path, encode_path
from recolor.paths import expand_user
from recolor.pipeline.inputs import STANDARD, WILDCARD, check_inputs, is_pattern
from recolor.pipeline.storage import fitting_name, keeps_apart, storage_errors

if TYPE_CHECKING:
    from recolor.colorize.encode import Format

FORMATS: Mapping[str, "Format"] = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
WRITTEN_VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")
_READ_ONLY_SUFFIXES = (".gif", ".mpo", ".avif", ".heic", ".heif", ".hif", ".pdf", ".xmp")
_FILE_SUFFIX = re.compile(r"\.[a-z][a-z0-9]{1,4}")  # `new.xyz` is meant as a file, `new.2024` and `J. Smith` as folders


@dataclass(frozen=True, slots=True)
class Job:
    """Paths of a photograph or video, of its coloured version, and of the comparison if one is made."""

    source: Path
    target: Path
    comparison: Path | None = None

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Outputs in the order of writing: if the target exists, the comparison does too."""
        return (self.target,) if self.comparison is None else (self.comparison, self.target)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be coloured.

    Attributes:
        jobs: The photographs in the order of the inputs.
        videos: The videos in the order of the inputs.
        unreadable_folders: Folders that could not be read.
        renamed: Jobs whose target has another name than their photograph's, because another output has that name or
            because it would be too long.
        passed_over: Numbers of files in folders and patterns that are not taken.
    """

    jobs: tuple[Job, ...]
    videos: tuple[Job, ...] = ()
    unreadable_folders: tuple[Path, ...] = ()
    renamed: tuple[Job, ...] = ()
    passed_over: PassedOver = field(default_factory=PassedOver)


@dataclass(frozen=True, slots=True)
class _Found:
    """Files with their paths below the output folder, folders that cannot be read, and what is not taken."""

    files: tuple[tuple[Path, Path], ...]
    unreadable_folders: tuple[Path, ...] = ()
    passed_over: PassedOver = field(default_factory=PassedOver)


def make_plan(inputs: Sequence[Path], out: Path, *, compare: bool = False, videos: bool = False) -> Plan:
    """Returns the output path of every photograph and video.

    No two files get the same output: of two whose outputs would have the same name, or names that the file system
    of `out` takes for the same, one is numbered, as in `a~2.jpg`.

    Args:
        inputs: Files, folders, and patterns such as `old/**/*.jpg`; or only `-` for standard input.
        out: Output folder. For a single photograph also a file with the suffix of an image, or `-` for standard output;
            for a single video also a file with the suffix of a video.
        compare: Whether comparisons of photographs are made too.
        videos: Whether videos in folders and those that match patterns are taken; a video given by name always is.

    Raises:
        InputError: An input is missing, a folder or pattern has no image, two inputs have the same path below `out`,
            or an output would overwrite an input. Nothing was written.
        StorageError: `out` cannot be written to.
    """
    if not inputs:
        raise InputError("nothing to colour: give photographs or folders of them.")
    if STANDARD in (*inputs, out) or _is_one_file(inputs, out):
        return _plan_one(inputs, out, compare)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: the output must be a folder, or for one photograph a file such as out.png.")
    suffixes = (*IndexConfig().suffixes, *(VIDEO_SUFFIXES if videos else ()))
    found = [_find(path, out, IndexConfig(suffixes=suffixes)) for path in inputs]
    sources: dict[Path, Path] = {}
    for source, relative in [file for some in found for file in some.files]:
        first = sources.setdefault(relative, source)
        if first is not source and _real(first) != _real(source):
            raise InputError(
                f"{source} and {first} would both become {out / target_name(relative)}. Give the folder that contains"
                " both, or colour them one by one."
            )
    jobs, renamed = _jobs(sources, out, compare)
    _check(jobs, out)
    passed_over = PassedOver()
    for some in found:
        passed_over.add(some.passed_over)
    unreadable = tuple(folder for some in found for folder in some.unreadable_folders)
    photographs = tuple(job for job in jobs if not is_video(job.source))
    return Plan(photographs, tuple(job for job in jobs if is_video(job.source)), unreadable, renamed, passed_over)


def _jobs(sources: Mapping[Path, Path], out: Path, compare: bool) -> tuple[tuple[Job, ...], tuple[Job, ...]]:
    """Returns a job for each file, and those whose target is not called as usual.

    Args:
        sources: Files by their paths below the output folder.
        out: The output folder.
        compare: Whether comparisons are made too.
    """
    usual = {relative: target_name(relative) for relative in sources}
    names = _Names(out)
    # In an order that does not depend on the order of the inputs; photographs that keep their name come first.
    order = sorted(sources, key=lambda relative: (usual[relative] != relative, os.fsencode(relative)))
    targets = {relative: names.take(usual[relative]) for relative in order}
    compared = [relative for relative in order if compare and not is_video(sources[relative])]
    comparisons = {relative: names.take(_comparison(targets[relative])) for relative in compared}
    jobs = {
        relative: Job(source, out / targets[relative], out / comparisons[relative] if relative in comparisons else None)
        for relative, source in sources.items()
    }
    return tuple(jobs.values()), tuple(job for relative, job in jobs.items() if targets[relative] != usual[relative])


class _Names:
    """Gives output paths, relative to the output folder, that the file system keeps apart."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._given: dict[str, list[Path]] = {}
        self._keeps_ascii_apart: bool | None = None

    def take(self, path: Path) -> Path:
        """Returns the path, shortened if its name is too long, and numbered if another path has its name."""
        free = next(name for name in _candidates(path) if self._is_free(name))
        self._given.setdefault(_folded(free), []).append(free)
        return free

    def _is_free(self, path: Path) -> bool:
        alike = self._given.get(_folded(path), ())
        return all(path != other and self._keeps_apart(path, other) for other in alike)

    def _keeps_apart(self, path: Path, other: Path) -> bool:
        if not (str(path).isascii() and str(other).isascii()):
            return self._try(path, other)
        if self._keeps_ascii_apart is None:  # the same for all such names, and there may be thousands of pairs
            self._keeps_ascii_apart = self._try(path, other)
        return self._keeps_ascii_apart

    def _try(self, path: Path, other: Path) -> bool:
        with storage_errors(self._out):
            try:
                return keeps_apart(self._out, path, other)
            except OSError as error:
                if error.errno in (errno.EILSEQ, errno.EINVAL, errno.ENAMETOOLONG):
                    return True  # a name that cannot be written fails on its own later
                raise


def _candidates(path: Path) -> Iterator[Path]:
    """Yields a path, then the path with numbers, `a~2.jpg`, `a~3.jpg`, ...; names that are too long are shortened."""
    suffix = COMPARISON_SUFFIX if path.name.endswith(COMPARISON_SUFFIX) else path.suffix
    stem = path.name.removesuffix(suffix)
    yield path.with_name(fitting_name(stem, suffix))
    for number in count(2):
        yield path.with_name(fitting_name(f"{stem}~{number}", suffix))


def _folded(path: Path) -> str:
    """Returns the same text for all paths that some file system may take for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", encode_path(path)).casefold())


def is_video(path: Path) -> bool:
    """Returns whether a path has the suffix of a video and is not a folder."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir()


def _is_one_file(inputs: Sequence[Path], out: Path) -> bool:
    """Returns whether a single photograph or video is to become a file.

    Raises:
        InputError: `out` is called like a file that cannot be written.
    """
    one = len(inputs) == 1 and not inputs[0].is_dir() and not is_pattern(inputs[0])
    suffix = out.suffix.lower()
    known = WRITTEN_VIDEO_SUFFIXES if one and is_video(inputs[0]) else tuple(FORMATS)
    is_other_format = suffix in (*_READ_ONLY_SUFFIXES, *OTHER_IMAGE_SUFFIXES, *RAW_SUFFIXES, *VIDEO_SUFFIXES)
    is_file = is_other_format or (one and _FILE_SUFFIX.fullmatch(suffix) is not None)
    if is_file and suffix not in known and not out.is_dir():
        what, usual = ("a video", ".mp4") if known == WRITTEN_VIDEO_SUFFIXES else ("a photograph", ".png")
        near = [] if is_other_format else get_close_matches(suffix, known, n=1)  # `.jgp` is a slip, `.gif` is none
        example = out.with_suffix([*near, usual][0]).name
        raise InputError(
            f"{out}: {what} cannot be written in this format. Give a name such as {example}: it may end in"
            f" {', '.join(known)}. Or give the name of a folder that is there."
        )
    return one and suffix in known and not out.is_dir()


def _plan_one(inputs: Sequence[Path], out: Path, compare: bool) -> Plan:
    """Plans a single file whose output is a file, or a photograph that uses standard input or output."""
    (source, *others) = inputs
    if others or source.is_dir() or is_pattern(source):
        raise InputError("`-` reads or writes one photograph: give one file or `-`, and one output.")
    check_inputs([source])
    if is_video(source):
        if out == STANDARD:
            raise InputError(f"{source}: a video cannot be written to standard output. Give a file such as new.mp4.")
        job = Job(source, out)
        _check((job,), out.parent)
        return Plan((), (job,))
    if out == STANDARD:
        if compare:
            raise InputError("no comparison can be written to standard output. Give a file as OUT.")
        return Plan((Job(source, out),))
    if not _is_one_file([source], out):
        raise InputError(f"{out}: a photograph from standard input has no name. Give a file such as out.png, or `-`.")
    job = Job(source, out, _Names(out.parent).take(_comparison(out)) if compare else None)
    _check((job,), out.parent)
    return Plan((job,))


def _comparison(target: Path) -> Path:
    """Returns the path of a target's comparison.

    The comparison of `a.jpg` is `a.compare.jpg`, that of `a.png` is `a.png.compare.jpg`. Only `.jpg` is dropped from
    the name, so that `a.jpg`, `a.JPG` and `a.png` in one folder have different comparisons.
    """
    return target.with_name((target.stem if target.suffix == ".jpg" else target.name) + COMPARISON_SUFFIX)


def _find(path: Path, out: Path, config: IndexConfig) -> _Found:
    """Returns the files of an input, except those in the output folder."""
    if path.is_dir():
        return _in_folder(path, path, out, config)
    if os.path.lexists(path):
        return _Found(((path, Path(path.name)),))
    check_inputs([path])
    return _of_pattern(path, out, config)


def _in_folder(folder: Path, base: Path, out: Path, config: IndexConfig) -> _Found:
    """Returns the files in a folder, with their paths relative to `base`."""
    scan = scan_folder(folder, config, skip=(out,) if _real(out) != _real(folder) else ())
    if not scan.found and not scan.unreadable_folders:
        raise InputError(f"{folder}: this folder contains no image files{_instead(scan.passed_over)}.")
    photographs = (folder / decode_path(file.path) for file in scan.found)
    return _Found(
        tuple((path, path.relative_to(base)) for path in photographs),
        tuple(map(Path, scan.unreadable_folders)),
        scan.passed_over,
    )


def _instead(passed_over: PassedOver) -> str:
    text = str(passed_over)
    videos = "; --videos takes videos" if passed_over.videos else ""
    return f" ({text}{videos})" if text else ""


def _of_pattern(pattern: Path, out: Path, config: IndexConfig) -> _Found:
    """Returns matching files and those in matching folders.

    Paths are relative to the folder before the first wildcard.
    """
    pattern = expand_user(pattern)  # patterns are quoted, so the shell does not expand `~`
    parts = pattern.parts
    first = next(number for number, part in enumerate(parts) if WILDCARD.search(part))
    base = Path(*parts[:first])
    matches = [Path(match) for match in sorted(glob.glob(str(pattern), recursive=True))]  # noqa: PTH207 - takes whole paths
    kept = [path for path in matches if _real(out) == _real(base) or not _real(path).is_relative_to(_real(out))]
    passed_over = PassedOver()
    photographs = dict.fromkeys(_files_of(_not_skipped(kept, base, passed_over), out, config, passed_over))
    if not photographs:
        raise InputError(f"{pattern}: no image file matches{_instead(passed_over)}.")
    return _Found(tuple((path, path.relative_to(base)) for path in photographs), passed_over=passed_over)


def _not_skipped(matches: Sequence[Path], base: Path, passed_over: PassedOver) -> list[Path]:
    """Returns the matches that are not skipped in a folder either: system files and the outputs of workspaces."""
    patterns = SkipPatterns(IndexConfig().skip)
    named = set(matches)
    skipped: set[Path] = set()

    def is_skipped(path: Path) -> bool:
        """Returns whether a path, or a folder around it below `base`, is skipped; counts it the first time."""
        if path == base:
            return False
        if path in skipped or is_skipped(path.parent):
            return True
        pattern = patterns.pattern(path.parent.name, path.name)
        if pattern is None and not is_output_folder(path):
            return False
        skipped.add(path)
        if not any(parent in named for parent in path.parents):  # or else it is counted with that folder
            if pattern is not None:
                passed_over.skipped[pattern] += 1
            else:
                passed_over.outputs[f"{path.name}/"] += 1
        return True

    return [path for path in matches if not is_skipped(path)]


def _files_of(matches: Sequence[Path], out: Path, config: IndexConfig, passed_over: PassedOver) -> Iterator[Path]:
    """Yields matching files and the files in matching folders; counts what it does not take.

    A folder inside a matching one is not scanned again.
    """
    named = set(matches)
    for path in matches:
        is_inside = any(parent in named for parent in path.parents)
        if not path.is_dir():
            if is_comparison(str(path)):
                passed_over.outputs[f"*{COMPARISON_SUFFIX}"] += not is_inside
            elif path.name.lower().endswith(config.suffixes):
                yield path
            elif not is_inside:  # or else it is counted with its folder
                passed_over.count_file(path.name)
        elif not is_inside:
            scan = scan_folder(path, config, skip=(out,))
            passed_over.add(scan.passed_over)
            yield from (path / decode_path(file.path) for file in scan.found)


def _real(path: Path) -> Path:
    """Returns the path with all links followed.

    Unlike `Path.resolve`, it does not raise for a loop of links.
    """
    return Path(os.path.realpath(path))


def target_name(relative: Path) -> Path:
    """Returns the path of a file's coloured version, relative to the output folder: formats that are written stay."""
    suffix = relative.suffix.lower()
    kept = suffix in FORMATS or suffix in WRITTEN_VIDEO_SUFFIXES
    return relative if kept else relative.with_name(relative.name + (".mp4" if suffix in VIDEO_SUFFIXES else ".png"))


def _check(jobs: Sequence[Job], out: Path) -> None:
    """Checks that all outputs can and may be written.

    Raises:
        InputError: One cannot or must not be written; see `make_plan`.
    """
    originals = {_real(job.source) for job in jobs}
    for job in jobs:
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
        raise InputError(f"{target}: the coloured file would replace the original. Give another name or folder.")
    in_the_way = target if target.is_dir() else next((path for path in target.parents if path.is_file()), None)
    if in_the_way is not None:
        raise InputError(f"{in_the_way}: is in the way of {target}. Move it, or give another folder.")
