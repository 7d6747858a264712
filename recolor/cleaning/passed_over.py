"""What a scan of folders does not take: numbers of files by kind, of skipped names, and of what Recolor wrote."""

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from recolor.manifests.names import shown

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"),
    *(".mpg", ".mpeg", ".m2v", ".vob", ".ts", ".mts", ".m2ts", ".wmv", ".flv", ".3gp", ".dv", ".ogv", ".mxf"),
)
RAW_SUFFIXES = (
    *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".raf", ".orf", ".rw2", ".pef", ".srw"),
    *(".x3f", ".3fr", ".fff", ".iiq", ".mef", ".mos", ".erf", ".kdc", ".dcr", ".mrw", ".rwl", ".raw"),
)
OTHER_IMAGE_SUFFIXES = (
    *(".jp2", ".j2k", ".jpx", ".jxl", ".psd", ".psb", ".xcf", ".svg", ".eps", ".ai", ".tga", ".exr", ".hdr"),
    *(".pcx", ".ppm", ".pgm", ".pbm", ".ico", ".wdp", ".jxr"),
)
COMPARISON_SUFFIX = ".compare.jpg"
COMPARISON_COMMENT = b"Before and after, side by side: made by Recolor"  # in the files of that suffix, near the start

_COUNTED_SUFFIX = re.compile(r"\.[^\s.]{1,16}")
_MOST_SUFFIXES = 10  # of a kind that are listed; the others are summed up
_KINDS: tuple[tuple[str, str, tuple[str, ...]], ...] = (  # one, several, and their suffixes
    ("video", "videos", VIDEO_SUFFIXES),
    ("RAW file", "RAW files", RAW_SUFFIXES),
    ("image of another format", "images of other formats", OTHER_IMAGE_SUFFIXES),
)
_OTHER = ("other file", "other files")
_HEAD_BYTES = 4096


@dataclass(slots=True)
class PassedOver:
    """Numbers of files and folders that are not taken.

    Attributes:
        suffixes: Number of files that are not images, by suffix in lower case; the empty suffix for none.
        hidden: Number of files and folders whose names begin with a dot, unless a pattern names them. What is inside is
            not counted.
        skipped: Number of folders and files that match `index.skip`, by pattern. What is inside is not counted.
        outputs: Number of folders and files that Recolor wrote: workspaces' `data/` and `manifests/`, exports, and
            comparisons of coloured photographs.
    """

    suffixes: Counter[str] = field(default_factory=Counter)
    hidden: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    outputs: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        """Returns the numbers as text; empty if there are none.

        For example `passed over: 3 videos (.mp4 2, .mov 1), 1 other file (.txt 1), 2 hidden; skipped: 3 @eaDir`.
        """
        kinds = _by_kind(self.suffixes) + ([f"{self.hidden:,} hidden"] if self.hidden else [])
        passed_over = [f"passed over: {', '.join(kinds)}"] if kinds else []
        others = {"skipped": self.skipped, "outputs of Recolor": self.outputs}
        listed = [f"{name}: {_listed(counts, '{count} {name}')}" for name, counts in others.items() if counts]
        return "; ".join([*passed_over, *listed])

    @property
    def videos(self) -> int:
        """Number of videos."""
        return sum(count for suffix, count in self.suffixes.items() if suffix in VIDEO_SUFFIXES)

    def add(self, other: "PassedOver") -> None:
        """Adds the numbers of another folder."""
        for name in (found.name for found in fields(self)):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def count_file(self, name: str) -> None:
        """Counts a file that is not an image."""
        suffix = os.path.splitext(name)[1]  # noqa: PTH122 - ten times as fast as Path
        self.suffixes[shown(suffix.lower()) if _COUNTED_SUFFIX.fullmatch(suffix) else ""] += 1


def is_comparison(path: str) -> bool:
    """Returns whether `recolor colorize --compare` wrote a file; only a file that is called so is opened."""
    if not path.lower().endswith(COMPARISON_SUFFIX) or not Path(path).is_file():
        return False
    try:
        with Path(path).open("rb") as file:
            return COMPARISON_COMMENT in file.read(_HEAD_BYTES)
    except OSError:
        return False


def _by_kind(suffixes: Mapping[str, int]) -> list[str]:
    """Returns the number of each kind of file, with its suffixes, such as `3 videos (.mp4 2, .mov 1)`."""
    known = {suffix for _, _, some in _KINDS for suffix in some}
    kinds = [*_KINDS, (*_OTHER, tuple(suffix for suffix in suffixes if suffix not in known))]
    parts = []
    for one, several, some in kinds:
        counts = {suffix or "without suffix": suffixes[suffix] for suffix in some if suffixes.get(suffix)}
        total = sum(counts.values())
        if total:
            parts.append(f"{total:,} {one if total == 1 else several} ({_listed(counts, '{name} {count}')})")
    return parts


def _listed(counts: Mapping[str, int], form: str) -> str:
    """Returns numbers of names, most first, such as `12 @eaDir, 3 Thumbs.db`."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    listed = [form.format(name=name, count=f"{count:,}") for name, count in ordered[:_MOST_SUFFIXES]]
    others = sum(count for _, count in ordered[_MOST_SUFFIXES:])
    return ", ".join([*listed, form.format(name="others", count=f"{others:,}")] if others else listed)
