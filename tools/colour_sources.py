"""The photographs that the detectors of colour are fitted on: halves of the sources, by name."""

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from cleaning import half_of
from numpy.typing import NDArray

from recolor.cleaning.measure.colour import COLOUR_PX
from recolor.cleaning.measure.sharpness import octaves, square_copy

SOURCES = ("photos_256", "photos_more", "photos_1024", "photos_full")
Rgb = NDArray[np.uint8]
Made = TypeVar("Made")


def photographs(data: Path, half: str) -> list[Path]:
    """The files of a half of every source, in the order of their names."""
    files = (path for source in SOURCES for path in sorted((data / source / "files").glob("*.jpg")))
    return [path for path in files if half_of(path.stem) == half]


def fingerprint(paths: Iterable[Path]) -> str:
    """The SHA-256 of the names and of the sizes of files."""
    return hashlib.sha256("\n".join(f"{path.name} {path.stat().st_size}" for path in paths).encode()).hexdigest()


def read_small(path: Path, most_px: int) -> Rgb:
    """A photograph of at most so many pixels on its short side."""
    rgb = np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])
    scale = most_px / min(rgb.shape[:2])
    return rgb if scale >= 1 else np.asarray(cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))


def to_square(rgb: Rgb) -> Rgb:
    """The small copy that colour is measured on."""
    return np.asarray(square_copy(octaves(rgb), COLOUR_PX), np.uint8)


def in_processes(make: Callable[[Path], Made], paths: list[Path]) -> list[Made]:
    """What a function makes of each file."""
    with ProcessPoolExecutor(2) as pool:
        return list(pool.map(make, paths, chunksize=16))


def generator(path: Path) -> np.random.Generator:
    """Chance that depends on the name of a photograph alone."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(path.stem.encode()).digest()[:8], "big"))
