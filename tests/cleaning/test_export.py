import hashlib
import json
import os

import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recolor.cleaning.export
from recolor.cleaning.export import export_clean
from recolor.cli.main import cli
from recolor.errors import InputError, MissingStageError, StorageError
from recolor.manifests.io import write_manifest
from recolor.manifests.schemas import CLEAN, MEASUREMENTS
from recolor.pipeline.cache import Part, require_record, run_part
from recolor.pipeline.workspace import open_workspace, remember_images

NAMES = ["a.jpg", "deep/er/b.jpg", "with space/c d.jpg", "ünï/çode–雪.jpg", "new\nline/e\nf.jpg", "quote'\"g.jpg"]


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    for number, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(bytes([number]) * (1000 + number))
        os.utime(folder / name, ns=(0, 1_700_000_000_123_456_789 + number))
    return folder


def keep(workspace, images, names):
    """Writes the manifests that measuring and selecting would write, of files that need not be images."""
    found = sorted(path for path in images.rglob("*") if path.is_file())
    rows = [
        {"path": path.relative_to(images).as_posix(), "size_bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
        for path, status in ((path, path.stat()) for path in found)
    ]
    sha = {row["path"]: hashlib.sha256(path.read_bytes()).hexdigest() for row, path in zip(rows, found)}
    publish(workspace, MEASUREMENTS, "measure", rows, {})
    measured = require_record(workspace.manifest("measurements"), "measure").content
    size = {"width_px": 8, "height_px": 8}
    clean = [
        {"path": name, "sha256": sha[name], **size, "group": sha[name][:16], "split": split_of(name)} for name in names
    ]
    publish(workspace, CLEAN, "select", clean, {"measurements": measured})


def split_of(name):
    return "val" if name == "a.jpg" else "train"


def publish(workspace, schema, stage, rows, inputs):
    table = pa.Table.from_pylist(rows, schema=schema.arrow)
    target = workspace.manifest(schema.name)
    inputs = inputs | {"rows": hashlib.sha256(repr(rows).encode()).hexdigest()}
    part = Part(workspace, stage, 1, None, inputs, (target,))
    run_part(part, lambda staging: write_manifest(schema, table, staging / target.name) or {"images": len(rows)})


def files_of(folder):
    paths = [path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()]
    return {path.relative_to(folder).as_posix() for path in paths if ".recolor-export" not in path.parts}


def facts(folder):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_links_are_absolute_and_lead_to_the_photographs(workspace, images, tmp_path):
    keep(workspace, images, NAMES[:-1])
    result = export_clean(workspace, images, tmp_path / "out", "link")
    assert files_of(tmp_path / "out") == set(NAMES[:-1])
    assert {name: str((tmp_path / "out" / name).readlink()) for name in NAMES[:-1]} == {
        name: str(images / name) for name in NAMES[:-1]
    }
    assert sorted(result.written) == sorted(NAMES[:-1])
    assert result.problems == []


def test_copies_have_the_same_bytes_and_time_and_are_no_links(workspace, images, tmp_path):
    keep(workspace, images, NAMES)
    export_clean(workspace, images, tmp_path / "out", "copy")
    for name in NAMES:
        copy, source = tmp_path / "out" / name, images / name
        assert not copy.is_symlink()
        assert copy.read_bytes() == source.read_bytes()
        assert copy.stat().st_mtime_ns == source.stat().st_mtime_ns
        assert copy.stat().st_ino != source.stat().st_ino


def test_the_photographs_stay_as_they_are(workspace, images, tmp_path):
    keep(workspace, images, NAMES)
    before = facts(images)
    for mode in ("link", "copy", "link"):
        export_clean(workspace, images, tmp_path / "out", mode)
    keep(workspace, images, NAMES[:1])
    export_clean(workspace, images, tmp_path / "out", "link")
    assert facts(images) == before


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_a_second_run_writes_nothing(workspace, images, tmp_path, mode, monkeypatch):
    keep(workspace, images, NAMES)
    export_clean(workspace, images, tmp_path / "out", mode)
    monkeypatch.setattr(recolor.cleaning.export, "_make", lambda *_: pytest.fail("written again"))
    result = export_clean(workspace, images, tmp_path / "out", mode)
    assert (sorted(result.current), result.written, result.removed) == (sorted(NAMES), [], [])


def test_by_split_there_is_a_folder_for_each(workspace, images, tmp_path):
    keep(workspace, images, NAMES)
    export_clean(workspace, images, tmp_path / "out", "link", by_split=True)
    assert files_of(tmp_path / "out") == {f"{split_of(name)}/{name}" for name in NAMES}
    result = export_clean(workspace, images, tmp_path / "out", "link")
    assert files_of(tmp_path / "out") == set(NAMES)
    assert len(result.removed) == len(NAMES)


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_what_is_kept_no_more_is_removed_and_named(workspace, images, tmp_path, mode):
    keep(workspace, images, NAMES)
    export_clean(workspace, images, tmp_path / "out", mode)
    (tmp_path / "out" / "mine.txt").write_text("mine")
    keep(workspace, images, NAMES[2:])
    result = export_clean(workspace, images, tmp_path / "out", mode)
    assert sorted(result.removed) == sorted(NAMES[:2])
    assert files_of(tmp_path / "out") == {*NAMES[2:], "mine.txt"}


def test_a_copy_that_someone_changed_is_left(workspace, images, tmp_path):
    keep(workspace, images, NAMES)
    export_clean(workspace, images, tmp_path / "out", "copy")
    (tmp_path / "out" / NAMES[0]).write_bytes(b"retouched")
    keep(workspace, images, NAMES[1:])
    result = export_clean(workspace, images, tmp_path / "out", "copy")
    assert (result.removed, result.left) == ([], [NAMES[0]])
    assert (tmp_path / "out" / NAMES[0]).read_bytes() == b"retouched"


def test_the_last_copy_of_a_photograph_is_left(workspace, images, tmp_path):
    keep(workspace, images, NAMES)
    export_clean(workspace, images, tmp_path / "out", "copy")
    (images / NAMES[0]).unlink()
    keep(workspace, images, NAMES[1:])
    result = export_clean(workspace, images, tmp_path / "out", "copy")
    assert (result.removed, result.left) == ([], [NAMES[0]])
    assert (tmp_path / "out" / NAMES[0]).exists()


def test_from_links_to_copies_and_back(workspace, images, tmp_path):
    keep(workspace, images, NAMES)
    for mode in ("link", "copy", "link"):
        result = export_clean(workspace, images, tmp_path / "out", mode)
        assert sorted(result.written) == sorted(NAMES)
        assert all((tmp_path / "out" / name).is_symlink() == (mode == "link") for name in NAMES)


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_another_file_in_the_place_is_never_overwritten(workspace, images, tmp_path, mode):
    keep(workspace, images, NAMES)
    (tmp_path / "out" / "a.jpg").mkdir(parents=True)
    (tmp_path / "out" / "deep").write_text("a file where a folder must be")
    (tmp_path / "out" / "with space").mkdir()
    (tmp_path / "out" / NAMES[2]).write_text("another picture")
    (tmp_path / "out" / NAMES[5]).symlink_to("/nowhere")
    result = export_clean(workspace, images, tmp_path / "out", mode)
    assert {problem.path for problem in result.problems} == {NAMES[0], NAMES[1], NAMES[2], NAMES[5]}
    assert sorted(result.written) == sorted([NAMES[3], NAMES[4]])
    assert (tmp_path / "out" / NAMES[2]).read_text() == "another picture"
    assert (tmp_path / "out" / "deep").read_text() == "a file where a folder must be"
    assert str((tmp_path / "out" / NAMES[5]).readlink()) == "/nowhere"


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_the_same_file_of_another_is_right_and_stays_the_others(workspace, images, tmp_path, mode):
    keep(workspace, images, NAMES)
    (tmp_path / "out").mkdir()
    mine = tmp_path / "out" / "a.jpg"
    if mode == "link":
        mine.symlink_to(images / "a.jpg")
    else:
        mine.write_bytes((images / "a.jpg").read_bytes())
    assert "a.jpg" in export_clean(workspace, images, tmp_path / "out", mode).current
    keep(workspace, images, NAMES[1:])
    assert export_clean(workspace, images, tmp_path / "out", mode).removed == []
    assert os.path.lexists(mine)


def test_nothing_is_written_through_a_link_that_leads_out_of_the_folder(workspace, images, tmp_path):
    keep(workspace, images, NAMES)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "deep").symlink_to(tmp_path / "elsewhere")
    result = export_clean(workspace, images, tmp_path / "out", "copy")
    assert [problem.path for problem in result.problems] == ["deep/er/b.jpg"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_a_photograph_that_changed_or_went_is_named_and_the_others_are_done(workspace, images, tmp_path, mode):
    keep(workspace, images, NAMES)
    os.utime(images / NAMES[0], ns=(0, 1))
    (images / NAMES[1]).write_bytes(b"longer or shorter")
    (images / NAMES[2]).unlink()
    result = export_clean(workspace, images, tmp_path / "out", mode)
    assert [problem.path for problem in result.problems] == sorted(NAMES[:3], key=NAMES.index)
    assert "has changed since it was measured" in result.problems[0].why
    assert "cannot be read any more" in result.problems[2].why
    assert files_of(tmp_path / "out") == set(NAMES[3:])


def test_changed_bytes_of_the_same_size_and_time_are_not_copied(workspace, images, tmp_path):
    keep(workspace, images, NAMES)
    status = (images / "a.jpg").stat()
    (images / "a.jpg").write_bytes(b"\xff" * status.st_size)
    os.utime(images / "a.jpg", ns=(status.st_atime_ns, status.st_mtime_ns))
    result = export_clean(workspace, images, tmp_path / "out", "copy")
    assert [problem.path for problem in result.problems] == ["a.jpg"]
    assert "bytes are not those that were measured" in result.problems[0].why
    assert files_of(tmp_path / "out") == set(NAMES[1:])
    assert list((tmp_path / "out" / ".recolor-export").iterdir()) == [tmp_path / "out/.recolor-export/written.json"]


def test_a_photograph_that_was_measured_again_is_copied_again(workspace, images, tmp_path):
    keep(workspace, images, NAMES)
    export_clean(workspace, images, tmp_path / "out", "copy")
    (images / "a.jpg").write_bytes(b"a better version")
    keep(workspace, images, NAMES)
    result = export_clean(workspace, images, tmp_path / "out", "copy")
    assert result.written == ["a.jpg"]
    assert (tmp_path / "out" / "a.jpg").read_bytes() == b"a better version"


@pytest.mark.parametrize("place", ["images/out", "images", ".", "images/deep", "link", "workspace/manifests/x"])
def test_a_folder_among_the_photographs_or_the_manifests_is_refused(workspace, images, tmp_path, place):
    keep(workspace, images, NAMES)
    (tmp_path / "link").symlink_to(images / "deep")
    before = files_of(tmp_path)
    with pytest.raises(InputError, match="Give another"):
        export_clean(workspace, images, tmp_path / place, "copy")
    assert files_of(tmp_path) == before


def test_a_folder_that_is_really_among_photographs_behind_a_link_is_refused(workspace, images, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "x.jpg").write_bytes(b"x")
    (images / "linked").symlink_to(tmp_path / "real")
    keep(workspace, images, [])
    publish_linked(workspace, images)
    with pytest.raises(InputError, match="inside or around the photographs' folder"):
        export_clean(workspace, images, tmp_path / "real" / "out", "link")


def publish_linked(workspace, images):
    status = (images / "linked/x.jpg").stat()
    row = {"path": "linked/x.jpg", "size_bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
    publish(workspace, MEASUREMENTS, "measure", [row], {})
    measured = require_record(workspace.manifest("measurements"), "measure").content
    kept = {"path": "linked/x.jpg", "sha256": "0" * 64, "width_px": 8, "height_px": 8, "group": "0", "split": "train"}
    publish(workspace, CLEAN, "select", [kept], {"measurements": measured})


def test_the_export_of_other_photographs_is_refused(workspace, images, tmp_path):
    keep(workspace, images, NAMES)
    export_clean(workspace, images, tmp_path / "out", "link")
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "a.jpg").write_bytes(b"other")
    other = open_workspace(tmp_path / "other workspace")
    keep(other, tmp_path / "others", ["a.jpg"])
    with pytest.raises(InputError, match="holds the kept images of"):
        export_clean(other, tmp_path / "others", tmp_path / "out", "link")
    assert files_of(tmp_path / "out") == set(NAMES)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1, "images": "x", "written": {"a": {"mode": 1}}}'])
