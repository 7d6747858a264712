"""Images per second of writing shards, beside what bounds it: `python tools/bench_shard.py --images FOLDER`.

The bound is reading, a strict decode at half size where that leaves enough (JPEG, short side of at least the stored
size), and an area resize: once with this package's decoder, once with bare simplejpeg. The last row is what one would
write by hand: Pillow, Lanczos, skimage, saved. All take turns in the same run, with as many threads, and the
fastest turn of each counts. Every kept file has been read once before. Files that are not JPEG are left out.
"""

import argparse
import io
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from needs import require_images
from PIL import Image, ImageOps
from skimage import color

from recolor.config.settings import Config, DuplicateConfig, ExecutionConfig, IndexConfig
from recolor.images import decode, read_bytes
from recolor.manifests.io import read_table
from recolor.manifests.schemas import CLEAN
from recolor.pipeline.parallel import run_parallel
from recolor.pipeline.workspace import locked, open_workspace
from recolor.stages import CLEANING, run_each, shard


def main() -> None:
    """Cleans the folder once, then writes its shards as often as asked for."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--images", type=Path, required=True)
    words.add_argument("--out", type=Path, default=Path("data/benchmarks/shard"))
    words.add_argument("--workers", type=int, default=2)
    words.add_argument("--rounds", type=int, default=3)
    given = words.parse_args()
    config = Config(
        index=IndexConfig(suffixes=(".jpg", ".jpeg")),
        duplicate=DuplicateConfig(enabled=False),
        execution=ExecutionConfig(workers=given.workers),
    )
    require_images(given.images, config.index.suffixes)
    workspace, size_px = open_workspace(given.out), config.shard.size_px
    with locked(workspace):
        list(run_each(CLEANING, workspace, given.images, config))
    kept = read_table(CLEAN, workspace.manifest("clean"), ["path"])["path"].to_pylist()
    files = [given.images / path for path in kept]
    cv2.setNumThreads(1)

    def half_and_resize(file: Path) -> None:
        decoded = decode(read_bytes(file, config.measure), config.measure, min_side_px=size_px)
        cv2.resize(decoded.rgb, (size_px, size_px), interpolation=cv2.INTER_AREA)

    def bare(file: Path) -> None:
        rgb = simplejpeg.decode_jpeg(file.read_bytes(), min_height=size_px, min_width=size_px, strict=True)
        cv2.resize(rgb, (size_px, size_px), interpolation=cv2.INTER_AREA)

    def by_hand(file: Path) -> None:
        with Image.open(file) as image:
            rgb = ImageOps.fit(image.convert("RGB"), (size_px, size_px), Image.Resampling.LANCZOS)
        np.save(io.BytesIO(), color.rgb2lab(np.asarray(rgb)).astype(np.float32))

    def write() -> None:
        shutil.rmtree(workspace.shards, ignore_errors=True)
        workspace.shards.mkdir(parents=True)
        with locked(workspace):
            shard(workspace, given.images, config)

    def over_files(work: Callable[[Path], None]) -> Callable[[], object]:
        return lambda: run_parallel(work, files, config.execution, "files", lambda _: 1)

    contenders = {
        "read, half decode, resize": over_files(half_and_resize),
        "the same, bare simplejpeg": over_files(bare),
        "shard": write,
        "by hand": over_files(by_hand),
    }
    took_s = {name: min(_seconds(work) for _ in range(given.rounds)) for name, work in contenders.items()}
    print(f"{len(files)} images, {given.workers} workers, best of {given.rounds}")
    for name, seconds in took_s.items():
        print(f"{name:<26} {len(files) / seconds:8.1f} images/s   shard is {seconds / took_s['shard']:5.2f}x")


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
