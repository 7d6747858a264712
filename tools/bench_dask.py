"""Cleaning by one Dask worker and by two: `python tools/bench_dask.py --images FOLDER`.

Workers are programs of one thread, each with one process to decode in. In turns, one or two of them measure the images
into an empty workspace, after a few images by which they have loaded what they need, as a cluster has after its first
run. Only measuring is timed, from the end of the list of files to that of the last part. Wall time says what was gained
on a quiet machine alone: on a busy one, two workers also get twice the share of the cores. So the processor time of
flow, scheduler and workers stands beside it, which is the same for one and two if nothing is wasted, and the load of
the machine.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from distributed import Client
from needs import require_images
from prefect.testing.utilities import prefect_test_harness

from flows.clean import clean
from flows.parameters import Settings
from recolor.demo import make_demo_images

SETTINGS = {"DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False"}  # as docs/scale.md says


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds of the measuring, and processor seconds of all processes that took part."""

    wall_s: float
    cpu_s: float


def main() -> None:
    """Prints a line a round: one worker, two workers, the ratio."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--images", type=Path, required=True)
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--startup-s", type=int, default=120, help="for Prefect's temporary server")
    given = words.parse_args()
    require_images(given.images)
    with prefect_test_harness(server_startup_timeout=given.startup_s), tempfile.TemporaryDirectory() as scratch:
        for turn in range(given.rounds):
            one, two = (measured(given.images, Path(scratch) / f"{turn}-{count}", count) for count in (1, 2))
            print(
                f"one worker {one.wall_s:.1f} s (processor {one.cpu_s:.1f} s), two {two.wall_s:.1f} s"
                f" (processor {two.cpu_s:.1f} s): {one.wall_s / two.wall_s:.2f} times as fast,"
                f" {two.cpu_s / one.cpu_s:.2f} of the processor time, load {os.getloadavg()[0]:.1f}",
                flush=True,
            )


def measured(images: Path, root: Path, workers: int) -> Taken:
    """Cleans on so many workers."""
    make_demo_images(root / "few", landscapes=64, issues=("low_resolution",), each=1, photographs=False)
    with cluster(root / "cluster", workers) as (address, processes):
        settings = Settings(execution={"workers": 2, "runner": "dask", "dask_address": address})
        clean(root / "few", root / "warm", None, settings)
        before_s = cpu_s(processes) + time.process_time()
        clean(images, root / "workspace", None, settings)
        spent_s = cpu_s(processes) + time.process_time() - before_s
    written = [path.stat().st_mtime for path in (root / "workspace/manifests/parts").glob("*.parquet")]
    begun = (root / "workspace/manifests/index.parquet.record.json").stat().st_mtime
    return Taken(max(written) - begun, spent_s)


def cpu_s(processes: list[psutil.Process]) -> float:
    """Processor seconds of these and of the processes that they decode in, which have ended or have not."""
    family = [one for process in processes for one in (process, *process.children(recursive=True))]
    return sum(sum(one.cpu_times()[:4]) for one in family)  # user and system, and both of children that have ended


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[tuple[str, list[psutil.Process]]]:
    """A scheduler and workers on loopback, each in a folder of its own."""
    folder.mkdir(parents=True)
    file = folder / "scheduler.json"
    with ExitStack() as open_:
        processes = [open_.enter_context(program(folder / "scheduler", "scheduler", "--port", "0", file=file))]
        for number in range(workers):
            options = ("--nthreads", "1", "--no-nanny")
            processes.append(open_.enter_context(program(folder / f"{number}", "worker", *options, file=file)))
        with Client(scheduler_file=str(file), timeout=120, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=120)
            yield client.scheduler.address, [psutil.Process(one.pid) for one in processes]


@contextmanager
def program(folder: Path, name: str, *options: str, file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """One program of Dask's, until the end."""
    folder.mkdir()
    command = [
        sys.executable,
        "-m",
        "dask",
        name,
        "--host",
        "127.0.0.1",
        "--no-dashboard",
        "--scheduler-file",
        str(file),
    ]
    environment = os.environ | SETTINGS
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen([*command, *options], cwd=folder, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


if __name__ == "__main__":
    main()