def test_a_damaged_list_is_an_error_and_nothing_is_touched(workspace, images, tmp_path, text):
    keep(workspace, images, NAMES)
    export_clean(workspace, images, tmp_path / "out", "link")
    (tmp_path / "out" / ".recolor-export" / "written.json").write_text(text)
    keep(workspace, images, NAMES[1:])
    with pytest.raises(InputError, match="cannot be read"):
        export_clean(workspace, images, tmp_path / "out", "link")
    assert files_of(tmp_path / "out") == set(NAMES)


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_stopped_half_way_nothing_is_half_written_and_the_next_run_knows_its_own(
    workspace, images, tmp_path, mode, monkeypatch
):
    keep(workspace, images, NAMES)
    make, made = recolor.cleaning.export._make, []

    def stop_at_the_third(image, mode_, staged):
        if len(made) == 3:
            staged.write_bytes(b"half")
            raise KeyboardInterrupt
        made.append(image)
        return make(image, mode_, staged)

    monkeypatch.setattr(recolor.cleaning.export, "_make", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        export_clean(workspace, images, tmp_path / "out", mode)
    monkeypatch.undo()
    assert len(files_of(tmp_path / "out")) == 3
    done = files_of(tmp_path / "out")
    keep(workspace, images, sorted(set(NAMES) - done))
    result = export_clean(workspace, images, tmp_path / "out", mode)
    assert set(result.removed) == done
    assert files_of(tmp_path / "out") == set(NAMES) - done


def test_a_full_disk_is_a_storage_error(workspace, images, tmp_path, monkeypatch):
    keep(workspace, images, NAMES)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recolor.cleaning.export, "_make", fail)
    with pytest.raises(StorageError, match="Free some space"):
        export_clean(workspace, images, tmp_path / "out", "copy")


