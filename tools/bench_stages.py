"""Images per second of measuring and sharding, beside a strict full decode of the same files in the same run.

`make bench`, or with photographs of one's own: `RECOLOR_BENCH_IMAGES=~/photos make bench`. Nothing is asserted.
"""

import os
import time
from functools import partial
from pathlib import Path

import pytest

from recolor.cleaning.index import scan_folder
from recolor.config.settings import Config, ExecutionConfig, SelectConfig
from recolor.demo import make_demo_images
from recolor.images import decode, read_bytes
from recolor.manifests.names import decode_path
from recolor.pipeline.parallel import run_parallel
from recolor.pipeline.workspace import open_workspace
from recolor.stages import measure, run_each, shard


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    given = os.environ.get("RECOLOR_BENCH_IMAGES")
    if given:
        return Path(given).expanduser()
    folder = tmp_path_factory.mktemp("bench") / "images"
    make_demo_images(folder, landscapes=200, issues=("low_resolution",), each=1, photographs=False)
    return folder


def seconds(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@pytest.mark.parametrize("workers", [1, 2])
def test_measure_and_shard_against_a_strict_full_decode(images, tmp_path, workers, capsys):
    config = Config(execution=ExecutionConfig(workers=workers), select=SelectConfig(val_fraction=0.1))
    files = [images / decode_path(file.path) for file in scan_folder(images, config.index).found]
    workspace = open_workspace(tmp_path / "workspace")
    next(run_each(["index"], workspace, images, config))

    def decode_one(file):
        decode(read_bytes(file, config.measure), config.measure)

    decoding = partial(run_parallel, decode_one, files, config.execution, "decode", lambda _: 1)
    bound_s = seconds(decoding)
    measure_s = seconds(lambda: measure(workspace, images, config))
    list(run_each(("detect", "select"), workspace, images, config))
    shard_s = seconds(lambda: shard(workspace, images, config))
    with capsys.disabled():
        for name, took_s in (("strict full decode", bound_s), ("measure", measure_s), ("shard", shard_s)):
            rate = len(files) / took_s
            print(f"\n{workers} workers  {name:<20} {rate:8.1f} images/s  {bound_s / took_s:5.2f} of decoding", end="")
