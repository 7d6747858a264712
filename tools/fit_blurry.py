"""Fits the network of `recolor/cleaning/detect/blurry.py`: `python tools/fit_blurry.py --data FOLDER`.

The folder holds `photos_256`, `photos_more`, `photos_1024`, `photos_full` and `blur`, each with `files`. Only the half
`fit` is used (by name, as `tools/cleaning.py` halves them). Photographs are taken as they are, in guises that sharp
ones come in, and blurred by chance (`tools/blurring.py`); the really blurred ones at several sizes and qualities. The
same folder and seed give the same network. It holds a fingerprint of the photographs.
"""

import argparse
import hashlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from blurring import Sample, blurred_sample, decoded, framed, saved, sharp_sample, to_side
from cleaning import half_of
from needs import require_sets
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from recolor.cleaning.detect import blurry
from recolor.cleaning.measure.edges import measure_edges
from recolor.cleaning.measure.rows import bounded
from recolor.cleaning.measure.sharpness import measure_sharpness, octaves
from recolor.config.settings import MeasureConfig
from recolor.images import decode
from recolor.manifests.schemas import SHARPNESS_PX

HIDDEN = 48
EPOCHS = 30
MILD_PX, PLAIN_PX = 0.6, 1.4  # blurs below the first hardly count, those above the second fully
MOST_TAKEN = 0.0017  # of the ordinary photographs of the half that is fitted on, at a score of 0.5


@dataclass(frozen=True, slots=True)
class Source:
    """A folder of photographs: how many samples are made of each, and how much the photograph itself counts."""

    name: str
    sharp: int
    blurred: int
    weight: float
    every: int = 1  # samples are made of one photograph in so many; all count as they are


SOURCES = (
    Source("photos_full", 8, 8, 2.0),
    Source("photos_1024", 24, 30, 2.0),
    Source("photos_more", 2, 3, 2.0, every=3),
    Source("photos_256", 2, 3, 1.0, every=3),
    Source("blur", 6, 0, 0.0),
)
REAL_WEIGHT, LARGE_WEIGHT, HALVED_WEIGHT = 2.0, 1.5, 2.0


@dataclass(frozen=True, slots=True)
class Rows:
    """Measured samples: inputs float32 [rows, 74]; whether sharp; weights; whether an ordinary photograph as it is."""

    inputs: NDArray[np.float32]
    sharp: NDArray[np.bool_]
    weight: NDArray[np.float32]
    ordinary: NDArray[np.bool_]


