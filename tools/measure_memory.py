"""Memory of `recolor index` and `recolor measure`: `python tools/measure_memory.py --images FOLDER`.

As many image files as `--rows` says are made as hard links to copies of the folder's, each under a name of its own, and
the two commands run on them as a user would start them. Every process of a command counts. Its memory is sampled: the
sum of PSS, where a page that several processes share counts once, and the sum of RSS, where it counts in each. No
sample sees all: the kernel's own peak of each process (VmHWM) misses nothing, and the sum of these is a bound from
above, as if all had peaked at once. Linux alone has these figures.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pyarrow.parquet as pq
from needs import require_images
from tqdm import tqdm

MIB = 2**20
FOLDER_IMAGES = 1000
SAMPLE_S = 0.2


@dataclass(slots=True)
class Peak:
    """The most memory that a command and all it started had, in bytes; `highest` by process: VmHWM."""

    seconds_s: float = 0.0
    pss_bytes: int = 0
    rss_bytes: int = 0
    processes: int = 0
    highest: dict[int, int] = field(default_factory=dict)


def main() -> None:
    """Makes the files, runs the commands, prints their peaks."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--images", type=Path, default=Path("../shared/data/photos_256/files"), help="small photographs")
    words.add_argument("--rows", type=int, default=100_000)
    words.add_argument("--workers", type=int, default=2)
    words.add_argument("--out", type=Path, help="for the files and the workspace; deleted at the end  [a new folder]")
    given = words.parse_args()
    with tempfile.TemporaryDirectory(dir=given.out) as scratch:
        images, workspace = Path(scratch) / "images", Path(scratch) / "workspace"
        link_images(given.images, Path(scratch) / "copies", images, given.rows)
        print(f"{'':<8} {'rows':>9} {'s':>7} {'processes':>10} {'PSS MiB':>8} {'RSS MiB':>8} {'bound MiB':>10}")
        for verb, manifest in (("index", "index"), ("measure", "measurements")):
            peak = watch(verb, images, workspace, given.workers)
            rows = pq.read_metadata(workspace / "manifests" / f"{manifest}.parquet").num_rows
            print(
                f"{verb:<8} {rows:9,} {peak.seconds_s:7.1f} {peak.processes:10} {peak.pss_bytes / MIB:8,.0f}"
                f" {peak.rss_bytes / MIB:8,.0f} {sum(peak.highest.values()) / MIB:10,.0f}",
                flush=True,
            )


def link_images(source: Path, copies: Path, images: Path, rows: int) -> None:
    """Copies the source's files, then makes so many hard links to the copies, a thousand a folder."""
    suffixes = (".jpg", ".jpeg", ".png")
    require_images(source, suffixes)
    files = sorted(path for path in source.rglob("*") if path.suffix.lower() in suffixes)[:rows]
    copies.mkdir()
    copied = [shutil.copyfile(path, copies / f"{number}{path.suffix}") for number, path in enumerate(files)]
    for row in tqdm(range(rows), desc="link", unit=" images", delay=2):
        folder = images / f"{row // FOLDER_IMAGES:04}"
        if row % FOLDER_IMAGES == 0:
            folder.mkdir(parents=True)
        (folder / f"{row:07}{copied[row % len(copied)].suffix}").hardlink_to(copied[row % len(copied)])


def watch(verb: str, images: Path, workspace: Path, workers: int) -> Peak:
    """Runs a command to its end, and samples its memory as it goes."""
    words = [verb, "--images", images, "--workspace", workspace, "--set", f"execution.workers={workers}"]
    command = [sys.executable, "-m", "recolor", *map(str, words)]
    peak, started = Peak(), time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        root = psutil.Process(process.pid)
        while process.poll() is None:
            sample(root, peak)
            time.sleep(SAMPLE_S)
    peak.seconds_s = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"recolor {verb} ended with {process.returncode}")
    return peak


def sample(root: psutil.Process, peak: Peak) -> None:
    """Adds what the process and its descendants have now."""
    pss_bytes = rss_bytes = processes = 0
    for process in _tree(root):
        try:
            memory = process.memory_full_info()
            peak.highest[process.pid] = _highest_bytes(process.pid)
        except (psutil.Error, OSError, LookupError):
            continue  # it has ended meanwhile
        pss_bytes += memory.pss
        rss_bytes += memory.rss
        processes += 1
    peak.pss_bytes = max(peak.pss_bytes, pss_bytes)
    peak.rss_bytes = max(peak.rss_bytes, rss_bytes)
    peak.processes = max(peak.processes, processes)


def _tree(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def _highest_bytes(pid: int) -> int:
    """The most RSS that a process ever had: VmHWM, in KiB (proc_pid_status(5)); an ended process has none."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024


if __name__ == "__main__":
    main()
