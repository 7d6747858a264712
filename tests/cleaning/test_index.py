import os
import socket
from dataclasses import replace

import pytest

from recolor.cleaning.index import index_images, scan_folder
from recolor.config.settings import Config, IndexConfig
from recolor.errors import InputError
from recolor.manifests.pandas import read_manifest
from recolor.pipeline.workspace import open_workspace


def touch(path, data=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def paths(folder, skip=()):
    return [file.path for file in scan_folder(folder, IndexConfig(), skip).found]


def test_image_files_are_found_in_all_folders_sorted_by_path(tmp_path):
    for name in ["b.jpg", "a/c.PNG", "a/b/d.jpeg", "e.txt", ".hidden.jpg", ".thumbs/f.jpg", "noext"]:
        touch(tmp_path / name)
    scan = scan_folder(tmp_path, IndexConfig())
    assert [file.path for file in scan.found] == ["a/b/d.jpeg", "a/c.PNG", "b.jpg"]
    assert scan.other_files == 2


def test_names_with_spaces_unicode_and_newlines_are_kept(tmp_path):
    names = ["with space.jpg", "ünï\u0301 日本 🌄.jpg", "new\nline.jpg", "quote\"'.jpg", "back\\slash.jpg"]
    for name in names:
        touch(tmp_path / name)
    assert paths(tmp_path) == sorted(names)


def test_names_that_are_not_utf8_and_names_that_look_like_them_are_listed_apart(tmp_path):
    touch(tmp_path / os.fsdecode(b"caf\xe9.jpg"), b"not this")
    touch(tmp_path / "caf\\xe9.jpg", b"12345")
    found = scan_folder(tmp_path, IndexConfig()).found
    assert [(file.path, file.size_bytes) for file in found] == [("caf\\x5cxe9.jpg", 5), ("caf\\xe9.jpg", 8)]


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".mpo", ".avif", ".heic", ".heif", ".hif", ".JFIF"])
def test_photographs_of_phones_and_browsers_are_images(tmp_path, suffix):
    touch(tmp_path / f"a{suffix}")
    assert paths(tmp_path) == [f"a{suffix}"]


SYSTEM = [
    *("@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg", "#recycle/a.jpg", "2019/$Recycle.Bin/S-1/a.jpg", "@Recycle/a.jpg"),
    *(".thumbnails/a.jpg", ".Trash-1000/files/a.jpg", "lost+found/a.jpg", "System Volume Information/a.jpg"),
    *("Lightroom Catalog Previews.lrdata/a.jpg", "Mine.photoslibrary/resources/derivatives/a.jpg"),
    *("Thumbs.db", "._a.jpg", ".DS_Store"),
]


@pytest.mark.parametrize("name", SYSTEM)
def test_system_folders_and_files_are_skipped_and_counted(tmp_path, name):
    touch(tmp_path / "a.jpg")
    touch(tmp_path / name)
    scan = scan_folder(tmp_path, IndexConfig())
    assert [file.path for file in scan.found] == ["a.jpg"]
    assert scan.passed_over.skipped.total() == 1
    assert scan.other_files == 0


def test_the_originals_of_a_photo_library_are_images(tmp_path):
    touch(tmp_path / "Mine.photoslibrary/originals/a.jpg")
    assert paths(tmp_path) == ["Mine.photoslibrary/originals/a.jpg"]


def test_with_no_patterns_everything_but_hidden_names_is_taken(tmp_path):
    for name in SYSTEM:
        touch(tmp_path / name)
    found = scan_folder(tmp_path, replace(IndexConfig(), skip=())).found
    hidden = (".thumbnails", ".Trash-1000", "._a.jpg", ".DS_Store", "Thumbs.db")
    assert [file.path for file in found] == sorted(name for name in SYSTEM if not name.startswith(hidden))