def main() -> None:
    """Fits, sets the offset, writes the network."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"))
    words.add_argument("--out", type=Path, default=blurry.NETWORK_FILE)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--workers", type=int, default=2)
    given = words.parse_args()
    require_sets(given.data, [source.name for source in SOURCES], labelled=["blur"])
    rows = gather(given.data, given.workers)
    network = fit(rows, given.seed)
    np.savez(given.out, **network, fingerprint=np.array(fingerprint(given.data)))
    evidence = blurry.network_evidence(rows.inputs, network)
    print(f"{len(rows.sharp)} samples of {given.data}, at a score of 0.5:")
    print(f"blurred {(evidence[~rows.sharp] < 0).mean():.3f}, sharp {(evidence[rows.sharp] < 0).mean():.4f}")


def photographs(data: Path, source: Source) -> list[Path]:
    """The half `fit` of a folder, by name."""
    return [path for path in sorted((data / source.name / "files").iterdir()) if half_of(path.stem) == "fit"]


def fingerprint(data: Path) -> str:
    """SHA-256 of the names and sizes of all photographs that are fitted on."""
    digest = hashlib.sha256()
    for source in SOURCES:
        for path in photographs(data, source):
            digest.update(f"{source.name}/{path.name} {path.stat().st_size}\n".encode())
    return digest.hexdigest()


def gather(data: Path, workers: int) -> Rows:
    """Measures all samples, in an order that does not depend on the number of workers."""
    labels = pd.read_csv(data / "blur" / "index.csv")
    blurred = frozenset(labels["file"][labels["label"] == "blurred"])
    parts = []
    with ProcessPoolExecutor(workers) as pool:
        for source in SOURCES:
            paths = photographs(data, source)
            jobs = [(path, at % source.every == 0) for at, path in enumerate(paths)]
            some = pool.map(partial(_samples, source, blurred), jobs, chunksize=16)
            parts += list(tqdm(some, total=len(jobs), desc=source.name))
    return Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in Rows.__slots__))


def _samples(source: Source, blurred: frozenset[str], job: tuple[Path, bool]) -> Rows:
    path, more = job
    cv2.setNumThreads(1)
    data = path.read_bytes()
    inputs, sharp, weight, ordinary = [], [], [], []
    if source.weight:
        inputs.append(inputs_of(data))
        sharp.append(True)
        weight.append(source.weight)
        ordinary.append(source.name == "photos_more")
    for sample in _made(path, decoded(data), source, blurred) if more else ():
        inputs.append(inputs_of(sample.data))
        sharp.append(sample.blur_px == 0)
        plain = np.clip((sample.blur_px - MILD_PX) / (PLAIN_PX - MILD_PX), 0.03, 1) if sample.blur_px else 1.0
        factor = {"blur": REAL_WEIGHT, "photos_1024": LARGE_WEIGHT, "photos_full": LARGE_WEIGHT}.get(source.name, 1.0)
        weight.append(plain * factor)
        ordinary.append(False)
    shape = (len(sharp), -1)
    return Rows(
        np.concatenate(inputs).reshape(shape) if inputs else np.zeros((0, blurry.INPUTS), np.float32),
        np.array(sharp, bool),
        np.array(weight, np.float32),
        np.array(ordinary, bool),
    )


def _made(path: Path, rgb: NDArray[np.uint8], source: Source, blurred: frozenset[str]) -> Iterator[Sample]:
    if min(rgb.shape[:2]) > 1100:
        rgb = to_side(rgb, 1080)
    for at in range(source.sharp + source.blurred):
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(f"{path.stem}{at}".encode()).digest()[:8], "big"))
        if source.name == "blur":
            picture = framed(rgb, rng) if rng.random() < 0.5 else rgb
            yield Sample(saved(picture, rng), 3.0 if path.name in blurred else 0.0)
        else:
            yield sharp_sample(rgb, rng) if at < source.sharp else blurred_sample(rgb, rng)


def inputs_of(data: bytes) -> NDArray[np.float32]:
    """The network's inputs for a file, measured as `recolor measure` does it: float32 [1, 74]."""
    image = decode(data, MeasureConfig(), SHARPNESS_PX)
    rgb = bounded(image.rgb, SHARPNESS_PX)
    greys = octaves(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8))
    size = {"width_px": image.width_px, "height_px": image.height_px}
    row = {**size, **measure_sharpness(greys), "edges": measure_edges(greys).astype("<f4").tobytes()}
    return blurry.network_inputs(pa.Table.from_pylist([row]))


def fit(rows: Rows, seed: int) -> dict[str, NDArray[np.float32]]:
    """Logistic loss, AdamW on one cycle of the learning rate; then the offset."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    mean, std = rows.inputs.mean(axis=0), rows.inputs.std(axis=0) + 1e-6
    x = torch.from_numpy(np.clip((rows.inputs - mean) / std, -blurry.CLIP, blurry.CLIP).astype(np.float32))
    sharp = torch.from_numpy(rows.sharp.astype(np.float32))
    weights = rows.weight * np.where(rows.inputs[:, blurry.HALVED] > 0, np.float32(HALVED_WEIGHT), np.float32(1))
    weight = torch.from_numpy(weights / weights.mean())
    network = nn.Sequential(
        *(nn.Linear(x.shape[1], HIDDEN), nn.ReLU(), nn.Dropout(0.3)),
        *(nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1)),
    )
    batch = 256
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=EPOCHS * (len(x) // batch))
    for _ in tqdm(range(EPOCHS), desc="fit"):
        for some in torch.randperm(len(x))[: len(x) // batch * batch].split(batch):
            out = network(x[some])[:, 0]
            loss = nn.functional.binary_cross_entropy_with_logits(out, sharp[some], weight[some])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    arrays = {"mean": mean, "std": std}
    for at, layer in enumerate(layers, 1):
        arrays |= {f"weight_{at}": layer.weight.detach().numpy(), f"bias_{at}": layer.bias.detach().numpy()}
    arrays["weight_3"] = arrays["weight_3"][0]
    fitted = {name: values.astype(np.float32) for name, values in arrays.items()}
    limit = np.quantile(blurry.network_evidence(rows.inputs[rows.ordinary], fitted), MOST_TAKEN)
    return fitted | {"bias_3": (fitted["bias_3"] - np.float32(limit)).astype(np.float32)}


if __name__ == "__main__":
    main()
