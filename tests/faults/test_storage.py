"""Disks that fill up or may no longer be written to, in the middle of every kind of output."""

import os
import random
import subprocess

import pytest
from traces import finished, redone, results, temporary_files

from recolor import stages as pipeline
from recolor.errors import StorageError

pytestmark = [pytest.mark.slow, pytest.mark.long]

_ROOM_BYTES = {  # less than the stage writes, its temporary files included
    "index": 3_000,
    "measure": 60_000,
    "detect": 30_000,
    "select": 8_000,
    "shard": 500_000,
    "train-generator": 400_000,
    "evaluate": 150_000,
}


def leave_room(disk, room_bytes):
    """Fills the disk but for so many bytes; what it is filled with is returned."""
    filler = disk / "filler"
    status = os.statvfs(disk)
    filler.write_bytes(bytes(max(0, status.f_bavail * status.f_frsize - room_bytes)))
    return filler


_ROOMS = [(stage, random.Random(stage).randrange(most)) for stage, most in _ROOM_BYTES.items()]
_NO_ROOM = [(stage, 0) for stage in ("measure", "shard", "train-generator")]


@pytest.mark.parametrize(("stage", "room_bytes"), [*_ROOMS, *_NO_ROOM])
def test_a_disk_that_fills_up_while_a_stage_writes_costs_no_more_than_that(
    before, undisturbed, run, disk, *, stage, room_bytes
):
    workspace = before(stage, disk / "workspace")
    filler = leave_room(disk, room_bytes)
    with pytest.raises(StorageError, match=r"(?s)No space left on device\. Free some space.*Finished parts are kept"):
        run([stage], workspace)
    done = finished(workspace.root)
    assert temporary_files(workspace.root) == []
    filler.unlink()
    run([stage], workspace)
    assert results(workspace.root) == results(undisturbed(stage))
    assert redone(done, workspace.root) == []
    assert temporary_files(workspace.root) == []


def may_write(disk, mode):
    subprocess.run(["mount", "-o", f"remount,{mode}", str(disk)], check=True)


@pytest.mark.parametrize("stage", ["index", "measure", "shard", "train-generator", "evaluate"])
def test_a_read_only_workspace_is_said_before_any_work(before, undisturbed, run, disk, stage):
    workspace = before(stage, disk / "workspace")
    may_write(disk, "ro")
    with pytest.raises(StorageError, match=r"Read-only file system\. The file system is read-only\."):
        run([stage], workspace)
    may_write(disk, "rw")
    assert temporary_files(workspace.root) == []


def test_a_workspace_made_read_only_in_the_middle_keeps_what_was_finished(before, undisturbed, run, disk, monkeypatch):
    workspace = before("measure", disk / "workspace")
    measure_part, calls = pipeline.measure_part, []

    folders = [str(folder) for folder in (workspace.staging, workspace.manifests)]

    def third_finds_it_read_only(*arguments, **named):
        calls.append(1)
        if len(calls) == 3:  # one by one: the disk as a whole is in use, by the file that is the lock
            for folder in folders:
                subprocess.run(["mount", "--bind", "-o", "ro", folder, folder], check=True)
        return measure_part(*arguments, **named)

    monkeypatch.setattr(pipeline, "measure_part", third_finds_it_read_only)
    with pytest.raises(StorageError, match=r"Read-only file system\. The file system is read-only\."):
        run(["measure"], workspace, "execution.workers=1", "execution.runner=threads")  # one part after the other
    for folder in folders:
        subprocess.run(["umount", folder], check=True)
    done = finished(workspace.root)
    assert len(done) == 3  # the index and two parts
    run(["measure"], workspace)
    assert results(workspace.root) == results(undisturbed("measure"))
    assert redone(done, workspace.root) == []
    assert temporary_files(workspace.root) == []