def test_other_patterns_can_be_asked_for(tmp_path):
    for name in ("a.jpg", "a_small.jpg", "old/b.jpg", "new/old.jpg", "new/Prévias/c.jpg"):
        touch(tmp_path / name)
    config = replace(IndexConfig(), skip=("*_small.*", "old", "new/prévias"))
    assert [file.path for file in scan_folder(tmp_path, config).found] == ["a.jpg", "new/old.jpg"]


def test_what_is_passed_over_is_counted_by_suffix(tmp_path, workspace):
    for name in ("a.jpg", "b.MOV", "c.mov", "d.xmp", "noext", "trailing.", "No. 3 of the series"):
        touch(tmp_path / "images" / name)
    touch(tmp_path / "images/@eaDir/a.jpg")
    touch(tmp_path / "images/.hidden/a.jpg")
    text = "passed over: 2 videos (.mov 2), 4 other files (without suffix 3, .xmp 1), 1 hidden; skipped: 1 @eaDir"
    assert index_images(workspace, tmp_path / "images", Config()).note == text
    touch(tmp_path / "images/e.mov")
    again = index_images(workspace, tmp_path / "images", Config())
    assert (again.built, again.counts["other_files"]) == (0, 7)
    assert again.note == text.replace("2 videos (.mov 2)", "3 videos (.mov 3)")


def test_many_kinds_of_files_are_summed_up(tmp_path):
    for number in range(13):
        touch(tmp_path / f"a.s{number:02}")
    assert str(scan_folder(tmp_path, IndexConfig()).passed_over).endswith(".s09 1, others 3)")


def test_the_workspace_of_the_folder_is_not_called_hidden(tmp_path):
    open_workspace(tmp_path)
    touch(tmp_path / ".git/config")
    assert str(scan_folder(tmp_path, IndexConfig()).passed_over) == "passed over: 1 hidden"


def test_a_new_link_does_not_rename_the_images_of_a_folder(tmp_path):
    touch(tmp_path / "photos/old/a.jpg")
    for name in ("a", "z", "photos/z"):
        (tmp_path / name).symlink_to(tmp_path / "photos")
    (tmp_path / "zz").symlink_to(tmp_path / "photos/old")
    assert paths(tmp_path) == ["photos/old/a.jpg"]


def test_links_are_followed_and_loops_end(tmp_path):
    touch(tmp_path / "images/a.jpg")
    touch(tmp_path / "elsewhere/b.jpg")
    (tmp_path / "images/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "images/file.jpg").symlink_to(tmp_path / "elsewhere/b.jpg")
    (tmp_path / "elsewhere/up").symlink_to(tmp_path / "images")
    (tmp_path / "images/self.jpg").symlink_to(tmp_path / "images/self.jpg")
    (tmp_path / "images/dangling.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert paths(tmp_path / "images") == ["a.jpg", "dangling.jpg", "file.jpg", "link/b.jpg", "self.jpg"]


def test_pipes_and_sockets_are_not_images(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "s.jpg"))
        touch(tmp_path / "a.jpg")
        assert paths(tmp_path) == ["a.jpg"]


def test_the_workspace_among_the_images_is_passed_over(tmp_path, workspace):
    touch(tmp_path / "a.jpg")
    for name in ("evaluation/pictures.png", "shards.png", "mine/b.jpg"):
        touch(workspace.root / "data" / name)
    touch(workspace.manifests / "c.jpg")
    outcome = index_images(workspace, tmp_path, Config())
    assert outcome.counts == {"images": 1, "other_files": 0}
    assert outcome.note == "outputs of Recolor: 1 data/, 1 manifests/"


def test_a_folder_of_images_that_is_a_workspace_has_other_workspaces_in_it(tmp_path):
    here = open_workspace(tmp_path)
    for workspace in (here, open_workspace(tmp_path / "deep/down/second")):
        touch(workspace.root / "data/shards.png")
        touch(workspace.manifests / "x.png")
        touch(workspace.root / "photos/a.jpg")
    touch(tmp_path / "trip/data/b.jpg")  # no workspace
    touch(tmp_path / "elsewhere/copies/.recolor-export/written.json")
    touch(tmp_path / "elsewhere/copies/a.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "deep/down/second/data")
    assert paths(tmp_path) == ["deep/down/second/photos/a.jpg", "photos/a.jpg", "trip/data/b.jpg"]


def test_an_export_or_a_folder_in_data_can_be_the_folder_of_images(tmp_path, workspace):
    touch(tmp_path / "export/.recolor-export/written.json")
    touch(tmp_path / "export/a.jpg")
    touch(workspace.root / "data/photos/b.jpg")
    assert paths(tmp_path / "export") == ["a.jpg"]
    assert paths(workspace.root / "data/photos", workspace.own_folders) == ["b.jpg"]


def test_other_names_to_skip_are_another_key(tmp_path, workspace):
    touch(tmp_path / "images/a.jpg")
    index_images(workspace, tmp_path / "images", Config())
    other = replace(Config(), index=replace(IndexConfig(), skip=()))
    assert index_images(workspace, tmp_path / "images", other).built == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such folder"),
        (lambda path: path.mkdir(), "no image in this folder \\(0 other files\\)"),
        (lambda path: touch(path / "a.txt"), "no image in this folder \\(1 other files\\).*\\.jpg"),
        (lambda path: path.write_text("x"), "cannot be read as a folder"),
    ],
)
def test_a_folder_missing_empty_or_without_images_is_refused(tmp_path, workspace, make, message):
    make(tmp_path / "images")
    with pytest.raises(InputError, match=message):
        index_images(workspace, tmp_path / "images", Config())
    assert not workspace.manifest("index").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every folder")
