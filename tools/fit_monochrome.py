"""Fits the regression of `recolor/cleaning/detect/monochrome.py`: `python tools/fit_monochrome.py --data FOLDER`.

Some photographs of the halves `fit` are made grey, noisy grey, sepia, duotone or tinted, and saved as JPEG of many
qualities. Ordinary scenes, pale, foggy and dark ones, and the labelled snow must be kept. The regression has a small
ridge penalty; the same photographs give the same weights.
"""

import argparse
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from cleaning import half_of
from colour_sources import Rgb, fingerprint, generator, in_processes, photographs, read_small, to_square
from numpy.typing import NDArray
from planting import fog, night, pale_winter
from scipy.optimize import minimize

from recolor.cleaning.detect import monochrome
from recolor.cleaning.measure.colour import measure_colours
from recolor.color.lab import lab_to_rgb, rgb_to_lab
from recolor.demo.defects import to_duotone, to_grey, to_sepia

SIDE_PX, EVERY, QUALITIES = 224, 16, (50, 75, 85, 92, 97)
SCENE, GUISE, SNOW = 6.0, 3.0, 20.0  # weights of what must be kept; of the others 1
RIDGE = 0.05
EARLIER = np.array([3.9, 1.8, -2.5, -2.0, 9.8])
Change = Callable[[Rgb, np.random.Generator], Rgb]


def main() -> None:
    """Fits and writes the weights."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"))
    words.add_argument("--out", type=Path, default=monochrome.WEIGHTS_FILE)
    given = words.parse_args()
    chosen = photographs(given.data, "fit")
    scenes = [path for path in chosen if path.parts[-3] != "photos_full"]
    planted = list(
        dict.fromkeys([*chosen[::EVERY], *[path for path in chosen if path.parts[-3] == "photos_1024"][::3]])
    )
    labels = pd.read_csv(StringIO((given.data / "monochrome/index.csv").read_text("utf-8")))
    labelled = [given.data / "monochrome/files" / file for file in labels["file"] if half_of(Path(file).stem) == "fit"]
    grey = set(labels["file"][labels["label"] == "mono"])
    made = np.concatenate(in_processes(guises, planted)).reshape(
        len(planted), -1, *to_square(np.zeros((48, 48, 3), np.uint8)).shape
    )
    looked_at = np.array([path.parts[-3] != "photos_256" for path in planted])  # some of photos_256 are grey themselves
    usual = np.array([path.parts[-3] != "photos_256" for path in scenes])
    scene_squares = np.stack(in_processes(square, scenes))
    parts = [
        (scene_squares[usual | ~once_monochrome(scene_squares)], 1, SCENE),
        (made[looked_at, : len(KEPT)].reshape(-1, *made.shape[2:]), 1, GUISE),
        (np.stack(in_processes(square, [path for path in labelled if path.name not in grey])), 1, SNOW),
        (made[:, len(KEPT) :].reshape(-1, *made.shape[2:]), 0, 1.0),
        (np.stack(in_processes(square, [path for path in labelled if path.name in grey])), 0, 1.0),
    ]
    terms = np.concatenate([terms_of(squares) for squares, _, _ in parts])
    colour = np.concatenate([np.full(len(squares), kept, float) for squares, kept, _ in parts])
    weight = np.concatenate([np.full(len(squares), each) for squares, _, each in parts])
    fitted = fit(terms, colour, weight)
    np.savez(given.out, weights=fitted, fingerprint=np.array(fingerprint([*scenes, *planted, *labelled])))
    print(fitted.round(2))


def square(path: Path) -> Rgb:
    return to_square(read_small(path, SIDE_PX))


def guises(path: Path) -> Rgb:
    """The small copies of a photograph that must be kept, and of those that must not."""
    rng, rgb = generator(path), read_small(path, SIDE_PX)
    kept = [to_square(saved(change(rgb, rng), 90)) for change in KEPT.values()]
    return np.stack(
        [*kept, *(to_square(saved(change(rgb, rng), int(rng.choice(QUALITIES)))) for change in GREY.values())]
    )


def once_monochrome(squares: Rgb) -> NDArray[np.bool_]:
    """Which the regression before this one called monochrome; of photos_256 nine in ten are, when looked at."""
    return terms_of(squares)[:, :4] @ EARLIER[:-1] + EARLIER[-1] < 0


def terms_of(squares: Rgb) -> NDArray[np.float64]:
    """The terms of the regression."""
    tables = (measure_colours(squares[start : start + 64]) for start in range(0, len(squares), 64))
    names = monochrome.COLUMNS[1:]
    return np.concatenate([monochrome.terms(*(np.array(table[name]) for name in names)) for table in tables])


def fit(terms: NDArray[np.float64], colour: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of the terms, and the offset: float64 [terms + 1]."""
    mean, std = terms.mean(axis=0), terms.std(axis=0)
    z = np.column_stack([(terms - mean) / std, np.ones(len(terms))])

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        out = z @ w
        slope = weight * (1 / (1 + np.exp(-out)) - colour)
        return float(
            (weight * (np.logaddexp(0, out) - colour * out)).sum() + RIDGE * w @ w
        ), z.T @ slope + 2 * RIDGE * w

    w = minimize(loss, np.zeros(z.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 2000}).x
    return np.append(w[:-1] / std, w[-1] - (w[:-1] / std) @ mean)


def saved(rgb: Rgb, quality: int) -> Rgb:
    """Encoded as JPEG and decoded."""
    data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1], np.uint8)


def grey(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    return np.repeat(to_grey(rgb, rng)[..., None], 3, axis=2)


def noisy(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Grey, and the coarse chroma noise of strong compression."""
    lab = rgb_to_lab(grey(rgb, rng))
    noise = rng.normal(0, rng.uniform(0.3, 1.0), (len(rgb) // 8 + 1, rgb.shape[1] // 8 + 1, 2)).astype(np.float32)
    lab[..., 1:] += cv2.resize(noise, rgb.shape[1::-1])
    return lab_to_rgb(lab)


def duotone(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Any dark ink and any light one."""
    dark, light = rng.uniform(0, 90, 3), rng.uniform(140, 255, 3)
    return rounded(dark + (light - dark) * to_grey(rgb, rng)[..., None] / 255.0)


def tint(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """One hue of one chroma, or of a chroma that grows with lightness."""
    lab = rgb_to_lab(grey(rgb, rng))
    hue, chroma = rng.uniform(0, 2 * np.pi), rng.uniform(3, 30)
    colour = chroma * np.array([np.cos(hue), np.sin(hue)], np.float32)
    lab[..., 1:] = colour * (1 if rng.random() < 0.5 else lab[..., :1] / 100)
    return lab_to_rgb(lab)


def paper(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    return rounded(grey(rgb, rng) * rng.uniform(0.6, 1.1, 3))


def toned(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """A sepia of another strength."""
    return to_sepia(rounded(grey(rgb, rng) * rng.uniform(0.5, 1.1)), rng)


def rounded(values: NDArray[np.float64]) -> Rgb:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


KEPT: Mapping[str, Change] = {"pale winter": pale_winter, "fog": fog, "night": night}
GREY: Mapping[str, Change] = {
    "grey": grey,
    "noisy grey": noisy,
    "sepia": to_sepia,
    "toned": toned,
    "duotone": duotone,
    "printed duotone": to_duotone,
    "tint": tint,
    "paper": paper,
}

if __name__ == "__main__":
    main()
