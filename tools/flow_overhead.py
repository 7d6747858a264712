"""What the Prefect flow adds to plain calls of the stages: `python tools/flow_overhead.py --images FOLDER`.

Cleans a folder into empty workspaces, in turns by plain calls and as the flow `clean`, against a temporary server whose
start is not counted.
"""

import argparse
import tempfile
import time
from pathlib import Path

from needs import require_images
from prefect.testing.utilities import prefect_test_harness

from flows.clean import clean
from recolor.config.settings import Config
from recolor.pipeline.workspace import locked, open_workspace
from recolor.stages import CLEANING, run_each


def main() -> None:
    """Prints seconds of both and their ratio, a line a round."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--images", type=Path, required=True)
    words.add_argument("--rounds", type=int, default=3)
    given = words.parse_args()
    require_images(given.images)
    with prefect_test_harness(server_startup_timeout=120), tempfile.TemporaryDirectory() as scratch:
        for turn in range(given.rounds):
            plain_s = plain(given.images, Path(scratch) / f"plain-{turn}")
            flow_s = as_flow(given.images, Path(scratch) / f"flow-{turn}")
            print(f"plain {plain_s:.2f} s, flow {flow_s:.2f} s: {flow_s / plain_s:.3f}", flush=True)


def plain(images: Path, root: Path) -> float:
    """Seconds of cleaning by plain calls."""
    started = time.perf_counter()
    workspace = open_workspace(root)
    with locked(workspace):
        list(run_each(CLEANING, workspace, images, Config()))
    return time.perf_counter() - started


def as_flow(images: Path, root: Path) -> float:
    """Seconds of cleaning as the flow."""
    started = time.perf_counter()
    clean(images, root)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
