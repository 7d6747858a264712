"""Fits the network of `recolor/cleaning/detect/skewed.py`: `python tools/fit_skewed.py --images FOLDER`.

Every photograph of a folder is taken as it is, twice in a guise that clean photographs come in, and seven times with
its colours spoilt, each time by chance. A network of one hidden layer learns to tell them apart by their
`colour_layout`. A tenth of the photographs is kept aside to say how well it does. The same folder and seed give the
same network.
"""

import argparse
import hashlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from planting import solarise
from torch import nn
from tqdm import tqdm

from recolor.cleaning.detect import skewed
from recolor.cleaning.measure.colour import COLOUR_PX, measure_colours
from recolor.cleaning.measure.sharpness import octaves, square_copy
from recolor.color.lab import lab_to_rgb, rgb_to_lab
from recolor.demo.defects import cast, swap_channels, to_single_hue
from recolor.manifests.io import read_table
from recolor.manifests.schemas import CLEAN

Rgb = NDArray[np.uint8]
Change = Callable[[Rgb, np.random.Generator], Rgb]

HIDDEN = 64
GAINS = ((1.3, 0.9, 0.45), (0.5, 0.85, 1.35), (0.55, 1.2, 0.55), (1.25, 0.55, 1.15), (1.2, 1.15, 0.5), (1.35, 0.6, 0.6))
FILTERS = ((255, 140, 0), (0, 80, 255), (0, 200, 60), (220, 0, 200), (255, 220, 0), (0, 200, 220), (255, 0, 0))
SWAPS = ((2, 1, 0), (2, 1, 0), (2, 1, 0), (1, 0, 2), (0, 2, 1), (1, 2, 0), (2, 0, 1))


