"""Seconds of judging measured images again: `python tools/bench_detect.py --rows 90000`.

The images of a folder (or rendered ones) are measured; their rows are repeated until there are enough, each time with
numbers and hashes of their own, and some become copies, turned copies, crops or broken files. Then the detectors and
`select` run with other thresholds each time: every detector alone, the two stages as the pipeline runs them, and
with one threshold changed. The folder of images that the pipeline is given does not exist: nothing can be opened.
"""

import argparse
import resource
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from needs import require_images
from numpy.typing import NDArray

from recolor.cleaning.detect import ISSUES, detect_issue
from recolor.cleaning.select import select
from recolor.cleaning.windows import WINDOWS
from recolor.config.settings import (
    BlurryConfig,
    Config,
    CorruptConfig,
    DuplicateConfig,
    ExposureConfig,
    ExtremeAspectConfig,
    LowResolutionConfig,
    MonochromeConfig,
    SkewedConfig,
)
from recolor.demo import make_demo_images
from recolor.manifests.io import read_table, write_manifest
from recolor.manifests.schemas import COLOUR_LAYOUT, MEASUREMENTS
from recolor.pipeline.cache import Outcome, Part, record_path, run_part
from recolor.pipeline.workspace import Workspace, open_workspace
from recolor.stages import run_each

Hashes = NDArray[np.uint64]
Rows = NDArray[np.int64]

SHARES = {"exact": 0.01, "near": 0.01, "turned": 0.005, "cropped": 0.005, "broken": 0.002}  # of the rows
TURNED = [3, 2, 1, 0, 7, 6, 5, 4]  # the symmetries, if the picture is turned upside down
HASHES = {"phash_64": (8, 1), "phash_256": (8, 4), "phash_64_windows": (len(WINDOWS), 1)}
CENTRE = 4  # the window of `WINDOWS` that the cropped copies show
LAYOUT = MEASUREMENTS.arrow.field("colour_layout").type
NOWHERE = Path("/there/are/no/images/here")
SELECTED = ("clean", "outliers")  # the manifests of `select`


