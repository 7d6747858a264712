"""Fits the network of `recolor/cleaning/detect/skewed.py`: `python tools/fit_skewed.py --data FOLDER`.

The photographs are the halves `fit` of all sources. Each is taken as it is, in four guises that clean photographs come
in, and fourteen times with its colours spoilt, each time by chance (`colour_guises.py`). A network of one hidden layer
learns to tell them apart by their `colour_layout` and `colour_tones`. Mistakes about clean photographs weigh more. The
same photographs and seed give the same network.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from colour_guises import CLEAN, GUISES, aurora, clean_guise, part_of_it
from colour_sources import SOURCES, Rgb, fingerprint, generator, in_processes, photographs
from fit_network import Recipe, colour_inputs_of, fit_network
from needs import require_sets
from numpy.typing import NDArray

from recolor.cleaning.detect import skewed
from recolor.cleaning.detect.colour_network import network_evidence
from recolor.cleaning.measure.colour import COLOUR_PX

HIDDEN, EPOCHS, BATCH = 128, 12, 512
SIDE_PX = 128  # of the squares that are spoilt
CLEAN_WEIGHT = 2.0  # of all clean guises together, relative to all spoilt ones
WEIGHTS = {"as it is": 1.5, "part": 1.5, "aurora": 0.3}  # of the others 1
NAMES = (*GUISES, "aurora")


def main() -> None:
    """Fits and writes the network; prints how low clean photographs score."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"))
    words.add_argument("--out", type=Path, default=skewed.NETWORK_FILE)
    words.add_argument("--seed", type=int, default=0)
    given = words.parse_args()
    paths = photographs(require_sets(given.data, SOURCES), "fit")
    inputs = colour_inputs_of(np.concatenate(in_processes(guises, paths)))
    network = fit(inputs, given.seed)
    np.savez(given.out, **network, fingerprint=np.array(fingerprint(paths)))
    evidence = network_evidence(inputs, network).reshape(len(paths), -1)
    print(f"{len(paths)} photographs; evidence of them as they are at 0.5, 1 and 5%:")
    print(np.quantile(evidence[:, 0], [0.005, 0.01, 0.05]).round(2))


def guises(path: Path) -> Rgb:
    """The small copies of a photograph in every guise: uint8 [19, 48, 48, 3]."""
    rng = generator(path)
    picture = np.ascontiguousarray(cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1])
    picture = np.asarray(cv2.resize(picture, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA), np.uint8)
    made = []
    for name, change in GUISES.items():
        base = picture
        if name not in CLEAN:
            base = clean_guise(base, rng) if rng.random() < 0.2 else base
            base = part_of_it(base, rng) if rng.random() < 0.4 else base
        made.append(change(base, rng))
    made.append(aurora(picture, generator(path)))
    return np.stack([cv2.resize(one, (COLOUR_PX, COLOUR_PX), interpolation=cv2.INTER_AREA) for one in made])


def fit(inputs: NDArray[np.float32], seed: int) -> dict[str, NDArray[np.float32]]:
    """The network's arrays; clean photographs weigh as much as all others, times `CLEAN_WEIGHT`."""
    weights = np.array([WEIGHTS.get(name, 1.0) for name in NAMES], np.float32)
    clean = np.array([name in CLEAN for name in NAMES])
    weights[clean] *= CLEAN_WEIGHT * weights[~clean].sum() / weights[clean].sum()
    guise = np.arange(len(inputs)) % len(NAMES)
    recipe = Recipe(hidden=HIDDEN, epochs=EPOCHS, batch=BATCH, seed=seed)
    return fit_network(inputs, clean[guise], weights[guise], recipe)


if __name__ == "__main__":
    main()