def test_an_unreadable_folder_inside_is_named_and_the_rest_goes_on(tmp_path):
    touch(tmp_path / "a.jpg")
    touch(tmp_path / "closed/b.jpg")
    (tmp_path / "closed").chmod(0)
    scan = scan_folder(tmp_path, IndexConfig())
    (tmp_path / "closed").chmod(0o700)
    assert [file.path for file in scan.found] == ["a.jpg"]
    assert scan.unreadable_folders == (str(tmp_path / "closed"),)


def test_the_index_is_current_until_a_file_is_added_touched_or_removed(tmp_path, workspace):
    images = tmp_path / "images"
    first, second = touch(images / "a.jpg"), touch(images / "b.jpg", b"12345")

    def built():
        return index_images(workspace, images, Config()).built

    assert [built(), built()] == [1, 0]
    assert read_manifest(workspace.manifest("index"))["size_bytes"].tolist() == [1, 5]
    touch(images / "c.jpg")
    assert [built(), built()] == [1, 0]
    os.utime(first, ns=(5, 5))
    assert [built(), built()] == [1, 0]
    second.unlink()
    assert [built(), built()] == [1, 0]
    assert read_manifest(workspace.manifest("index"))["path"].tolist() == ["a.jpg", "c.jpg"]
    assert read_manifest(workspace.manifest("index"))["mtime_ns"][0] == 5


def test_other_suffixes_can_be_asked_for(tmp_path):
    touch(tmp_path / "a.jpg")
    touch(tmp_path / "b.jp2")
    config = replace(IndexConfig(), suffixes=(".jp2",))
    assert [file.path for file in scan_folder(tmp_path, config).found] == ["b.jp2"]


def test_many_folders_that_cannot_be_read_are_one_warning(tmp_path, workspace, monkeypatch, caplog):
    for name in ("a", "b", "c", "good"):
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / name / "x.jpg").touch()
    scandir = os.scandir

    def refuse(folder):
        if str(folder)[-2:] in ("/a", "/b", "/c"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    index_images(workspace, tmp_path / "images", Config())
    (record,) = caplog.records
    assert record.getMessage().endswith(
        ": this folder cannot be read; its images are skipped. The same holds for 2 more."
    )
