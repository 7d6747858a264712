import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recolor.errors import DamagedError, FingerprintError, MissingStageError, StorageError
from recolor.pipeline.cache import (
    Part,
    current_record,
    fingerprint,
    named_settings,
    read_record,
    require_record,
    run_part,
    verify,
    write_atomically,
)
from recolor.pipeline.workspace import locked, sweep

# Processes are forked from a server that has imported what takes a second.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["hypothesis.strategies", "pytest", "recolor.pipeline.cache"])

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@dataclass(frozen=True)
class Settings:
    size_px: int = 8


@dataclass(frozen=True)
class OtherSettings:
    size_px: int = 8


@dataclass(frozen=True)
class Nested:
    inner: Settings = Settings()
    names: tuple[str, ...] = ("a", "b")
    limit: float | None = None


def part_of(workspace, settings=Settings(), inputs=None, names=("a.bin", "b.bin")):
    outputs = tuple(workspace.root / "data" / name for name in names)
    return Part(workspace, "test", 1, settings, inputs or {"x": "1"}, outputs)


def build(staging):
    (staging / "a.bin").write_bytes(b"alpha")
    (staging / "b.bin").write_bytes(b"beta")
    return {"images": 2}


def refuse(staging):
    raise AssertionError("this part is done and must not be built again")


@settings(max_examples=40)
@given(JSON)
def test_equal_values_have_equal_fingerprints_and_survive_json(value):
    assert fingerprint(value) == fingerprint(json.loads(json.dumps(value)))


@settings(max_examples=40)
@given(JSON, JSON)
def test_different_values_have_different_fingerprints(one, other):
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (fingerprint(one) == fingerprint(other)) == same


def test_settings_of_another_class_have_another_fingerprint():
    assert fingerprint(Settings()) != fingerprint(OtherSettings())
    assert fingerprint(Settings(8)) == fingerprint(Settings(8))
    assert fingerprint(1) != fingerprint(1.0) != fingerprint(True)


@pytest.mark.parametrize(
    "value", [{1, 2}, object(), Path("x"), b"x", {1: 2}, Settings, lambda: 0, float("nan"), float("inf")]
)
def test_what_has_no_stable_bytes_is_refused(value):
    with pytest.raises(FingerprintError):
        fingerprint([value])


def test_a_fingerprint_is_the_same_in_another_process():
    code = (
        "from recolor.pipeline.cache import fingerprint; print(fingerprint({'a': [1.5, 'ü', None], 'b': {'c': True}}))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    other = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert other.stdout.strip() == fingerprint({"b": {"c": True}, "a": [1.5, "ü", None]})


def test_a_part_is_built_once(workspace):
    part = part_of(workspace)
    first, second = run_part(part, build), run_part(part, refuse)
    assert (first.built, first.reused, second.built, second.reused) == (1, 0, 0, 1)
    assert second.counts == {"images": 2}
    assert part.outputs[0].read_bytes() == b"alpha"
    assert list(workspace.staging.iterdir()) == []


@pytest.mark.parametrize(
    "other", [{"settings": Settings(9)}, {"inputs": {"x": "2"}}, {"inputs": {"y": "1"}}, {"settings": OtherSettings()}]
)
def test_other_settings_or_inputs_build_again(workspace, other):
    run_part(part_of(workspace), build)
    assert run_part(part_of(workspace, **other), build).built == 1
    assert run_part(part_of(workspace), build).built == 1


@pytest.mark.parametrize("harm", ["delete", "cut", "same size", "delete record", "garble record"])
def test_a_deleted_or_damaged_output_is_rebuilt(workspace, harm):
    part = part_of(workspace)
    run_part(part, build)
    victim = part.outputs[1]
    match harm:
        case "delete":
            victim.unlink()
        case "cut":
            victim.write_bytes(b"be")
        case "same size":
            victim.write_bytes(b"BETA")
        case "delete record":
            part.record_path.unlink()
        case "garble record":
            part.record_path.write_bytes(b'{"stage": 1')
    assert run_part(part, build).built == 1
    assert victim.read_bytes() == b"beta"


def test_a_copied_workspace_is_still_current(workspace):
    part = part_of(workspace)
    run_part(part, build)
    os.utime(part.outputs[0], ns=(1, 1))
    assert run_part(part, refuse).current


def test_verify_names_a_flipped_byte_and_a_missing_file(workspace):
    part = part_of(workspace)
    run_part(part, build)
    record = read_record(part.record_path)
    verify(workspace, record)
    status = part.outputs[0].stat()
    part.outputs[0].write_bytes(b"alphA")
    os.utime(part.outputs[0], ns=(status.st_mtime_ns, status.st_mtime_ns))
    with pytest.raises(DamagedError, match=r"a\.bin.*changed"):
        verify(workspace, record)
    part.outputs[0].unlink()
    with pytest.raises(DamagedError, match=r"a\.bin.*missing"):
        verify(workspace, record)


def test_a_build_that_fails_leaves_the_old_output_and_no_staging(workspace):
    run_part(part_of(workspace), build)

    def fail(staging):
        (staging / "a.bin").write_bytes(b"half")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        run_part(part_of(workspace, Settings(9)), fail)
    assert current_record(part_of(workspace)) is not None
    assert list(workspace.staging.iterdir()) == []


def test_a_full_disk_is_a_storage_error_that_says_what_to_do(workspace):
    def full(staging):
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match=r"a\.bin: No space left on device.*Free some space.*run again"):
        run_part(part_of(workspace), full)


