from collections import Counter
from pathlib import PurePosixPath

import pytest
from PIL import Image

from recolor.demo import images as demo_images
from recolor.demo import make_demo_images
from recolor.demo.copies import COPIES
from recolor.demo.damage import DAMAGES
from recolor.demo.defects import DEFECTS
from recolor.demo.plan import PLANTED, plan_images
from recolor.demo.truth import CLEAN, read_truth
from recolor.errors import InputError, SchemaError


def _files(folder):
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def _content(folder):
    return {name: path.read_bytes() for name, path in _files(folder).items()}


def _small(folder, landscapes=4):
    return make_demo_images(folder, landscapes, issues=("low_resolution",), each=1, photographs=False)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "images"
    return folder, make_demo_images(folder, landscapes=6, each=1)


@pytest.mark.slow  # renders a whole set
def test_every_file_is_in_the_truth_table_and_every_row_has_its_file(full):
    folder, written = full
    rows = read_truth(folder.parent / "truth.csv")
    assert {row.path for row in rows} == set(_files(folder))
    assert len(_files(folder)) == written
    assert {row.original for row in rows if row.original} <= {row.path for row in rows if row.issue == CLEAN}


def test_every_kind_of_every_issue_is_planted(full):
    rows = read_truth(full[0].parent / "truth.csv")
    kinds = {issue: {row.kind for row in rows if row.issue == issue} - {"photograph"} for issue in PLANTED}
    assert kinds.pop("corrupt") == set(DAMAGES)
    assert kinds.pop("duplicate") == set(COPIES)
    assert kinds == {issue: set(kinds) for issue, kinds in DEFECTS.items()}


def test_duplicates_and_they_alone_name_an_original(full):
    for row in read_truth(full[0].parent / "truth.csv"):
        assert bool(row.original) == (row.issue == "duplicate")


def test_clean_images_are_large_enough_and_not_too_long(full):
    folder, _ = full
    for row in read_truth(folder.parent / "truth.csv"):
        if row.issue == CLEAN:
            with Image.open(folder / row.path) as image:
                image.load()
                assert min(image.size) >= 256
                assert 0.5 <= image.width / image.height <= 2.0


def test_faulty_images_of_the_right_size_and_shape_are_so_by_the_table(full):
    folder, _ = full
    rows = read_truth(folder.parent / "truth.csv")
    issues = {}
    for row in rows:
        issues.setdefault(row.path, set()).add(row.issue)
    for path, faults in issues.items():
        if "corrupt" not in faults:
            with Image.open(folder / path) as image:
                assert (min(image.size) < 256) == ("low_resolution" in faults)
                assert (not 0.5 <= image.width / image.height <= 2.0) == ("extreme_aspect" in faults)


def test_some_names_have_spaces_and_some_are_not_ascii(full):
    names = [path for path in _files(full[0]) if not path.startswith("photographs/")]
    assert any(" " in name for name in names)
    assert any(not name.isascii() for name in names)
    assert len({PurePosixPath(name).parent for name in names}) > 3


def test_the_whole_demo_has_enough_of_everything():
    plan = plan_images(400, PLANTED, 2, photographs=True)
    counts = Counter(truth.issue for planned in plan for truth in planned.truths)
    assert counts[CLEAN] >= 400
    assert all(counts[issue] >= 6 for issue in PLANTED)
    assert len({planned.path for planned in plan}) == len(plan)


def test_the_issue_that_came_last_changes_no_other_image_and_no_name():
    earlier = tuple(issue for issue in PLANTED if issue != "exposure")
    before = plan_images(12, earlier, 1, photographs=True)
    after = plan_images(12, PLANTED, 1, photographs=True)
    kept = {planned.path: planned for planned in after}
    assert all(kept[planned.path].truths == planned.truths for planned in before)
    assert all(
        truth.issue == "exposure" for path in set(kept) - {one.path for one in before} for truth in kept[path].truths
    )


def test_a_second_run_touches_nothing(tmp_path):
    folder = tmp_path / "images"
    assert _small(folder) > 0
    before = {name: path.stat().st_mtime_ns for name, path in _files(tmp_path).items()}
    assert _small(folder) == 0
    assert {name: path.stat().st_mtime_ns for name, path in _files(tmp_path).items()} == before


def test_two_folders_get_the_same_bytes(tmp_path):
    _small(tmp_path / "a" / "images")
    _small(tmp_path / "b" / "images")
    assert _content(tmp_path / "a") == _content(tmp_path / "b")


def test_a_deleted_image_is_made_again_alone(tmp_path):
    folder = tmp_path / "images"
    _small(folder)
    before = _content(folder)
    next(path for path in folder.rglob("*.jpg") if path.stat().st_size > 1000).unlink()
    assert _small(folder) == 1
    assert _content(folder) == before


def test_a_broken_off_run_is_finished_by_the_next(tmp_path, monkeypatch):
    folder = tmp_path / "images"
    write, done = demo_images._write, []

    def write_some(folder, planned):
        if len(done) >= 3:
            raise InputError("stopped")
        done.append(planned.path)
        write(folder, planned)

    monkeypatch.setattr(demo_images, "_write", write_some)
    with pytest.raises(InputError, match="stopped"):
        _small(folder)
    assert not (tmp_path / "truth.csv").exists()
    monkeypatch.undo()
    whole = plan_images(4, ("low_resolution",), 1, photographs=False)
    assert _small(folder) == len(whole) - 3
    assert (tmp_path / "truth.csv").is_file()
    assert not (tmp_path / "truth.csv.partial").exists()


def test_other_arguments_leave_no_image_of_the_earlier_set(tmp_path):
    folder = tmp_path / "images"
    _small(folder, landscapes=8)
    _small(folder, landscapes=2)
    assert set(_files(folder)) == {row.path for row in read_truth(tmp_path / "truth.csv")}
    _small(tmp_path / "fresh" / "images", landscapes=2)
    assert _content(folder) == _content(tmp_path / "fresh" / "images")


def test_a_folder_of_someone_elses_files_is_refused_and_left_alone(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "mine.jpg").write_bytes(b"mine")
    with pytest.raises(InputError, match="did not write"):
        _small(folder)
    assert _content(folder) == {"mine.jpg": b"mine"}


def test_a_table_that_points_outside_the_folder_deletes_nothing_there(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    (tmp_path / "mine.jpg").write_bytes(b"mine")
    table = "path,issue,kind,original,version\n../mine.jpg,clean,landscape,,0\n"
    (tmp_path / "truth.csv").write_text(table, encoding="utf-8")
    _small(folder)
    assert (tmp_path / "mine.jpg").read_bytes() == b"mine"


def test_a_table_of_another_kind_is_refused(tmp_path):
    (tmp_path / "truth.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(SchemaError, match=r"truth\.csv"):
        _small(tmp_path / "images")


def test_a_missing_table_says_what_makes_it(tmp_path):
    with pytest.raises(InputError, match="recolor demo"):
        read_truth(tmp_path / "truth.csv")
