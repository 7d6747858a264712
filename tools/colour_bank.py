"""Pictures that a small network of colours doubts: what the convolutional one is fitted on, clean and spoilt.

Each photograph is taken as it is, in 37 clean guises (`colour_guises.py`), and 37 times with its colours spoilt
(`colour_defects.py`), each time by chance. Kept are those of which `recolor/cleaning/measure/natural_colour.npz` is not
sure, at most 22 spoilt ones, without those that nobody would see, and two clean ones in any case.
"""

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from colour_defects import spoilt_copies
from colour_guises import Picture, aurora, clean_guise, part_of_it
from colour_sources import Rgb, in_processes
from fit_network import colour_inputs_of
from fit_skewed import read
from numpy.typing import NDArray

from recolor.cleaning.measure.colour import COLOUR_PX
from recolor.cleaning.measure.colour_network import load_network, network_evidence
from recolor.cleaning.measure.natural_colour import CNN_PX, NETWORK_FILE
from recolor.cleaning.measure.sharpness import octaves, square_copy

AS_IT_IS, PART, GUISE, AURORA = -1, -2, -3, -4  # kinds of clean pictures; others are rows of `DEFECTS`
CLEAN = (AS_IT_IS, *[PART] * 14, *[GUISE] * 20, *[AURORA] * 3)
SIDE_PX = 128  # of the squares that are spoilt
# Log-odds of the small network below which a picture is doubtful: a score of 0.97. In use it is 0, but
# here it judges photographs that it was fitted on.
DOUBT = 2.366
LEAST_DISTANCE = 10.0  # Lab units; nobody sees a weaker defect
MOST_SPOILT = 22


@dataclass(frozen=True)
class Bank:
    """Pictures, a row each.

    Attributes:
        pictures: uint8 [rows, 96, 96, 3].
        distances: float32 [rows], the Lab units by which each is spoilt; 0 if clean.
        kinds: int64 [rows].
        logits: float32 [rows], what the small network says.
        photographs: int64 [rows], the number of the photograph that each was made of.
    """

    pictures: Rgb
    distances: NDArray[np.float32]
    kinds: NDArray[np.int64]
    logits: NDArray[np.float32]
    photographs: NDArray[np.int64]


def make_bank(paths: list[Path], seed: int) -> Bank:
    """The doubtful pictures of photographs; the same photographs and seed give the same ones."""
    parts = in_processes(partial(_of_photograph, seed=seed), paths)
    pictures, distances, kinds, logits = (np.concatenate(values) for values in zip(*parts, strict=True))
    return Bank(pictures, distances, kinds, logits, np.repeat(np.arange(len(parts)), [len(some[0]) for some in parts]))


def _of_photograph(path: Path, seed: int) -> tuple[Rgb, NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    cv2.setNumThreads(1)
    rng = np.random.default_rng([int.from_bytes(hashlib.sha256(path.name.encode()).digest()[:7], "big"), seed])
    picture = square_copy(octaves(read(path)), SIDE_PX).astype(np.float32) / 255
    made = [_finished(picture, rng)]
    made += [_finished(part_of_it(picture, rng), rng) for _ in range(CLEAN.count(PART))]
    made += [_finished(clean_guise(part_of_it(picture, rng), rng), rng) for _ in range(CLEAN.count(GUISE))]
    made += [_finished(aurora(picture, rng), rng) for _ in range(CLEAN.count(AURORA))]
    kinds, distances = [*CLEAN], [0.0] * len(CLEAN)
    for kind, spoilt, distance in spoilt_copies(picture, rng):
        made.append(_finished(spoilt, rng))
        distances.append(distance)
        kinds.append(kind)
    inputs = colour_inputs_of(np.stack([small for _, small in made]))
    logits = network_evidence(inputs, load_network(NETWORK_FILE))
    kept = _kept(logits < DOUBT, np.array(distances), rng)
    large = np.stack([large for large, _ in made])
    return large[kept], np.float32(distances)[kept], np.array(kinds)[kept], logits[kept].astype(np.float32)


def _kept(doubtful: NDArray[np.bool_], distances: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.bool_]:
    clean = len(CLEAN)
    kept = doubtful.copy()
    kept[0] = True
    kept[1 + rng.integers(clean - 1)] = True
    spoilt = np.flatnonzero(kept[clean:] & (distances[clean:] > LEAST_DISTANCE)) + clean
    kept[clean:] = False
    kept[rng.permutation(spoilt)[:MOST_SPOILT]] = True
    return kept


def _finished(picture: Picture, rng: np.random.Generator) -> tuple[Rgb, Rgb]:
    """The copies that the two networks see; some are saved as JPEG first."""
    if rng.random() < 0.2:
        bgr = np.rint(picture[..., ::-1] * 255).astype(np.uint8)
        data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, int(rng.uniform(15, 90))])[1]
        picture = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1], np.float32) / 255
    return _square(picture, CNN_PX), _square(picture, COLOUR_PX)


def _square(picture: Picture, side_px: int) -> Rgb:
    small = cv2.resize(np.ascontiguousarray(picture), (side_px, side_px), interpolation=cv2.INTER_AREA)
    return np.rint(np.clip(small, 0, 1) * 255).astype(np.uint8)
