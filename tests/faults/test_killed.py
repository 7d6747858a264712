"""Real runs of the command line, killed with SIGKILL in the middle of their work, then run again."""

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from runs import command, run
from traces import content

from recolor.demo import make_demo_images
from recolor.pipeline.workspace import Workspace

MOMENTS = range(3)  # `make faults` tries many more

pytestmark = [pytest.mark.slow, pytest.mark.long]


def kill_when(ready, verb, images, root, delay_s):
    """Starts the verb, waits until `ready()`, then a little longer, and kills it. False if it had ended by then."""
    process = subprocess.Popen(command(verb, images, root), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not ready():
        time.sleep(0.001)
    time.sleep(delay_s)
    os.kill(process.pid, signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed") / "images"
    make_demo_images(folder, landscapes=48)
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, images):
    """A workspace after every stage, and copies of it as it was before each."""
    root = tmp_path_factory.mktemp("undisturbed")
    for verb in ("index", "measure", "detect", "select", "shards build", "train generator", "train refiner"):
        before = root / f"before {verb}"
        (root / "now").mkdir(exist_ok=True)
        shutil.copytree(root / "now", before, symlinks=True)
        run(verb, images, root / "now")
    return root


def records(folder):
    return len(list(folder.glob("*.record.json"))) if folder.is_dir() else 0


def workspace_before(verb, undisturbed, tmp_path):
    root = tmp_path / "workspace"
    shutil.copytree(undisturbed / f"before {verb}", root)
    return Workspace(root)


@pytest.mark.parametrize("moment", MOMENTS)
def test_measure_killed_at_a_random_moment_goes_on_to_the_same_bytes(undisturbed, images, tmp_path, moment):
    workspace = workspace_before("measure", undisturbed, tmp_path)
    chance = random.Random(f"measure {moment}")
    parts = chance.randrange(1, 8)
    killed = kill_when(
        lambda: records(workspace.measured_parts) >= parts, "measure", images, workspace.root, chance.uniform(0, 0.05)
    )
    assert killed
    finished = records(workspace.measured_parts)
    built = run("measure", images, workspace.root)
    total = records(undisturbed / "now" / "manifests" / "parts")
    assert built == total - finished + 1  # the missing parts and the merge
    assert content(workspace.root, "manifests/*.parquet") == content(
        undisturbed / "before detect", "manifests/*.parquet"
    )
    assert list(workspace.staging.iterdir()) == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_shard_killed_at_a_random_moment_goes_on_to_the_same_bytes(undisturbed, images, tmp_path, moment):
    workspace = workspace_before("shards build", undisturbed, tmp_path)
    chance = random.Random(f"shard {moment}")
    total = records(undisturbed / "now" / "data" / "shards") - 1
    parts = chance.randrange(1, total // 2)
    killed = kill_when(
        lambda: records(workspace.shards) >= parts, "shards build", images, workspace.root, chance.uniform(0, 0.002)
    )
    assert killed
    finished = records(workspace.shards)
    assert run("shards build", images, workspace.root) == total - finished + 1
    assert content(workspace.root, "data/shards/*") == content(undisturbed / "now", "data/shards/*")
    assert list(workspace.staging.iterdir()) == []


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("model", ["generator", "refiner"])
def test_training_killed_at_a_random_moment_goes_on_to_the_same_bytes(undisturbed, images, tmp_path, model, moment):
    workspace = workspace_before(f"train {model}", undisturbed, tmp_path)
    chance = random.Random(f"{model} {moment}")
    checkpoints = workspace.models / model / "checkpoints"
    killed = kill_when(
        lambda: checkpoints.is_dir() and any(path.is_file() for path in checkpoints.rglob("*")),
        f"train {model}",
        images,
        workspace.root,
        chance.uniform(0, 0.4),
    )
    assert killed
    run(f"train {model}", images, workspace.root)
    pattern = f"data/models/{model}/*"
    expected = content(undisturbed / "now", pattern)
    assert {Path(name).name for name in expected} >= {"model.safetensors", "config.json", "metrics.parquet"}
    assert content(workspace.root, pattern) == expected
