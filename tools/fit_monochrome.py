"""Fits the network of `recolor/cleaning/detect/monochrome.py`: `python tools/fit_monochrome.py --data FOLDER`.

A third of the photographs of the halves `fit` are made grey, noisy grey, sepia, duotone or tinted, and saved as JPEG
of many qualities. All photographs as they are, pale, foggy and dark ones, and the labelled snow must be kept.
Photographs of one hue (fog, dunes, the moon in a blue sky) weigh more, because they differ least from toned ones. The
same photographs and seed give the same network.
"""

import argparse
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from cleaning import half_of
from colour_sources import SOURCES, Rgb, fingerprint, generator, in_processes, photographs, read_small, to_square
from fit_network import Recipe, colour_inputs_of, fit_network, measured
from needs import require_sets
from numpy.typing import NDArray
from planting import fog, night, pale_winter

from recolor.cleaning.detect import monochrome
from recolor.cleaning.measure.colour_network import network_evidence
from recolor.color.lab import lab_to_rgb, rgb_to_lab
from recolor.demo.defects import to_duotone, to_grey, to_sepia

SIDE_PX, EVERY, QUALITIES = 224, 3, (50, 75, 85, 92, 97)
RECIPE = Recipe(hidden=(64,), epochs=20, batch=256)
SCENE, ONE_HUE, GUISE, SNOW = 4.0, 32.0, 2.0, 10.0  # weights of what must be kept; of the others 1
# Of the photographs of photos_256, those below are grey or slightly toned, or so pale that they might be; nobody has
# labelled them. Above it, all are in colour, also the 82 of one hue that were looked at.
UNSURE_CHROMA_P95 = 5.2  # Lab units
FEW_HUES = 0.3  # least entropy of the hues of other scenes than those of one hue
Change = Callable[[Rgb, np.random.Generator], Rgb]


def main() -> None:
    """Fits and writes the network; prints how low photographs in colour score."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"))
    words.add_argument("--out", type=Path, default=monochrome.NETWORK_FILE)
    given = words.parse_args()
    require_sets(given.data, SOURCES, labelled=["monochrome"])
    scenes = photographs(given.data, "fit")
    planted = scenes[::EVERY]
    labels = pd.read_csv(StringIO((given.data / "monochrome/index.csv").read_text("utf-8")))
    labelled = [given.data / "monochrome/files" / file for file in labels["file"] if half_of(Path(file).stem) == "fit"]
    grey = np.isin([path.name for path in labelled], labels["file"][labels["label"] == "mono"])
    squares = [np.stack(in_processes(square, paths)) for paths in (scenes, labelled)]
    made = np.stack(in_processes(guises, planted))
    parts = [
        scene_part(scenes, squares[0]),
        (colour_inputs_of(squares[1]), ~grey, np.where(grey, 1.0, SNOW)),
        guise_part(planted, made),
    ]
    inputs, fine, weights = (np.concatenate([part[at] for part in parts]) for at in range(3))
    network = fit_network(inputs, fine, weights.astype(np.float32), RECIPE)
    np.savez(given.out, **network, fingerprint=np.array(fingerprint([*scenes, *labelled])))
    evidence = network_evidence(parts[0][0], network)
    print(f"{len(evidence)} photographs; evidence of them as they are at 0.1, 0.2 and 0.5%:")
    print(np.quantile(evidence, [0.001, 0.002, 0.005]).round(2))


Part = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float64]]


def scene_part(paths: list[Path], squares: Rgb) -> Part:
    """Photographs as they are, without those of photos_256 that may be grey."""
    table = measured(squares)
    unsure = np.array([path.parts[-3] == "photos_256" for path in paths])
    unsure &= table["chroma_p95"].to_numpy() < UNSURE_CHROMA_P95
    few = table["hue_entropy"].to_numpy() < FEW_HUES
    inputs = colour_inputs_of(squares)[~unsure]
    return inputs, np.ones(len(inputs), bool), np.where(few, ONE_HUE, SCENE)[~unsure]


def guise_part(paths: list[Path], made: Rgb) -> Part:
    """Guises of photographs; those that must be kept are not made of photos_256, where some photographs are grey."""
    kept = np.tile(np.arange(made.shape[1]) < len(KEPT), len(made))
    from_256 = np.repeat([path.parts[-3] == "photos_256" for path in paths], made.shape[1])
    used = ~(kept & from_256)
    return colour_inputs_of(made.reshape(-1, *made.shape[2:]))[used], kept[used], np.where(kept, GUISE, 1.0)[used]


def square(path: Path) -> Rgb:
    return to_square(read_small(path, SIDE_PX))


def guises(path: Path) -> Rgb:
    """The small copies of a photograph that must be kept, and of those that must not."""
    rng, rgb = generator(path), read_small(path, SIDE_PX)
    kept = [to_square(saved(change(rgb, rng), 90)) for change in KEPT.values()]
    return np.stack(
        [*kept, *(to_square(saved(change(rgb, rng), int(rng.choice(QUALITIES)))) for change in GREY.values())]
    )


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
