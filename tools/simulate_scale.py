"""Prints the tables of docs/scale.md: `python tools/simulate_scale.py`.

Arithmetic from measured constants, and a simulation of parts on machines of which some are lost: a part that was under
way on a lost machine is begun again elsewhere, as Dask does.
"""

import heapq
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from recolor.cleaning.detect.hamming import _cost, _plan

GB, TB = 1e9, 1e12
SIZES = (100_000, 10_000_000, 1_000_000_000)  # images

# Measured, on one core of a Zen 4; files of 1024 x 1024 px, 133 KB as in Landscapes HQ.
MEASURE_CORE_S = 2 / 439  # README: 439 images/s of two cores, index included
SHARD_CORE_S = 2 / 499  # docs/decisions/2026-11-shards-and-feeding.md
TASK_S = 0.094  # of the Prefect server and the scheduler, for each part given to Dask
COMPARISON_S = 0.65e-9  # of two neighbouring hashes; docs/decisions/2026-11-detectors.md
GATHERED_S = 3e-9  # of two hashes that are looked up (2 to 4.5 ns)
FALSE_PAIRS = 4e-6  # of pairs of photographs whose pHash-64 differ in at most 10 bits: 16,000 among 90,000
DISPOSED_S = 150e-9  # of such a pair, by 256 bits and colours
LIKE_PHOTOGRAPHS = 3.3  # times what hashes of independent bits take: three million rows, 466 core s (`bench_scale.py`)
IMAGE_BYTES, STORED_BYTES = 133_000, 3 * 256 * 256
JUDGE_CORE_S = 93 / 10_000_000  # `bench_scale.py`, with copies of the same bytes alone
MANIFEST_BYTES = {"measurements": 1285, "clean": 35}  # a row, zstd; `bench_scale.py`
# A row, at the peak: 200,000 files listed and fingerprinted; ten million rows judged, all detectors and near copies.
MEMORY_BYTES = {"index": 550, "detect (without near copies) + select": 730, "near copies": 2080}
TRAINED_PER_S = 6000  # images, generator at 224 px on one H200: a third of what its memory's bandwidth allows

# Assumed, in US dollars: a core of an on-demand general-purpose machine, a GPU, a shared file system.
CORE_HOUR, GPU_HOUR, SHARED_GB_MONTH = 0.045, 4.0, 0.08
LOST_AN_HOUR, BACK_AFTER_S = 0.05, 300.0  # of the machines (interruptible ones are lost about that often)
CORES = 16  # of a machine
RUNS = 20  # simulations, of which the mean is printed


@dataclass(frozen=True, slots=True)
class Simulated:
    """What became of the parts: hours until the last was done, share of the core time that was of use, parts redone."""

    hours: float
    useful: float
    redone: int


def main() -> None:
    """Prints every table, in Markdown."""
    for table in (sizes(), costs(), near(), parts()):
        print("\n".join(f"| {' | '.join(row)} |" for row in table), end="\n\n")


def sizes() -> list[list[str]]:
    """Bytes on disk and in memory."""
    rows = [["images", *(f"{images:,}" for images in SIZES)], ["---"] * 4]
    rows.append(["photographs, 133 KB each", *(bytes_(images * IMAGE_BYTES) for images in SIZES)])
    rows.append(["shards, 3x256x256 bytes", *(bytes_(images * STORED_BYTES) for images in SIZES)])
    for name, each in MANIFEST_BYTES.items():
        rows.append([f"`{name}.parquet`, {each} B a row", *(bytes_(images * each) for images in SIZES)])
    for name, each in MEMORY_BYTES.items():
        rows.append([f"peak of memory: {name}, {each:,} B a row", *(bytes_(images * each) for images in SIZES)])
    return rows


def costs() -> list[list[str]]:
    """Core hours and dollars of each stage."""
    rows = [["stage", *(f"{images:,}" for images in SIZES)], ["---"] * 4]
    stages = {"index + measure": MEASURE_CORE_S, "detect (without near copies) + select": JUDGE_CORE_S}
    stages |= {"shard": SHARD_CORE_S}
    for name, each_s in stages.items():
        rows.append([name, *(work(images * each_s) for images in SIZES)])
    rows.append(["near copies, upright", *(work(upright_s(images)) for images in SIZES)])
    rows.append(["near copies, turned and cropped", *(work(turned_s(images)) for images in SIZES)])
    epochs = [images / TRAINED_PER_S / 3600 for images in SIZES]
    rows.append(["one epoch of the generator", *(f"{hours:,.1f} GPU h, ${hours * GPU_HOUR:,.0f}" for hours in epochs)])
    stored = [images * (IMAGE_BYTES + STORED_BYTES) / GB * SHARED_GB_MONTH for images in SIZES]
    rows.append(["photographs and shards kept a month", *(f"${dollars:,.0f}" for dollars in stored)])
    return rows