def test_a_kept_set_of_older_measurements_is_refused(workspace, images, tmp_path):
    keep(workspace, images, NAMES)
    (images / "new.jpg").write_bytes(b"new")
    measured = [{"path": "new.jpg", "size_bytes": 3, "mtime_ns": 0}]
    publish(workspace, MEASUREMENTS, "measure", measured, {})
    with pytest.raises(MissingStageError, match="recolor clean"):
        export_clean(workspace, images, tmp_path / "out", "link")


def test_without_a_kept_set_the_stage_to_run_is_named(workspace, images, tmp_path):
    with pytest.raises(MissingStageError, match="recolor select"):
        export_clean(workspace, images, tmp_path / "out", "link")


name_part = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=20).filter(
    lambda text: text not in (".", "..") and not text.startswith(".")
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.lists(name_part, min_size=1, max_size=3).map("/".join), mode=st.sampled_from(["link", "copy"]))
def test_any_name_comes_through(tmp_path_factory, name, mode):
    folder = tmp_path_factory.mktemp("any")
    (folder / "images" / name).parent.mkdir(parents=True)
    (folder / "images" / name).write_bytes(name.encode())
    workspace = open_workspace(folder / "workspace")
    keep(workspace, folder / "images", [name])
    assert export_clean(workspace, folder / "images", folder / "out", mode).written == [name]
    assert (folder / "out" / name).read_bytes() == name.encode()
    assert export_clean(workspace, folder / "images", folder / "out", mode).current == [name]


