import os
from pathlib import PurePath

import pytest

from recolor.errors import StorageError
from recolor.pipeline.storage import (
    fitting_name,
    keeps_apart,
    temporary_files,
    temporary_path,
    write_atomically,
    write_output,
)


@pytest.mark.parametrize("name", ["x" * 255, "風" * 85, os.fsdecode(b"\xe9" * 255)])
def test_a_name_of_255_bytes_is_written(name, tmp_path):
    write_atomically(tmp_path / name, b"data")
    assert (tmp_path / name).read_bytes() == b"data"
    assert len(list(tmp_path.iterdir())) == 1


def test_temporary_files_are_told_by_the_name_they_will_get(tmp_path):
    mine, others = temporary_path(tmp_path / "a.mp4", ".mp4"), temporary_path(tmp_path / "b.mp4", ".mp4")
    for path in (mine, others, tmp_path / ".recolor-x.1.tmp"):
        path.touch()
    assert list(temporary_files(tmp_path, [tmp_path / "a.mp4"])) == [(mine, os.getpid())]
    assert mine.suffix == ".mp4"


def test_a_name_that_fits_is_unchanged():
    assert fitting_name("x" * 251, ".jpg") == "x" * 251 + ".jpg"


@pytest.mark.parametrize("stem", ["x" * 253, "風" * 100, "é" * 126 + "x"])
def test_a_name_that_is_too_long_is_cut_between_characters_and_stays_its_own(stem):
    name, other = fitting_name(stem, ".png"), fitting_name(stem + "1", ".png")
    assert name != other
    assert name.endswith(".png")
    assert 250 < len(name.encode("utf-8")) <= 255


def test_a_usual_disk_keeps_upper_and_lower_case_apart(tmp_path):
    assert keeps_apart(tmp_path / "new", PurePath("Trip/a.jpg"), PurePath("trip/a.jpg"))
    assert not keeps_apart(tmp_path / "new", PurePath("a.jpg"), PurePath("a.jpg"))
    assert list((tmp_path / "new").iterdir()) == []


def test_the_folder_of_an_output_is_made(tmp_path):
    write_output(tmp_path / "missing" / "too" / "x.png", b"picture")
    assert (tmp_path / "missing" / "too" / "x.png").read_bytes() == b"picture"


@pytest.mark.parametrize("name", ["file/x.png", "x" * 300, "folder"])
def test_an_output_that_cannot_be_written_is_one_sentence(tmp_path, name):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError) as caught:
        write_output(tmp_path / name, b"picture")
    assert str(caught.value).startswith(f"{tmp_path / name}: cannot be written (")
    assert str(caught.value).endswith("). Give the path of another file.")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
