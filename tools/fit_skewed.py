"""Fits the small network of `recolor/cleaning/measure/natural_colour.py`: `python tools/fit_skewed.py`.

The photographs are the halves `fit` of all sources. Each is taken as it is, in twelve guises that clean photographs
come in (`colour_guises.py`), and 37 times with its colours spoilt (`colour_defects.py`), each time by chance. A network
learns to tell them apart by their measurements. Mistakes about clean photographs weigh more, those about casts that
hardly anybody would see weigh less. The same photographs and seed give the same network.
"""

import argparse
import hashlib
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
from colour_defects import DEFECTS, spoilt_copies
from colour_guises import Picture, aurora, clean_guise, part_of_it
from colour_sources import SOURCES, Rgb, fingerprint, in_processes, photographs
from fit_network import Recipe, colour_inputs_of, fit_network
from needs import require_sets
from numpy.typing import NDArray
from planted import HERE

from recolor.cleaning.measure import natural_colour
from recolor.cleaning.measure.colour import COLOUR_PX
from recolor.cleaning.measure.colour_network import LOGARITHMS, network_evidence
from recolor.cleaning.measure.sharpness import octaves, square_copy

RECIPE = Recipe(hidden=(192, 48), epochs=6, batch=512)
SIDE_PX = 96  # of the squares that are spoilt
MOST_PX = 1100  # the short side of larger photographs is halved first
CLEAN = ("as it is", *["part"] * 4, *["guise of a part"] * 7, "aurora")
SPOILT = tuple(defect.__name__ for defect, count in DEFECTS for _ in range(count))
NAMES = np.array([*CLEAN, *SPOILT])
CLEAN_WEIGHT = 2.0  # of all clean guises together, relative to all spoilt ones
WEIGHTS = {"as it is": 2.0, "part": 1.3, "aurora": 0.3}  # of the others 1
UNSEEN, VISIBLE = 9.0, 23.0  # Lab units of a defect that weighs nearly nothing, and of one that weighs all
HARD_SOURCE, HARD_WEIGHT = "photos_more", 1.5  # clean photographs chosen for their colours


def main() -> None:
    """Fits and writes the network; prints how low clean photographs score."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"))
    words.add_argument("--out", type=Path, default=natural_colour.NETWORK_FILE)
    given = words.parse_args()
    paths = photographs(require_sets(given.data, SOURCES), "fit")
    inputs, distances = (np.concatenate(parts) for parts in zip(*in_processes(guises, paths), strict=True))
    network = fit(inputs, guise_weights(paths, distances.reshape(len(paths), -1)))
    np.savez(given.out, **network, fingerprint=np.array(fingerprint(paths)))
    evidence = network_evidence(inputs, network).reshape(len(paths), -1)
    print(f"{len(paths)} photographs; evidence of them as they are at 0.5, 1 and 5%:")
    print(np.quantile(evidence[:, 0], [0.005, 0.01, 0.05]).round(2))


def guises(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The network's inputs of a photograph in every guise, and by how many Lab units each was spoilt."""
    rng = np.random.default_rng([int.from_bytes(hashlib.sha256(path.name.encode()).digest()[:7], "big"), 0])
    copies = octaves(read(path))
    picture = square_copy(copies, SIDE_PX).astype(np.float32) / 255
    made = [np.asarray(square_copy(copies, COLOUR_PX), np.uint8)]
    made += [finished(part_of_it(picture, rng), rng) for _ in range(CLEAN.count("part"))]
    made += [finished(clean_guise(part_of_it(picture, rng), rng), rng) for _ in range(CLEAN.count("guise of a part"))]
    made.append(to_square(aurora(picture, rng)))
    distances = [0.0] * len(made)
    for _, spoilt, distance in spoilt_copies(picture, rng):
        made.append(finished(spoilt, rng))
        distances.append(distance)
    return colour_inputs_of(np.stack(made), rounded_scalars), np.array(distances, np.float32)


def rounded_scalars(measurements: pa.Table) -> NDArray[np.float32]:
    """As `scalar_inputs`, but rounded before the logarithm, as for what is shipped: a fit follows the last digit."""
    logarithms = [
        np.log(measurements[name].to_numpy().astype(np.float32) + np.float32(small))
        for name, small in LOGARITHMS.items()
    ]
    return np.stack([*logarithms, measurements["hue_entropy"].to_numpy()], axis=1, dtype=np.float32)


def read(path: Path) -> Rgb:
    """A photograph; one of many pixels at half its size."""
    rgb = np.ascontiguousarray(cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1])
    if min(rgb.shape[:2]) < MOST_PX:
        return rgb
    return np.asarray(cv2.resize(rgb, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)


def finished(picture: Picture, rng: np.random.Generator) -> Rgb:
    """The small copy that colour is measured on; some are saved as JPEG first."""
    if rng.random() >= 0.15:
        return to_square(picture)
    bgr = np.rint(picture[..., ::-1] * 255).astype(np.uint8)
    data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, int(rng.uniform(15, 90))])[1]
    return to_square(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1], np.float32) / 255)


def to_square(picture: Picture) -> Rgb:
    small = cv2.resize(np.ascontiguousarray(picture), (COLOUR_PX, COLOUR_PX), interpolation=cv2.INTER_AREA)
    return np.rint(small * 255).astype(np.uint8)


def guise_weights(paths: list[Path], distances: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weights of all guises, with a mean of 1; 0 of clean guises of photographs that are not clean.

    Args:
        paths: Of the photographs.
        distances: float32 [photographs, guises], in Lab units.

    Returns:
        float32 [photographs, guises].
    """
    clean = np.isin(NAMES, CLEAN)
    weights = np.array([WEIGHTS.get(name, 1.0) for name in NAMES], np.float32) * np.ones((len(paths), 1), np.float32)
    weights[:, ~clean] *= np.clip((distances[:, ~clean] - UNSEEN) / (VISIBLE - UNSEEN), 0.08, 1)
    hard = np.array([path.parts[-3] == HARD_SOURCE for path in paths])
    weights[np.ix_(hard, clean)] *= HARD_WEIGHT
    weights[np.ix_(~photographs_that_are_clean(paths), clean)] = 0
    weights[:, clean] *= CLEAN_WEIGHT * weights[:, ~clean].sum() / weights[:, clean].sum()
    return weights / weights.mean()


def photographs_that_are_clean(paths: list[Path]) -> NDArray[np.bool_]:
    """Which photographs nobody has found to be filtered, grey, or unclear."""
    bad, scenes = pd.read_csv(HERE / "bad.csv"), pd.read_csv(HERE / "scenes.csv")
    judged = pd.concat([bad[bad.issue.isin(["skewed", "monochrome"])], scenes[scenes.kind == "unclear"]])
    doubtful = set(zip(judged["set"], judged["file"], strict=True))
    return np.array([(path.parts[-3], path.name) not in doubtful for path in paths])


def fit(inputs: NDArray[np.float32], weights: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """The network's arrays."""
    clean = np.tile(np.isin(NAMES, CLEAN), len(weights))
    used = weights.reshape(-1) > 0
    return fit_network(inputs[used], clean[used], weights.reshape(-1)[used], RECIPE)


if __name__ == "__main__":
    main()