def test_the_command_names_problems_and_ends_with_1(workspace, images, tmp_path):
    keep(workspace, images, NAMES)
    remember_images(workspace, images)
    os.utime(images / NAMES[4], ns=(0, 1))
    arguments = ["export", "images", "--workspace", str(workspace.root), "--link", str(tmp_path / "out")]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 1
    assert "5 written, 0 there already, 0 removed, 1 not exported" in result.stdout
    assert result.stderr == (
        "not exported: 'new\\nline/e\\nf.jpg': the photograph has changed since it was measured; run `recolor clean`"
        " again\n"
    )
    keep(workspace, images, NAMES)
    again = CliRunner().invoke(cli, arguments)
    assert (again.exit_code, again.stderr) == (0, "")


def test_the_command_is_quiet_unless_asked_to_list(workspace, images, tmp_path):
    def export(*options):
        return CliRunner().invoke(
            cli, ["export", "images", "--workspace", str(workspace.root), "--copy", str(tmp_path / "out"), *options]
        )

    keep(workspace, images, NAMES)
    remember_images(workspace, images)
    assert export().output == f"6 written, 0 there already, 0 removed, 0 not exported: {tmp_path / 'out'}\n"
    keep(workspace, images, NAMES[:3])
    for name in NAMES[:3]:
        os.utime(images / name, ns=(0, 1))
    quiet = export()
    assert quiet.stdout == f"0 written, 0 there already, 3 removed, 3 not exported: {tmp_path / 'out'}\n"
    assert quiet.stderr.splitlines()[1] == "not exported: 2 more; --list names all"
    assert len(quiet.stderr.splitlines()) == 2
    assert len(export("--list").stderr.splitlines()) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--copy", "--link"], "--link and --copy exclude each other"),
        (["--link", "--format", "webdataset"], "Tar shards hold copies"),
        (["--format", "hf"], "Give --link or --copy"),
    ],
)
def test_options_that_contradict_each_other_are_refused(workspace, images, tmp_path, options, message):
    keep(workspace, images, NAMES)
    words = ["export", "images", "--workspace", str(workspace.root), *options, str(tmp_path / "out")]
    result = CliRunner().invoke(cli, words)
    assert (result.exit_code, message in result.stderr) == (2, True)
    assert not (tmp_path / "out").exists()


