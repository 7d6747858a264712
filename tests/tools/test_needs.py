import re
from pathlib import Path

import pytest
from needs import require_images, require_sets

ROOT = Path(__file__).parents[2]


def test_every_benchmark_that_is_documented_is_there():
    named = set(re.findall(r"tools/\w+\.py", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_a_folder_without_images_is_named_before_anything_is_done(tmp_path):
    (tmp_path / "a.png").touch()
    assert require_images(tmp_path) == tmp_path
    with pytest.raises(SystemExit, match=r"no file in it ends in \.jpg\. Give others with --images\."):
        require_images(tmp_path, (".jpg",))
    with pytest.raises(SystemExit, match=r"none: there is no such folder\."):
        require_images(tmp_path / "none")


def test_a_missing_set_or_its_labels_are_named(tmp_path):
    (tmp_path / "photos/files").mkdir(parents=True)
    (tmp_path / "blur/files").mkdir(parents=True)
    with pytest.raises(SystemExit, match=r"blur/index\.csv: missing"):
        require_sets(tmp_path, ["photos"], labelled=["blur"])
    (tmp_path / "blur/index.csv").touch()
    assert require_sets(tmp_path, ["photos"], labelled=["blur"]) == tmp_path
    with pytest.raises(SystemExit, match=r"more/files: there is no such folder"):
        require_sets(tmp_path, ["photos", "more"])