def test_an_unknown_operating_system_error_is_not_disguised(workspace):
    def odd(staging):
        raise OSError(9999, "odd")

    with pytest.raises(OSError, match="odd"):
        run_part(part_of(workspace), odd)


def test_a_record_names_its_settings_and_reads_those_of_other_versions(workspace):
    part = part_of(workspace, Settings(9))
    run_part(part, build)
    record = read_record(part.record_path)
    assert record.settings == {"size_px": 9}
    stored = json.loads(part.record_path.read_text())
    part.record_path.write_text(json.dumps({**stored, "of_a_later_version": 1}))
    assert read_record(part.record_path) == record
    del stored["settings"]
    part.record_path.write_text(json.dumps(stored))
    assert run_part(part, refuse).current
    assert read_record(part.record_path).settings is None


def test_settings_have_dotted_names_in_a_record_and_the_values_that_json_has():
    assert named_settings(Nested()) == {"inner.size_px": 8, "names": ["a", "b"], "limit": None}
    assert named_settings({"x": (1, 2)}) == {"settings": {"x": [1, 2]}}


def test_a_missing_input_names_the_stage_to_run(workspace):
    with pytest.raises(MissingStageError, match="Run `recolor clean` first"):
        require_record(workspace.manifest("clean"), "clean")


def test_an_input_that_was_changed_by_hand_names_the_stage_that_rebuilds_it(workspace):
    part = part_of(workspace)
    run_part(part, build)
    assert require_record(part.outputs[0], "clean") == current_record(part)
    part.outputs[0].write_bytes(b"edited")
    with pytest.raises(MissingStageError, match=r"changed since it was written. Run `recolor clean` to rebuild"):
        require_record(part.outputs[0], "clean")


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(1, 11))
def test_killed_at_every_step_of_publishing_a_part_is_done_or_redone(workspace, moment):
    """Kills a real process before each file system call of the publication, over an older output."""
    run_part(part_of(workspace, Settings(9)), build)
    given = {"root": str(workspace.root), "moment": moment}
    process = _context.Process(target=exec, args=(_publishing_script(), given))
    process.start()
    process.join()
    assert process.exitcode in {0, -signal.SIGKILL}
    if process.exitcode:
        with locked(workspace):
            assert list(workspace.staging.iterdir()) == []
    part = part_of(workspace)
    run_part(part, build)
    assert [path.read_bytes() for path in part.outputs] == [b"alpha", b"beta"]
    verify(workspace, current_record(part))


def _publishing_script():
    return textwrap.dedent("""
        import os, signal, sys
        from pathlib import Path
        sys.path.insert(0, {folder!r})
        from test_cache import build, part_of
        from recolor.pipeline.cache import run_part
        from recolor.pipeline.workspace import Workspace

        calls = 0

        def deadly(function):
            def call(*arguments, **named):
                global calls
                calls += 1
                if calls == moment:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **named)
            return call

        Path.replace, Path.unlink, os.fsync = deadly(Path.replace), deadly(Path.unlink), deadly(os.fsync)
        run_part(part_of(Workspace(Path(root))), build)
        """).format(folder=str(Path(__file__).parent))


def test_writing_atomically_replaces_and_leaves_no_temporary_file(tmp_path):
    path = tmp_path / "x"
    write_atomically(path, b"1")
    write_atomically(path, b"2")
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("x", b"2")]


def test_sweeping_removes_what_a_killed_run_left(workspace):
    (workspace.staging / "left").mkdir()
    (workspace.staging / "left" / "half").write_bytes(b"x")
    sweep(workspace)
    assert list(workspace.staging.iterdir()) == []