def test_the_command_wants_to_know_whether_links_or_copies(workspace, images, tmp_path):
    keep(workspace, images, NAMES)
    result = CliRunner().invoke(cli, ["export", "images", "--workspace", str(workspace.root), str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "--link or --copy" in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_list_is_plain_json(workspace, images, tmp_path):
    keep(workspace, images, NAMES)
    export_clean(workspace, images, tmp_path / "out", "link")
    data = json.loads((tmp_path / "out" / ".recolor-export" / "written.json").read_bytes())
    assert set(data["written"]) == set(NAMES)
    assert data["images"] == str(images)


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_names_that_are_not_utf8_are_exported_under_their_own_bytes(tmp_path, workspace, mode):
    images, name = tmp_path / "odd", os.fsdecode(b"caf\xe9.jpg")
    images.mkdir()
    (images / name).write_bytes(b"a photograph")
    rows = [{"path": "caf\\xe9.jpg", "size_bytes": 12, "mtime_ns": (images / name).stat().st_mtime_ns}]
    publish(workspace, MEASUREMENTS, "measure", rows, {})
    sha256 = hashlib.sha256(b"a photograph").hexdigest()
    clean = [{"path": "caf\\xe9.jpg", "sha256": sha256, "width_px": 8, "height_px": 8, "group": "0", "split": "train"}]
    measured = require_record(workspace.manifest("measurements"), "measure").content
    publish(workspace, CLEAN, "select", clean, {"measurements": measured})
    assert export_clean(workspace, images, tmp_path / "out", mode).written == ["caf\\xe9.jpg"]
    assert (tmp_path / "out" / name).read_bytes() == b"a photograph"
    assert export_clean(workspace, images, tmp_path / "out", mode).current == ["caf\\xe9.jpg"]
