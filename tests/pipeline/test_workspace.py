import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recolor.errors import ConfigError, InputError, StorageError, WorkspaceBusyError
from recolor.pipeline.workspace import (
    Workspace,
    local_path,
    locked,
    open_workspace,
    remember_images,
    remembered_images,
)

HOLD = """
import sys, time
from pathlib import Path
from recolor.pipeline.workspace import locked, open_workspace
with locked(open_workspace(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(workspace):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(workspace.root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_told_which_one_holds_the_workspace(workspace, holder):
    with pytest.raises(WorkspaceBusyError, match=rf"process {holder.pid}"), locked(workspace):
        pass


def test_a_killed_holder_frees_the_workspace_and_its_staging_is_swept(workspace, holder):
    (workspace.staging / "half").mkdir()
    holder.kill()
    holder.wait()
    with locked(workspace):
        assert list(workspace.staging.iterdir()) == []


@pytest.mark.parametrize("name", [".recolor/.holder.1.tmp", ".recolor/.images.1.tmp", ".recolor.toml.1.tmp"])
def test_a_name_half_written_by_a_killed_run_is_swept(workspace, name):
    (workspace.root / name).write_text("process 1")
    with locked(workspace):
        assert not (workspace.root / name).exists()


def test_the_same_process_may_hold_a_workspace_twice(workspace):
    with locked(workspace):
        (workspace.staging / "mine").mkdir()
        with locked(workspace):
            assert (workspace.staging / "mine").exists()
        assert subprocess.run(
            [sys.executable, "-c", HOLD, str(workspace.root)], capture_output=True, check=False
        ).returncode
    with locked(workspace):
        pass


def test_a_workspace_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="must be a folder"):
        open_workspace(tmp_path / "file")


@pytest.mark.skipif(not Path("/proc/sys").is_dir(), reason="needs a folder that even root cannot write to")
def test_a_workspace_that_cannot_be_made_is_refused():
    with pytest.raises(StorageError, match="cannot be created here"):
        open_workspace(Path("/proc/sys/recolor"))


def test_the_image_folder_is_remembered_whatever_its_name(workspace, tmp_path):
    with pytest.raises(InputError, match="--images"):
        remembered_images(workspace)
    odd = tmp_path / os.fsdecode(b"caf\xe9 \n\xc3\xbc")
    remember_images(workspace, odd)
    assert remembered_images(Workspace(workspace.root)) == odd


@pytest.mark.parametrize("url", ["s3://bucket/space", "gs://bucket/space", "https://example.org/space", "memory://x"])
def test_a_url_is_refused_before_any_folder_is_made_of_it(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=rf"--workspace: .*{url.split(':')[0]}://.*shared file system"):
        open_workspace(Path(url))
    with pytest.raises(ConfigError, match="this is a URL"):
        open_workspace(url)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["./Trip:/x", "Trip:/x", "./s3:/x", "a/s3://x", "c:/photos"])
def test_a_path_with_a_colon_is_not_a_url(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert local_path(text, "images").absolute() == tmp_path / text
    assert open_workspace(text).root == tmp_path / text


def test_a_path_whose_first_folder_exists_is_not_a_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s3:").mkdir()
    assert local_path("s3://x", "images").absolute() == tmp_path / "s3:/x"
    assert local_path(Path("s3:/x"), "images").absolute() == tmp_path / "s3:/x"


def test_a_path_object_with_an_unknown_scheme_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_workspace(Path("./Trip:/x")).root == tmp_path / "Trip:/x"


@pytest.mark.parametrize("option", ["--images", "--workspace"])
def test_every_verb_refuses_a_url_as_a_setting_that_is_not_allowed(option, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "recolor", "clean", option, "s3://bucket/photographs"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert option in done.stderr
    assert "shared file system" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_names_with_a_colon_that_are_no_urls_are_folders(tmp_path):
    assert open_workspace(tmp_path / "12:30" / "c:").root == tmp_path / "12:30" / "c:"


def without_locks(monkeypatch, code):
    def refuse(file, operation):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", refuse)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_has_a_lock_that_is_a_file(workspace, monkeypatch, code):
    without_locks(monkeypatch, code)
    lock = workspace.internal / "lock.soft"
    with locked(workspace):
        assert lock.is_file()
        with locked(workspace):
            assert lock.is_file()
        assert lock.is_file()
    assert not lock.exists()


def test_a_lock_file_of_a_live_process_refuses_the_workspace_and_is_named(workspace, monkeypatch):
    without_locks(monkeypatch, errno.ENOLCK)
    lock = workspace.internal / "lock.soft"
    lock.write_text(f"{os.getppid()}\nanother-machine\n")
    with pytest.raises(WorkspaceBusyError, match=f"If that run was killed, delete {lock}"), locked(workspace):
        pass


def test_the_probe_for_locks_leaves_no_file(workspace):
    with locked(workspace):
        pass
    assert sorted(path.name for path in workspace.internal.iterdir()) == ["holder", "lock", "staging"]


def test_an_error_of_the_lock_that_is_no_lack_of_locks_is_said(workspace, monkeypatch):
    without_locks(monkeypatch, errno.EIO)
    with pytest.raises(StorageError, match="failed to read or write"), locked(workspace):
        pass
