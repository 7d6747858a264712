from pathlib import Path

import pytest

from recolor.paths import expand_user, nearest_folder


def test_a_tilde_is_the_home_folder_and_a_name_that_begins_with_one_is_a_name(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ansel")
    assert expand_user("~") == Path("/home/ansel")
    assert expand_user(Path("~/x")) == Path("/home/ansel/x")
    assert expand_user("~backup.jpg") == Path("~backup.jpg")
    assert expand_user("a/~") == Path("a/~")


@pytest.mark.parametrize(
    ("wanted", "nearest"),
    [
        ("project/worksapce", "project/workspace"),
        ("porject/workspace", "project/workspace"),
        ("porject/nothing", "project"),
        ("project/zzz", "project"),
        ("project/file.txt/x", "project"),
    ],
)
def test_the_nearest_folder_is_that_of_a_similar_name_or_the_parent(tmp_path, wanted, nearest):
    (tmp_path / "project" / "workspace").mkdir(parents=True)
    (tmp_path / "project" / "file.txt").touch()
    assert nearest_folder(tmp_path / wanted) == tmp_path / nearest


def test_the_root_of_the_file_system_is_near_nothing():
    assert nearest_folder(Path("/qqqqqqqqqqqqqqqq/x")) is None
