"""Memory that runs out in one part, worker processes that are killed: the others go on, a rerun makes it good."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import command
from traces import finished, redone, results, temporary_files

from recolor.cleaning.measure.isolation import measure_apart
from recolor.config.settings import MeasureConfig
from recolor.errors import OutOfMemoryError
from recolor.manifests.io import read_table
from recolor.manifests.schemas import CLEAN, INDEX, MEASUREMENTS
from recolor.pipeline.workers import worker_processes
from recolor.pipeline.workspace import open_workspace
from recolor.shards import writer as shards

pytestmark = pytest.mark.slow

# The command, with so much more memory than its imports take.
WITH_LITTLE_MEMORY = """
import resource, sys
import recolor.cleaning.measure, recolor.shards.writer, recolor.stages
from PIL import Image
from recolor.cli.main import main
Image.init()
with open("/proc/self/statm") as file:
    now = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + {more_mb} * 2**20,) * 2)
main()
"""
# Python runs `sitecustomize` as it starts. Each of these kills the process that decodes certain files: all that say so
# for as long as another file is there, or the first process only that decodes a file of these digests.
SITE = """
import os, signal
import simplejpeg

decode = simplejpeg.decode_jpeg
def decode_or_die(data, *rest, **named):
    if b"deadly" in data and os.path.exists({flag!r}):
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(data, *rest, **named)
simplejpeg.decode_jpeg = decode_or_die
"""
SITE_ONCE = """
import hashlib, os, signal
import simplejpeg

decode = simplejpeg.decode_jpeg
def decode_or_die(data, *rest, **named):
    try:
        os.unlink(os.path.join({folder!r}, hashlib.sha256(data).hexdigest()))
    except FileNotFoundError:
        return decode(data, *rest, **named)
    os.kill(os.getpid(), signal.SIGKILL)
simplejpeg.decode_jpeg = decode_or_die
"""


@pytest.fixture
def at_start_of_python(tmp_path, monkeypatch):
    """`at_start_of_python(program)`: what each Python runs first that is started from now on."""

    def written(program):
        site = tmp_path / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(program)
        monkeypatch.syspath_prepend(site)

    return written


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads its own size in /proc")
def test_an_image_there_is_no_memory_for_is_named_and_measured_by_the_next_run(tmp_path, run):
    images = tmp_path / "images"
    images.mkdir()
    shades = np.arange(7000, dtype=np.uint16)[:, None, None] % np.array([251, 241, 239], np.uint16)
    large = np.broadcast_to(shades, (7000, 7000, 3)).astype(np.uint8)  # 147 MB, and as much again on the way
    Image.fromarray(large).save(images / "large.png", compress_level=1)
    for number in range(3):
        Image.fromarray(np.ascontiguousarray(large[number::40, ::40])).save(images / f"small {number}.png")
    workspace = open_workspace(tmp_path / "workspace")
    words = command("clean", images, workspace.root)[3:]
    program = [sys.executable, "-c", WITH_LITTLE_MEMORY.format(more_mb=300), *words, "--set", "execution.workers=1"]
    env = os.environ | {"MALLOC_ARENA_MAX": "1"}  # threads set memory aside, as if they used it
    poor = subprocess.run(program, capture_output=True, text=True, check=False, env=env)
    assert "large.png: there is not enough memory to decode it. It is left out for now; the next run" in poor.stderr
    assert "Traceback" not in poor.stderr
    reasons = read_table(MEASUREMENTS, workspace.manifest("measurements"), ["path", "reason"]).to_pydict()
    assert reasons == {
        "path": ["large.png", "small 0.png", "small 1.png", "small 2.png"],
        "reason": ["unreadable", None, None, None],
    }
    stages = ["index", "measure", "detect"]
    assert run(stages, workspace, photographs=images)["measure"].counts["measured"] == 1
    fresh = open_workspace(tmp_path / "fresh")
    run(stages, fresh, photographs=images)
    for name in ("measurements", "corrupt"):
        assert workspace.manifest(name).read_bytes() == fresh.manifest(name).read_bytes()


def test_a_part_that_memory_ran_out_in_is_named_and_the_others_are_done(before, undisturbed, run, monkeypatch):
    workspace = before("shard")
    victim = sorted(undisturbed("shard").glob("data/shards/*.npy"))[1].name
    build = shards._build_shard

    def build_or_fail(path, *rest):
        if path.name == victim:
            raise MemoryError
        return build(path, *rest)

    monkeypatch.setattr(shards, "_build_shard", build_or_fail)
    with pytest.raises(OutOfMemoryError, match=rf"(?s)1 of \d+ parts failed.*{victim}: not enough memory"):
        run(["shard"], workspace)
    monkeypatch.undo()
    done = finished(workspace.root)
    assert run(["shard"], workspace)["shard"].built == 2  # the part and the index
    assert redone(done, workspace.root) == []
    assert results(workspace.root) == results(undisturbed("shard"))


@pytest.fixture
def deadly(undisturbed, images, tmp_path, monkeypatch, at_start_of_python):
    """A folder with a file for each of two photographs: the process that decodes one first removes it and is killed."""
    monkeypatch.setattr(shards, "PROCESSES_FROM_IMAGES", 1)
    kept = read_table(CLEAN, undisturbed("select") / "manifests" / "clean.parquet", ["path"])["path"].to_pylist()
    photographs = [path for path in kept if path.endswith(".jpg")]
    folder = tmp_path / "deadly"
    folder.mkdir()
    for path in (photographs[3], photographs[-3]):
        (folder / hashlib.sha256((images / path).read_bytes()).hexdigest()).touch()
    assert len(list(folder.iterdir())) == 2
    at_start_of_python(SITE_ONCE.format(folder=str(folder)))
    return folder


@pytest.mark.parametrize("stage", ["measure", "shard"])
def test_a_worker_process_killed_in_the_middle_costs_its_part_nothing(before, undisturbed, run, deadly, stage):
    workspace = before(stage)
    run([stage], workspace)
    assert list(deadly.iterdir()) == []  # two processes were killed
    assert results(workspace.root) == results(undisturbed(stage))
    assert temporary_files(workspace.root) == []


def test_a_process_killed_from_outside_is_no_verdict_on_the_file(tmp_path, at_start_of_python):
    flag = tmp_path / "flag"
    flag.touch()
    at_start_of_python(SITE.format(flag=str(flag)))
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        picture = Image.fromarray(np.full((64, 64, 3), 60 * number, np.uint8))
        picture.save(folder / f"{number}.jpg", comment=b"deadly" if number == 1 else b"")
    rows = [
        {"path": path.name, "size_bytes": path.stat().st_size, "mtime_ns": path.stat().st_mtime_ns}
        for path in sorted(folder.iterdir())
    ]
    identities = INDEX.arrow.empty_table().from_pylist(rows, schema=INDEX.arrow)
    limits = MeasureConfig()
    with worker_processes(1):
        killed = measure_apart(folder, identities, limits)
        assert killed["reason"].to_pylist() == [None, "unreadable", None]
        assert "killed" in killed["detail"][1].as_py()
        flag.unlink()
        assert measure_apart(folder, identities, limits)["reason"].to_pylist() == [None, None, None]
