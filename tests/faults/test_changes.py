"""What a stage reads is changed while it runs, or the clock is set back."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from traces import finished, redone, results

from recolor.cleaning import detect, select
from recolor.errors import DamagedError, InputError
from recolor.manifests.io import read_table
from recolor.manifests.schemas import CLEAN
from recolor.training import loop

pytestmark = pytest.mark.slow

_DAY_NS = 86_400 * 10**9


def flip_a_byte(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "case",
    [(detect, "read_in_groups", "detect", "measurements"), (select, "read_table", "select", "blurry")],
    ids=lambda case: case[2],
)
def test_a_manifest_changed_while_it_is_read_is_named_and_nothing_is_made_of_it(
    before, undisturbed, run, monkeypatch, case
):
    module, reader, stage, victim = case
    workspace = before(stage)
    read = getattr(module, reader)

    def read_and_spoil(schema, path, *columns):
        found = read(schema, path, *columns)
        found = found if reader == "read_table" else list(found)
        if path == workspace.manifest(victim):
            flip_a_byte(path)
        return found

    monkeypatch.setattr(module, reader, read_and_spoil)
    with pytest.raises(DamagedError, match=rf"{victim}\.parquet: changed while the stage `{stage}.* was reading it"):
        run([stage], workspace, "execution.workers=1")
    monkeypatch.undo()
    run(["measure", "detect", "select"], workspace)
    assert results(workspace.root) == results(undisturbed("select"))


def test_a_shard_changed_while_it_is_trained_on_is_named_and_reaches_no_checkpoint(
    before, undisturbed, run, monkeypatch
):
    workspace = before("train-generator")
    shard = sorted(workspace.shards.glob("*.npy"))[0]
    one_step, steps = loop.one_step, []

    def step_and_spoil(*arguments):
        steps.append(1)
        if len(steps) == 7:  # the checkpoint of step 6 is written
            flip_a_byte(shard)
        one_step(*arguments)

    monkeypatch.setattr(loop, "one_step", step_and_spoil)
    with pytest.raises(
        DamagedError, match=rf"{shard.name}: changed while it was being read.*Run `recolor shards build`"
    ):
        run(["train-generator"], workspace)
    assert len(steps) == 8
    monkeypatch.undo()
    repaired = run(["shard", "train-generator"], workspace)
    assert repaired["shard"].built == 1
    assert results(workspace.root) == results(undisturbed("train-generator"))


def test_a_photograph_changed_before_it_is_sharded_is_named_and_cleaning_takes_it_up(before, run, images, tmp_path):
    changing = Path(shutil.copytree(images, tmp_path / "images"))
    workspace = before("index")
    stages = ["index", "measure", "detect", "select", "shard"]
    run(stages[:-1], workspace, photographs=changing)
    victim, other, *_ = (changing / path for path in kept_paths(workspace))
    victim.write_bytes(other.read_bytes())
    with pytest.raises(InputError, match=rf"{victim.name}: this file has changed since it was measured.*recolor clean"):
        run(["shard"], workspace, photographs=changing)
    done = finished(workspace.root)
    assert any(path.suffix == ".npy" for path in done)  # the other shards
    counts = run(stages, workspace, photographs=changing)["measure"].counts
    assert counts["measured"] == 1
    fresh = before("index", tmp_path / "fresh")
    run(stages, fresh, photographs=changing)
    assert results(workspace.root) == results(fresh.root)


def kept_paths(workspace):
    return read_table(CLEAN, workspace.manifest("clean"))["path"].to_pylist()


def move_into_the_future(root):
    """All that was done so far seems to be of tomorrow: what a clock that is set back by a day leaves."""
    for path in [path for path in root.rglob("*") if path.is_file()]:
        if path.name.endswith(".record.json"):
            record = json.loads(path.read_text())
            for output in record["outputs"]:
                output["mtime_ns"] += _DAY_NS
            path.write_text(json.dumps(record))
        status = path.stat()
        os.utime(path, ns=(status.st_atime_ns + _DAY_NS, status.st_mtime_ns + _DAY_NS))


@pytest.mark.parametrize("stage", ["measure", "shard", "train-generator"])
def test_a_clock_set_back_in_the_middle_changes_nothing(before, undisturbed, run, monkeypatch, stage):
    workspace = before(stage)
    move_into_the_future(workspace.root)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: 2e9 - now())  # and it runs backwards
    done = finished(workspace.root)
    assert run([stage], workspace)[stage].built
    assert results(workspace.root) == results(undisturbed(stage))
    assert redone(done, workspace.root) == []
    move_into_the_future(workspace.root)
    assert run([stage], workspace)[stage].current


def test_a_photograph_replaced_by_an_older_one_is_measured_again(before, run, images, tmp_path):
    changing = Path(shutil.copytree(images, tmp_path / "images"))
    workspace = before("index")
    run(["index", "measure"], workspace, photographs=changing)
    victim, other, *_ = sorted(changing.rglob("*.jpg"))
    before_ns = victim.stat().st_mtime_ns
    victim.write_bytes(other.read_bytes())
    os.utime(victim, ns=(before_ns - _DAY_NS, before_ns - _DAY_NS))
    assert run(["index", "measure"], workspace, photographs=changing)["measure"].counts["measured"] == 1