def main() -> None:
    """Fits, says how well, writes the network."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--images", type=Path, required=True, help="photographs; best those that cleaning keeps")
    words.add_argument("--clean", type=Path, help="a clean.parquet that says which")
    words.add_argument("--seed", type=int, default=0)
    given = words.parse_args()
    if not given.images.is_dir():
        words.error(f"--images: there is no folder {given.images}")
    paths = sorted(path.relative_to(given.images).as_posix() for path in given.images.rglob("*.jpg"))
    if given.clean:
        kept = set(read_table(CLEAN, given.clean)["path"].to_pylist())
        paths = [path for path in paths if path in kept]
    with ProcessPoolExecutor() as pool:
        some = pool.map(partial(layouts, given.images), paths, chunksize=32)
        layout = np.stack(list(tqdm(some, total=len(paths), desc="measure")))
    spoilt = np.array([name in SPOILT for name in (*CLEAN_GUISES, *SPOILT)])
    aside = np.array([hashlib.sha256(path.encode()).digest()[1] % 10 == 0 for path in paths])
    network = fit(layout[~aside], spoilt, given.seed)
    np.savez(skewed.NETWORK_FILE, **network)
    evidence = skewed.network_evidence(layout[aside].reshape(-1, layout.shape[-1]), network).reshape(-1, len(spoilt))
    limit = np.quantile(evidence[:, ~spoilt], 0.01)
    print(f"{len(paths)} photographs, {aside.sum()} kept aside; at 1% false alarms ({limit:.2f}):")
    for at, name in enumerate((*CLEAN_GUISES, *SPOILT)):
        print(f"{name:<16} {(evidence[:, at] < limit).mean():.3f}")


def layouts(images: Path, path: str) -> NDArray[np.float32]:
    """`colour_layout` of a photograph in every guise: float32 [guises, 90]."""
    rgb = np.ascontiguousarray(cv2.imread(str(images / path))[..., ::-1])
    rgb = cv2.resize(rgb, (256, 256 * rgb.shape[0] // rgb.shape[1]), interpolation=cv2.INTER_AREA)
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "big"))
    disguised = [change(rgb, rng) for change in CLEAN_GUISES.values()]
    bases = [rgb if rng.random() < 0.85 else disguised[1] for _ in SPOILT]
    pictures = [*disguised, *(change(base, rng) for change, base in zip(SPOILT.values(), bases, strict=True))]
    squares = np.stack([square_copy(octaves(picture), COLOUR_PX) for picture in pictures])
    return np.frombuffer(b"".join(measure_colours(squares)["colour_layout"]), "<f4").reshape(len(squares), -1)


def fit(layout: NDArray[np.float32], spoilt: NDArray[np.bool_], seed: int) -> dict[str, NDArray[np.float32]]:
    """Logistic loss, both sides of the same weight, AdamW on one cycle of the learning rate."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    prepared = skewed.prepare_layout(layout.reshape(-1, layout.shape[-1]))
    mean, std = prepared.mean(axis=0), prepared.std(axis=0) + 1e-6
    x = torch.from_numpy(np.clip((prepared - mean) / std, -skewed.CLIP, skewed.CLIP).astype(np.float32))
    fine = torch.from_numpy(np.tile(~spoilt, len(layout)).astype(np.float32))
    weight = torch.where(fine > 0, float(spoilt.sum() / (~spoilt).sum()), 1.0)
    network = nn.Sequential(nn.Linear(x.shape[1], HIDDEN), nn.ReLU(), nn.Dropout(0.2), nn.Linear(HIDDEN, 1))
    epochs, batch = 30, 512
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=epochs * (len(x) // batch))
    for _ in tqdm(range(epochs), desc="fit"):
        for rows in torch.randperm(len(x))[: len(x) // batch * batch].split(batch):
            out = network(x[rows])[:, 0]
            loss = nn.functional.binary_cross_entropy_with_logits(out, fine[rows], weight[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    first, second = network[0], network[3]
    tensors = {"weight_1": first.weight, "bias_1": first.bias, "weight_2": second.weight[0], "bias_2": second.bias}
    arrays = {name: tensor.detach().numpy() for name, tensor in tensors.items()}
    return {"mean": mean.astype(np.float32), "std": std.astype(np.float32), **arrays}


def as_it_is(rgb: Rgb, _: np.random.Generator) -> Rgb:
    return rgb


def clean_guise(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Fog, pale winter, night, sky, a hand's touch of white balance, or of saturation."""
    match rng.integers(6):
        case 0:
            share = np.linspace(rng.uniform(0.4, 0.9), rng.uniform(0.1, 0.5), len(rgb))[:, None, None]
            return rounded(rgb * (1 - share) + np.array([216.0, 220.0, 224.0]) * share)
        case 1:
            lift = rng.uniform(0, 0.4)
            return in_lab(rgb, lift, 1 - lift, rng.uniform(0.25, 0.7))
        case 2:
            gains = np.array([0.30, 0.34, 0.42]) * rng.uniform(0.8, 2.0)
            dark = 255 * (rgb / 255) ** rng.uniform(1.2, 1.8) * gains
            return rounded(dark + rng.normal(0, 1.5, rgb.shape))
        case 3:
            return np.ascontiguousarray(rgb[: max(64, len(rgb) * 3 // 10)])
        case 4:
            return rounded(rgb * (1 + rng.uniform(-0.06, 0.06, 3)) * rng.uniform(0.85, 1.15))
    return in_lab(rgb, 0, 1, rng.uniform(0.7, 1.35))


def in_lab(rgb: Rgb, lift: float, contrast: float, saturation: float) -> Rgb:
    """Lightness raised by `lift` of its range and scaled, chroma scaled."""
    lab = rgb_to_lab(rgb)
    lab[..., 0] = 100 * lift + contrast * lab[..., 0]
    lab[..., 1:] *= saturation
    return lab_to_rgb(lab)


def gain_cast(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Gains of the channels, of several strengths."""
    strength = rng.uniform(0.7, 1.1)
    red, green, blue = (1 + (gain - 1) * strength for gain in GAINS[rng.integers(len(GAINS))])
    return cast(rgb, rng, gains=(red, green, blue))


def lab_cast(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """One colour added everywhere."""
    lab = rgb_to_lab(rgb)
    hue, chroma = rng.uniform(0, 2 * np.pi), rng.uniform(18, 40)
    lab[..., 1:] += chroma * np.array([np.cos(hue), np.sin(hue)], np.float32)
    return lab_to_rgb(lab)


def colour_filter(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """A colour laid over the picture."""
    share = rng.uniform(0.25, 0.5)
    return rounded(rgb * (1 - share) + np.array(FILTERS[rng.integers(len(FILTERS))]) * share)


def swapped(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Channels exchanged; most often red and blue."""
    order = SWAPS[rng.integers(len(SWAPS))]
    return swap_channels(rgb, rng) if order == (2, 1, 0) else np.ascontiguousarray(rgb[..., list(order)])


def solarised(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Bright values inverted, from some level on, or along a sine."""
    if rng.random() < 0.2:
        return rounded(255 * np.abs(np.sin(rgb / 255 * np.pi)))
    if rng.random() < 0.7:
        return solarise(rgb, rng)
    return np.where(rgb >= rng.integers(90, 180), 255 - rgb, rgb).astype(np.uint8)


def white_balance(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Gains in linear light along the colours of lamps and skies."""
    gains = np.array([1.5, 1.0, 0.45]) if rng.random() < 0.5 else np.array([0.55, 1.0, 1.75])
    linear = (rgb / 255) ** 2.2 * (1 + (gains - 1) * rng.uniform(0.75, 1.2))
    return rounded(255 * np.clip(linear, 0, 1) ** (1 / 2.2))


def rounded(values: NDArray[np.float64]) -> Rgb:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


CLEAN_GUISES: dict[str, Change] = {"as it is": as_it_is, "clean guise": clean_guise, "another": clean_guise}
SPOILT: dict[str, Change] = {
    "gain cast": gain_cast,
    "lab cast": lab_cast,
    "filter": colour_filter,
    "swapped": swapped,
    "single hue": to_single_hue,
    "solarised": solarised,
    "white balance": white_balance,
}

if __name__ == "__main__":
    main()