def upright_s(images: int) -> float:
    """Core seconds of the search among plain hashes: what the planner expects, and the false pairs."""
    found = FALSE_PAIRS * images * images / 2
    compared_s = images * _cost(images, _plan(images, 10, 32, 30.0), 30.0) * COMPARISON_S
    return LIKE_PHOTOGRAPHS * (compared_s + found * DISPOSED_S)


def turned_s(images: int) -> float:
    """Core seconds of looking up 7 turned hashes and 9 windows of each image among those that are as light."""
    alike = int(images * 0.3)
    plan = _plan(alike, 6, 20, 2.0)
    return LIKE_PHOTOGRAPHS * 16 * images * _cost(alike, plan, 2.0) * GATHERED_S


def near() -> list[list[str]]:
    """How the search is cut into bands: every choice of blocks is a part, and its keys can be cut again."""
    rows = [["images", "bits that agree", "choices of blocks", "hashes of a key", "core time of a choice"], ["---"] * 5]
    for images in SIZES:
        plan = _plan(images, 10, 32, 30.0)
        blocks, choices = len(plan.edges) - 1, len(list(plan.choices))
        bits = plan.edges[-1] * plan.matching / blocks
        each_s = upright_s(images) / choices
        rows.append([f"{images:,}", f"{bits:.0f}", f"{choices:,}", f"{images / 2**bits:,.2f}", f"{each_s:,.1f} s"])
    return rows


def parts() -> list[list[str]]:
    """Measuring, cut into few or many parts, on few or many machines."""
    rows = [["images", "machines", "images a part", "parts", "hours", "of use", "parts redone", "dollars"], ["---"] * 8]
    cases = [(10_000_000, 1, 33_334), (10_000_000, 4, 33_334), (10_000_000, 16, 33_334), (10_000_000, 16, 4096)]
    cases += [(1_000_000_000, 100, 3_333_334), (1_000_000_000, 100, 65_536)]
    for images, machines, part_images in cases:
        count = -(-images // part_images)
        part_s, cores = part_images * MEASURE_CORE_S, machines * CORES
        ends = [simulate(count, part_s, cores, np.random.default_rng(seed)) for seed in range(RUNS)]
        hours, useful, redone = (fmean(getattr(end, name) for end in ends) for name in ("hours", "useful", "redone"))
        words = [f"{images:,}", f"{machines}", f"{part_images:,}", f"{count:,}", f"{hours:.2f}"]
        rows.append([*words, f"{useful:.0%}", f"{redone:,.1f}", f"{hours * cores * CORE_HOUR:,.2f}"])
    return rows


def simulate(count: int, part_s: float, cores: int, rng: np.random.Generator) -> Simulated:
    """Gives parts to cores as they become free; a lost machine's parts go back, and it returns some minutes later.

    Args:
        count: Parts.
        part_s: Mean seconds of a part on one core; some are a little longer than others.
        cores: Of all machines.
        rng: For durations and losses.
    """
    free = [(0.0, core) for core in range(cores)]
    lost_at = rng.exponential(3600 / LOST_AN_HOUR, -(-cores // CORES))
    waiting, submitted_s, redone, last_s = count, 0.0, 0, 0.0
    while waiting:
        free_s, core = heapq.heappop(free)
        machine = core // CORES
        start_s = max(free_s, submitted_s)
        end_s = start_s + part_s * rng.lognormal(0.0, 0.1)
        if start_s <= lost_at[machine] < end_s:
            redone += 1
            heapq.heappush(free, (lost_at[machine] + BACK_AFTER_S, core))
            continue
        while lost_at[machine] < start_s:
            lost_at[machine] += rng.exponential(3600 / LOST_AN_HOUR)
        waiting -= 1
        submitted_s += TASK_S
        last_s = max(last_s, end_s)
        heapq.heappush(free, (end_s, core))
    return Simulated(last_s / 3600, count * part_s / (last_s * cores), redone)


def work(core_s: float) -> str:
    """Core time and what it costs."""
    hours = core_s / 3600
    return f"{core_s:,.0f} core s" if hours < 1 else f"{hours:,.0f} core h, ${hours * CORE_HOUR:,.0f}"


def bytes_(count: float) -> str:
    """Bytes, in GB or TB."""
    return f"{count / TB:,.1f} TB" if count >= TB else f"{count / GB:,.2f} GB"


if __name__ == "__main__":
    main()
