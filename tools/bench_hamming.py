"""Seconds of the exact search for near hashes; `bench_detect.py` is on judging 90,000 images again.

`make bench`, or `pytest tools/bench_hamming.py`. Processor time of one thread; nothing is asserted about it.
The yardstick is a brute-force comparison of as many hashes in the same run, extrapolated from some of its rows.
"""

import resource
import time

import numpy as np
import pyarrow as pa
import pytest

from recolor.cleaning.detect.duplicate import detect_duplicate
from recolor.cleaning.detect.hamming import near_pairs
from recolor.cleaning.windows import WINDOWS
from recolor.config.settings import Config, DuplicateConfig
from recolor.demo import make_demo_images
from recolor.manifests.io import read_table
from recolor.manifests.schemas import MEASUREMENTS, SYMMETRIES
from recolor.pipeline.workspace import open_workspace
from recolor.stages import run_each

WORDS = 5 * len(SYMMETRIES)  # of the 64-bit and the 256-bit hashes of a picture


@pytest.fixture
def say(capsys):
    def print_line(name, took_s, more=""):
        peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        with capsys.disabled():
            print(f"\n{name:<58} {took_s:8.2f} s  peak so far {peak_gb:4.1f} GB  {more}", end="")

    return print_line


def seconds(work, times=1):
    """Processor time of the fastest run, and what it returned."""
    best_s, result = float("inf"), None
    for _ in range(times):
        started = time.process_time()
        result = work()
        best_s = min(best_s, time.process_time() - started)
    return best_s, result


def brute_force_s(hashes, distance, rows=200):
    def compare():
        return [np.flatnonzero(np.bitwise_count(hashes ^ one) <= distance) for one in hashes[:rows]]

    return seconds(compare)[0] * len(hashes) / (2 * rows)


def flips(rng, shape, rate):
    """Words of bits, each set with this probability."""
    return np.packbits(rng.random((*shape, 64), np.float32) < rate, axis=-1).view(np.uint64)[..., 0]


@pytest.mark.parametrize("count", [90_000, 1_000_000])
@pytest.mark.parametrize("distance", [4, 8, 10])
def test_all_near_pairs_of_random_hashes_with_planted_ones(count, distance, say):
    if count == 1_000_000 and distance == 10:
        pytest.skip("takes a minute and tells no more")
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
    hashes[: count // 10] = hashes[count // 2 :][: count // 10] ^ flips(rng, (count // 10,), 0.05)
    took_s, pairs = seconds(lambda: sum(len(one) for one, _ in near_pairs(hashes, distance)), 3 if count < 1e6 else 1)
    ratio = brute_force_s(hashes, distance) / took_s
    say(f"{count} hashes, distance {distance}", took_s, f"{pairs} pairs, {ratio:.0f}x a brute force")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The measurements of some real files."""
    folder = tmp_path_factory.mktemp("bench")
    make_demo_images(folder / "images", landscapes=40, issues=("low_resolution",), each=1, photographs=False)
    workspace = open_workspace(folder / "workspace")
    stages = ("index", "measure")
    list(run_each(stages, workspace, folder / "images", Config()))
    return read_table(MEASUREMENTS, workspace.manifest("measurements"))


def measurements(measured, words, rng):
    """A table of many pictures: the numbers of the measured ones, but hashes of their own, uint64 [rows, 40]."""
    count = len(words)
    own = {
        "path": pa.array([f"{row:07}.jpg" for row in range(count)]),
        "size_bytes": pa.array(rng.integers(50_000, 500_000, count)),
        "sha256": pa.array([f"{row:064x}" for row in rng.permutation(count)]),
        "phash_64": fixed_size(words[:, :8], 64),
        "phash_256": fixed_size(words[:, 8:], 256),
        "phash_64_windows": fixed_size(
            rng.integers(0, 2**64, (count, len(WINDOWS)), dtype=np.uint64), 8 * len(WINDOWS)
        ),
    }
    table = measured.take(pa.array(rng.integers(0, len(measured), count)))
    columns = [own.get(name, table[name]) for name in MEASUREMENTS.arrow.names]
    return pa.table(columns, schema=MEASUREMENTS.arrow).combine_chunks()


def fixed_size(words, size_bytes):
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(size_bytes), len(words), [None, pa.py_buffer(np.ascontiguousarray(words))]
    )


def pictures(count, copies, rng):
    """Hashes of pictures, a share of which are copies of others: uint64 [count, 40]."""
    words = rng.integers(0, 2**64, (count, WORDS), dtype=np.uint64)
    copied = int(count * copies)
    words[:copied] = words[count - copied :] ^ flips(rng, (copied, WORDS), 0.03)
    return words


def test_duplicates_among_90000_pictures(measured, say):
    rng = np.random.default_rng(0)
    table = measurements(measured, pictures(90_000, 0.1, rng), rng)
    for name, config in (("8 symmetries", DuplicateConfig()), ("as they are", DuplicateConfig(symmetries=False))):
        took_s, outliers = seconds(lambda config=config: detect_duplicate(table, config), 3)
        say(f"detect duplicate, 90000 rows, {name}", took_s, f"{len(outliers)} copies")


def test_a_burst_of_50000_among_90000_pictures(measured, say):
    rng = np.random.default_rng(0)
    words = pictures(90_000, 0.1, rng)
    words[rng.permutation(90_000)[:50_000]] = words[0] ^ flips(rng, (50_000, WORDS), 0.02)
    table = measurements(measured, words, rng)
    took_s, outliers = seconds(lambda: detect_duplicate(table, DuplicateConfig()))
    say("detect duplicate, 90000 rows, 50000 of them alike", took_s, f"{len(outliers)} copies")


def test_a_million_equal_hashes(measured, say):
    rng = np.random.default_rng(0)
    table = measurements(measured, np.repeat(pictures(1, 0, rng), 1_000_000, axis=0), rng)
    took_s, outliers = seconds(lambda: detect_duplicate(table, DuplicateConfig()))
    say("detect duplicate, 1000000 equal hashes", took_s, f"{len(outliers)} copies")
