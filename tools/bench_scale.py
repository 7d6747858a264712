"""Judging ten million measured images: `python tools/bench_scale.py --rows 10000000`.

Photographs (or rendered landscapes) are measured and their rows multiplied (see `bench_detect.py`) to a block of rows,
and the block to as many as are asked for: each time with other hashes, of the same distances to each other, other
SHA-256, other paths.
Then every stage that judges runs in a process of its own, for its own peak of memory, subsets are read in pandas, and
at last all of it runs again in one process, as the pipeline does it.

The machine may be busy: wall time stands beside processor time. The search for near copies grows with the square of
the images, so that it is left out unless `--near` is given; copies of the same bytes are always found.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from bench_detect import HASHES, measured, multiply
from needs import require_images

from recolor.cleaning.detect import ISSUES, detect_issue
from recolor.cleaning.select import select
from recolor.config.settings import Config, DuplicateConfig
from recolor.manifests.io import ROW_GROUP_ROWS, manifest_writer
from recolor.manifests.pandas import read_manifest
from recolor.manifests.schemas import MEASUREMENTS
from recolor.pipeline.cache import Part, run_part
from recolor.pipeline.workspace import Workspace, open_workspace
from recolor.stages import STAGES

BLOCK_ROWS = ROW_GROUP_ROWS
WITHOUT_NEAR = DuplicateConfig(
    min_contrast=100.0, symmetries=False, crops=False
)  # every image is flat: its hash means nothing
NARROW = DuplicateConfig(max_hamming_distance=4, symmetries=False, crops=False)
TOGETHER = "detect + select, as they run"  # detectors side by side
SUBSETS = {
    "the worst of the blurry": ("blurry", ["path", "score", "reason"], [("score", "<", 0.05)]),
    "one folder of the measurements": ("measurements", ["path", "L_mean", "contrast"], [("path", "<", "000001")]),
    "dark images of the measurements": ("measurements", ["path", "L_mean"], [("L_mean", "<", 12.0)]),
    "the test split of the kept": ("clean", ["path", "split"], [("split", "==", "test")]),
}


def main() -> None:
    """Makes the rows if they are not there, and runs every stage in a process of its own."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--rows", type=int, default=10_000_000)
    words.add_argument("--images", type=Path, help="folder of photographs to measure; without it, rendered landscapes")
    words.add_argument("--out", type=Path, default=Path("data/benchmarks/scale"))
    words.add_argument("--near", choices=["none", "narrow", "default"], default="none")
    words.add_argument("--only", help="one stage, in this process")
    given = words.parse_args()
    if given.images is not None:
        require_images(given.images)
    workspace = open_workspace(given.out / f"{given.rows}")
    config = Config(duplicate={"none": WITHOUT_NEAR, "narrow": NARROW, "default": DuplicateConfig()}[given.near])
    if given.only:
        run_one(given.only, workspace, config)
        return
    if not workspace.manifest("measurements").is_file():
        make(workspace, given.rows, given.images, given.out)
    print(f"{given.rows} rows, {workspace.manifest('measurements').stat().st_size / 1e9:.2f} GB of measurements")
    for stage in (*ISSUES, "select", *SUBSETS, TOGETHER):
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--only", stage], check=True)


def run_one(stage: str, workspace: Workspace, config: Config) -> None:
    """Runs a stage, or reads a subset, and prints what it took."""
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    if stage == TOGETHER:
        for name in (*ISSUES, "clean", "outliers"):
            workspace.manifest(name).unlink()
        started_s, started_cpu_s = time.perf_counter(), time.process_time()
        done = [STAGES[name].run(workspace, Path(), config) for name in ("detect", "select")]
        found = json.dumps([dict(outcome.counts) for outcome in done])
    elif stage in SUBSETS:
        manifest, columns, filters = SUBSETS[stage]
        found = f"{len(read_manifest(workspace.manifest(manifest), columns, filters))} rows"
    else:
        outcome = select(workspace, config) if stage == "select" else detect_issue(workspace, stage, config)
        found = json.dumps(dict(outcome.counts))
        assert outcome.built, f"{stage} is done already: remove its manifest"
    took_s, cpu_s = time.perf_counter() - started_s, time.process_time() - started_cpu_s
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{stage:<32} {took_s:7.2f} s  processor {cpu_s:7.2f} s  peak {peak_gb:5.2f} GB  {found}", flush=True)


def make(workspace: Workspace, rows: int, images: Path | None, out: Path) -> None:
    """Writes the measurements as `measure` would, a block at a time."""
    rng = np.random.default_rng(0)
    block = multiply(measured(images, out), min(rows, BLOCK_ROWS), rng)
    target = workspace.manifest("measurements")

    def write(staging: Path) -> dict[str, int]:
        with manifest_writer(MEASUREMENTS, staging / target.name) as write_rows:
            for start in range(0, rows, len(block)):
                write_rows(varied(block, start, rng).slice(0, rows - start))
        return {}

    run_part(Part(workspace, "measure", 0, Config().measure, {"rows": f"{rows}"}, (target,)), write)


def varied(block: pa.Table, start: int, rng: np.random.Generator) -> pa.Table:
    """The same rows as other images: hashes at the same distances, and 2,500 images a folder."""
    numbers = range(start, start + len(block))
    columns = {"path": pa.array([f"{number // 2500:06}/{number:09}.jpg" for number in numbers])}
    columns["sha256"] = another_sha(block["sha256"].combine_chunks(), rng)
    for name, (each, words) in HASHES.items():
        stored = block[name].combine_chunks()
        made = np.frombuffer(stored.buffers()[1], np.uint64).reshape(-1, each, words)
        made = made ^ rng.integers(0, 2**64, words, dtype=np.uint64)
        buffers = [stored.buffers()[0], pa.py_buffer(made)]
        columns[name] = pa.FixedSizeBinaryArray.from_buffers(stored.type, len(made), buffers)
    return pa.table([columns.get(name, block[name]) for name in MEASUREMENTS.arrow.names], schema=MEASUREMENTS.arrow)


def another_sha(shas: pa.Array, rng: np.random.Generator) -> pa.Array:
    """Other digests, equal where these are."""
    digits = np.frombuffer(shas.buffers()[2], np.uint8).reshape(-1, 64)
    rotated = np.roll(digits, int(rng.integers(1, 64)), axis=1)
    rotated[:, :8] = np.frombuffer(rng.bytes(4).hex().encode(), np.uint8)
    return pa.StringArray.from_buffers(len(shas), shas.buffers()[1], pa.py_buffer(np.ascontiguousarray(rotated)))


if __name__ == "__main__":
    main()