def main() -> None:
    """Measures, multiplies, judges several times; prints the fastest of each."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--images", type=Path, help="folder of photographs to measure; without it, rendered landscapes")
    words.add_argument("--out", type=Path, default=Path("data/benchmarks/detect"))
    words.add_argument("--rows", type=int, default=90_000)
    words.add_argument("--times", type=int, default=3)
    given = words.parse_args()
    if given.images is not None:
        require_images(given.images)
    table = multiply(measured(given.images, given.out), given.rows, np.random.default_rng(0))
    shutil.rmtree(given.out / "judged", ignore_errors=True)  # what an earlier run left would be current
    workspace = open_workspace(given.out / "judged")
    publish(table, workspace)
    print(f"{len(table)} rows, {workspace.manifest('measurements').stat().st_size / 1e6:.0f} MB")
    for issue in ISSUES:
        judge_one = lambda at, issue=issue: detect_issue(workspace, issue, thresholds(at))  # noqa: E731
        report(f"detect {issue}", given.times, judge_one, workspace, [issue])
    all_again = lambda at: judge(workspace, thresholds(100 + at))  # noqa: E731  # both are one line, side by side
    one_again = lambda at: judge(workspace, one_threshold(at))  # noqa: E731
    report("detect + select, every threshold changed", given.times, all_again, workspace, [*ISSUES, *SELECTED])
    report("select alone", given.times, lambda at: selected_again(workspace, at), workspace, SELECTED)
    judge(workspace, one_threshold(-1))
    report("detect + select, one threshold changed", given.times, one_again, workspace, ["blurry", *SELECTED])


def measured(images: Path | None, out: Path) -> pa.Table:
    """The measurements of a folder, or of rendered landscapes."""
    if images is None:
        images = out / "images"
        make_demo_images(images, landscapes=40, issues=("low_resolution",), each=1, photographs=False)
    workspace = open_workspace(out / "measured")
    list(run_each(("index", "measure"), workspace, images, Config()))
    table = read_table(MEASUREMENTS, workspace.manifest("measurements"))
    return table.filter(table["reason"].is_null())


def multiply(table: pa.Table, rows: int, rng: np.random.Generator) -> pa.Table:
    """Makes rows of measured ones: the numbers of one, varied, and hashes whose bits are of that one or of another.

    So every bit is as frequent as among photographs, and its relation to the bits of the turned picture stays.
    """
    parents = rng.integers(0, len(table), (2, rows))
    groups = np.split(rng.permutation(rows), np.cumsum([int(share * rows) for share in SHARES.values()]))
    chosen = dict(zip(SHARES, groups))
    source = np.arange(rows)
    for kind in ("exact", "near", "turned", "cropped"):
        source[chosen[kind]] = groups[-1][: len(chosen[kind])]
    columns = {field.name: column(table[field.name].combine_chunks(), parents[0], rng) for field in MEASUREMENTS.arrow}
    columns |= {name: columns[name].take(pa.array(source)) for name in columns}
    columns |= hash_columns(table, parents, source, chosen, rng)
    columns["thumbnail"] = thumbnails(table, parents[0][source], chosen)
    shas = rng.integers(0, 2**64, (rows, 4), dtype=np.uint64)
    shas[chosen["exact"]] = shas[source[chosen["exact"]]]
    columns["sha256"] = pa.array([sha.tobytes().hex() for sha in shas])
    columns["path"] = pa.array([f"photographs/{row:07}.jpg" for row in range(rows)])
    return pa.table(
        [undecoded(columns[field.name], field, chosen["broken"]) for field in MEASUREMENTS.arrow],
        schema=MEASUREMENTS.arrow,
    )


def column(values: pa.Array, rows: Rows, rng: np.random.Generator) -> pa.Array:
    """These rows of a column; fractional numbers are varied by two percent."""
    values = values.take(pa.array(rows))
    if pa.types.is_floating(values.type):
        return pa.array(values.to_numpy(zero_copy_only=False) * rng.lognormal(0.0, 0.02, len(values)), from_pandas=True)
    if values.type == LAYOUT:
        numbers = np.frombuffer(values.buffers()[1], np.float32)[: len(rows) * COLOUR_LAYOUT]
        varied = numbers * rng.lognormal(0.0, 0.02, len(numbers)).astype(np.float32)
        return pa.FixedSizeBinaryArray.from_buffers(values.type, len(rows), [None, pa.py_buffer(varied)])
    return values


def hash_columns(
    table: pa.Table, parents: Rows, source: Rows, chosen: dict[str, Rows], rng: np.random.Generator
) -> dict[str, pa.Array]:
    """Hashes of all rows, of which some are those of their source: near, turned, or of a part of it."""
    one, other = parents
    masks = {words: symmetric_bits(len(one), words, rng) for words in (1, 4)}
    hashes = {}
    for name, (each, words) in HASHES.items():
        stored = np.frombuffer(table[name].combine_chunks().buffers()[1], np.uint64).reshape(-1, each, words)
        made = (stored[one] & masks[words]) | (stored[other] & ~masks[words])
        copied = np.concatenate([chosen["near"], chosen["turned"]])
        made[chosen["exact"]] = made[source[chosen["exact"]]]
        made[copied] = noisy(made[source[copied]], rng)
        hashes[name] = made
    for name in ("phash_64", "phash_256"):
        hashes[name][chosen["turned"]] = hashes[name][chosen["turned"]][:, TURNED]
    parts = hashes["phash_64_windows"][source[chosen["cropped"]], CENTRE]
    hashes["phash_64"][chosen["cropped"], 0] = noisy(parts, rng)
    return {
        name: pa.FixedSizeBinaryArray.from_buffers(pa.binary(made[0].nbytes), len(made), [None, pa.py_buffer(made)])
        for name, made in hashes.items()
    }


def thumbnails(table: pa.Table, parents: Rows, chosen: dict[str, Rows]) -> pa.Array:
    """Thumbnails of the first parents; those of some copies turned upside down, or of the centre alone."""
    stored = np.frombuffer(table["thumbnail"].combine_chunks().buffers()[1], np.uint8).reshape(len(table), -1)
    side = int(stored.shape[1] ** 0.5)
    made = stored.reshape(-1, side, side)[parents]
    made[chosen["turned"]] = made[chosen["turned"]][:, ::-1, ::-1]
    left, right, top, bottom = WINDOWS[CENTRE] * side
    spans = (np.linspace(start, end, side) - 0.5 for start, end in ((left, right), (top, bottom)))
    across, down = (np.clip(span, 0, side - 1).round().astype(int) for span in spans)
    made[chosen["cropped"]] = made[chosen["cropped"]][:, down][:, :, across]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(side * side), len(made), [None, pa.py_buffer(made)])


def symmetric_bits(rows: int, words: int, rng: np.random.Generator) -> Hashes:
    """Random hashes of pictures that are their own transposes: uint64 [rows, 1, words]."""
    side = 8 * int(words**0.5)
    bits = np.triu(rng.random((rows, side, side), np.float32) < 0.5)
    return np.packbits((bits | bits.swapaxes(1, 2)).reshape(rows, -1), axis=1).view(np.uint64)[:, None]


def noisy(words: Hashes, rng: np.random.Generator) -> Hashes:
    """The same hashes with one bit in fifty turned."""
    return words ^ np.packbits(rng.random((*words.shape, 64), np.float32) < 0.02, axis=-1).view(np.uint64)[..., 0]


def undecoded(values: pa.Array, field: pa.Field, rows: Rows) -> pa.Array:
    """The column of a set in which some images were not decoded."""
    broken = np.isin(np.arange(len(values)), rows)
    if field.name in ("reason", "detail"):
        return pa.array(np.where(broken, "truncated", None), pa.string())
    if not field.nullable or field.name == "sha256":
        return values
    return values.take(pa.array(np.arange(len(values)), mask=broken))


def publish(table: pa.Table, workspace: Workspace) -> None:
    """Puts the measurements where `measure` would."""
    target = workspace.manifest("measurements")
    part = Part(workspace, "measure", 0, Config().measure, {"rows": f"{len(table)}"}, (target,))
    run_part(part, lambda staging: write_manifest(MEASUREMENTS, table, staging / target.name) or {})


def thresholds(at: int) -> Config:
    """Settings of which every threshold is another than those of another number."""
    step = at / 1000
    return Config(
        corrupt=CorruptConfig(max_grey_tail=0.05 + step / 10),
        duplicate=DuplicateConfig(min_contrast=4.0 + step),
        monochrome=MonochromeConfig(threshold=0.5 - step),
        skewed=SkewedConfig(threshold=0.5 - step),
        blurry=BlurryConfig(threshold=0.5 - step),
        exposure=ExposureConfig(threshold=0.5 - step),
        low_resolution=LowResolutionConfig(min_side_px=200 - at),
        extreme_aspect=ExtremeAspectConfig(min_aspect=0.5 - step),
    )


def one_threshold(at: int) -> Config:
    """Settings of which one threshold alone is another than those of another number."""
    return replace(thresholds(0), blurry=BlurryConfig(threshold=0.4 - at / 1000))


def judge(workspace: Workspace, config: Config) -> Outcome:
    """Detects and selects as `recolor clean` does."""
    assert not NOWHERE.exists()
    stages = ("detect", "select")
    return list(run_each(stages, workspace, NOWHERE, config))[-1]


def selected_again(workspace: Workspace, at: int) -> Outcome:
    """Selects with another seed."""
    config = thresholds(0)
    return select(workspace, replace(config, select=replace(config.select, seed=at + 1)))


def report(
    name: str, times: int, work: Callable[[int], Outcome], workspace: Workspace, manifests: Sequence[str]
) -> None:
    """Prints the fastest of several runs that write some manifests: wall time and processor time of all threads.

    Their records are deleted before each run: another threshold need not change a small set, nor has every issue one.
    """
    best_s = best_cpu_s = float("inf")
    for at in range(times):
        for manifest in manifests:
            record_path(workspace.manifest(manifest)).unlink(missing_ok=True)
        started_s, started_cpu_s = time.perf_counter(), time.process_time()
        outcome = work(at)
        best_s = min(best_s, time.perf_counter() - started_s)
        best_cpu_s = min(best_cpu_s, time.process_time() - started_cpu_s)
    counts = ", ".join(f"{count} {what}" for what, count in outcome.counts.items())
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{name:<42} {best_s:6.2f} s  processor {best_cpu_s:6.2f} s  peak so far {peak_gb:4.1f} GB  {counts}")


if __name__ == "__main__":
    main()
