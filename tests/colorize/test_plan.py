import os
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from recolor.cleaning.passed_over import COMPARISON_COMMENT
from recolor.colorize import plan as plan_module
from recolor.colorize.plan import STANDARD, is_video, make_plan
from recolor.errors import InputError

ODD = ("two words.jpg", "ü\n<b>.png", "[1] a*b?.webp", "-dash.tif", "UPPER.JPG", "'quote\".jpeg")


@pytest.fixture
def old(tmp_path, monkeypatch):
    """Empty files in `old/` within the working folder; planning does not open them."""
    for name in ("one.jpg", "sub/two.png", "sub/deep/three.tif", "sub/notes.txt"):
        (tmp_path / "old" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "old" / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "old"


def planned(inputs, out="out", **options):
    jobs = make_plan([Path(path) for path in inputs], Path(out), **options).jobs
    return {job.source.as_posix(): job.target.as_posix() for job in jobs}


def test_a_folder_keeps_its_structure(old):
    assert planned(["old"]) == {
        "old/one.jpg": "out/one.jpg",
        "old/sub/two.png": "out/sub/two.png",
        "old/sub/deep/three.tif": "out/sub/deep/three.tif",
    }


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("old/**/*.jpg", {"one.jpg"}),
        ("old/**/*.*", {"one.jpg", "sub/two.png", "sub/deep/three.tif"}),
        ("old/**", {"one.jpg", "sub/two.png", "sub/deep/three.tif"}),
        ("old/*", {"one.jpg", "sub/two.png", "sub/deep/three.tif"}),
        ("old/[n-p]*.jp?g", set()),
        ("old/[n-p]ne.jp?", {"one.jpg"}),
        ("old/s*/*", {"sub/two.png", "sub/deep/three.tif"}),
        ("**/t*", {"old/sub/two.png", "old/sub/deep/three.tif"}),
    ],
)
def test_a_pattern_is_expanded_and_keeps_the_structure_below_where_it_begins(old, pattern, expected):
    if expected:
        assert set(planned([pattern]).values()) == {f"out/{name}" for name in expected}
        absolute = planned([old.parent / pattern])
        assert set(absolute.values()) == {f"out/{name}" for name in expected}
    else:
        with pytest.raises(InputError, match="no image file matches"):
            planned([pattern])


def test_a_pattern_leaves_the_output_folder_out(old):
    (old / "out").mkdir()
    (old / "out" / "one.jpg").touch()
    assert set(planned(["old/**/*.jpg"], "old/out")) == {"old/one.jpg"}


def test_a_name_that_looks_like_a_pattern_is_a_name_if_there_is_such_a_file(old):
    for name in ODD:
        (old / name).touch()
    (old / "1.webp").touch()
    assert planned([old / "[1] a*b?.webp"]) == {str(old / "[1] a*b?.webp"): "out/[1] a*b?.webp"}
    assert set(planned([old]).values()) >= {f"out/{name}" for name in ODD}


def test_a_name_that_is_not_utf_8_can_be_given(old):
    name = os.fsdecode(b"\xff\xfe.jpg")
    (old / name).touch()
    assert make_plan([old / name], Path("out")).jobs[0].target == Path("out") / name


@pytest.mark.parametrize("name", ["new.png", "sub/new.JPG", "new.tiff", "new.webp", "new.jfif", "new.JPE"])
def test_one_file_may_become_a_file(old, name):
    assert planned(["old/one.jpg"], name) == {"old/one.jpg": name}


def test_a_folder_that_is_called_like_a_file_is_a_folder(old):
    Path("album.jpg").mkdir()
    assert planned(["old/one.jpg"], "album.jpg") == {"old/one.jpg": "album.jpg/one.jpg"}
    assert planned(["old"], "other.jpg")["old/one.jpg"] == "other.jpg/one.jpg"


@pytest.mark.parametrize("out", ["new.2024", "v1.2", "J. Smith"])
def test_a_name_with_a_dot_that_is_no_file_type_is_a_folder(old, out):
    assert planned(["old/one.jpg"], out) == {"old/one.jpg": f"{out}/one.jpg"}


@pytest.mark.parametrize(
    "out", ["new.gif", "new.avif", "new.HEIC", "new.mpo", "new.hif", "new.txt", "new.mp3", "new.xyz"]
)
def test_a_file_of_a_format_that_is_not_written_is_refused(old, out):
    with pytest.raises(InputError, match="cannot be written"):
        planned(["old/one.jpg"], out)
    Path(out).mkdir()
    assert planned(["old/one.jpg"], out) == {"old/one.jpg": f"{out}/one.jpg"}


@pytest.mark.parametrize(
    ("source", "out", "nearest"),
    [
        ("one.jpg", "new.jgp", "new.jpg"),
        ("one.jpg", "new.gif", "new.png"),
        ("one.jpg", "new.PNGG", "new.png"),
        ("one.jpg", "new.xyz", "new.png"),
        ("film.mov", "new.mp5", "new.mp4"),
        ("film.mov", "new.xyz", "new.mp4"),
        ("one.jpg", "new.mov", "new.png"),
    ],
)
def test_the_nearest_format_that_can_be_written_is_named(old, source, out, nearest):
    (old / "film.mov").touch()
    with pytest.raises(InputError, match=f"such as {nearest}: it may end in .*{Path(nearest).suffix}"):
        planned([f"old/{source}"], out)


def test_standard_input_and_output_stand_for_one_photograph(old):
    assert planned(["-"], "-") == {"-": "-"}
    assert planned(["-"], "new.png") == {"-": "new.png"}
    assert planned(["old/one.jpg"], "-") == {"old/one.jpg": "-"}


@pytest.mark.parametrize(
    ("inputs", "out", "said"),
    [
        (["old"], "-", "one photograph"),
        (["old/one.jpg", "old/sub/two.png"], "-", "one photograph"),
        (["-", "old/one.jpg"], "out", "one photograph"),
        (["old/*"], "-", "one photograph"),
        (["-"], "out", "has no name"),
        (["-"], "new.gif", "such as new.png"),
        (["gone.jpg"], "-", "no such file"),
        (["gone.jpg"], "out", "no such file"),
        (["gone.jpg"], "new.png", "no such file"),
        (["gone/*.jpg"], "out", "no image file matches"),
        ([], "out", "nothing to colour"),
    ],
)
def test_what_cannot_be_is_said(old, inputs, out, said):
    with pytest.raises(InputError, match=said):
        planned(inputs, out)


def test_a_comparison_stands_beside_its_photograph():
    def comparison(target):
        return make_plan([Path(__file__)], Path(target), compare=True).jobs[0].comparison.as_posix()

    assert comparison("a/one.jpg") == "a/one.compare.jpg"
    assert comparison("a/one.JPG") == "a/one.JPG.compare.jpg"
    assert comparison("a/one.png") == "a/one.png.compare.jpg"


def test_scans_of_one_name_in_several_formats_have_comparisons_of_their_own(old):
    for name in ("one.tif", "one.jpeg", "one.JPG"):
        (old / name).touch()
    jobs = make_plan([old], Path("out"), compare=True).jobs
    assert len({path for job in jobs for path in job.outputs}) == 2 * len(jobs) == 12


def test_a_comparison_called_like_a_photograph_gets_a_number(old):
    (old / "one.compare.jpg").touch()
    jobs = make_plan([old], Path("out"), compare=True).jobs
    outputs = {job.source.name: [path.name for path in job.outputs] for job in jobs}
    assert outputs["one.compare.jpg"] == ["one.compare.compare.jpg", "one.compare.jpg"]
    assert outputs["one.jpg"] == ["one~2.compare.jpg", "one.jpg"]


def test_a_comparison_on_standard_output_is_refused(old):
    with pytest.raises(InputError, match="comparison"):
        make_plan([old / "one.jpg"], Path("-"), compare=True)


def test_a_gif_beside_its_png_is_numbered_and_stops_nothing(old):
    for name in ("a.gif", "a.gif.png", "a.gif~2.png"):
        (old / name).touch()
    plan = make_plan([old], Path("out"))
    targets = {job.source.name: job.target.name for job in plan.jobs}
    assert targets["a.gif.png"] == "a.gif.png"
    assert targets["a.gif~2.png"] == "a.gif~2.png"
    assert targets["a.gif"] == "a.gif~3.png"
    assert [job.source.name for job in plan.renamed] == ["a.gif"]


def test_names_that_this_disk_keeps_apart_are_kept(old):
    for name in ("ONE.jpg", "caf\u00e9.jpg", "cafe\u0301.jpg"):
        (old / name).touch()
    plan = make_plan([old], Path("out"))
    assert {job.target.name for job in plan.jobs} >= {"one.jpg", "ONE.jpg", "caf\u00e9.jpg", "cafe\u0301.jpg"}
    assert plan.renamed == ()


def test_names_that_the_disk_takes_for_the_same_are_numbered(old, monkeypatch):
    monkeypatch.setattr(plan_module, "keeps_apart", lambda *_: False)
    for name in ("ONE.jpg", "One.JPG", "SUB/two.png", "caf\u00e9.jpg", "cafe\u0301.jpg"):
        (old / name).parent.mkdir(exist_ok=True)
        (old / name).touch()
    plan = make_plan([old], Path("out"), compare=True)
    outputs = [path.as_posix() for job in plan.jobs for path in job.outputs]
    folded = {unicodedata.normalize("NFC", path).casefold() for path in outputs}
    assert len(folded) == len(outputs) == 2 * 8
    assert {job.source.name: job.target.name for job in plan.renamed} == {
        "One.JPG": "One~2.JPG",
        "one.jpg": "one~3.jpg",
        "two.png": "two~2.png",
        "caf\u00e9.jpg": "caf\u00e9~2.jpg",
    }
    backwards = make_plan([old / name for name in ("one.jpg", "One.JPG", "ONE.jpg")], Path("out"))
    assert [job.target.name for job in backwards.jobs] == ["one~3.jpg", "One~2.JPG", "ONE.jpg"]


@pytest.mark.parametrize("name", ["x" * 251 + ".gif", "風" * 83 + ".avif", "y" * 251 + ".jpg"])
def test_output_names_have_at_most_255_bytes(old, name):
    (old / name).touch()
    (job,) = make_plan([old / name], Path("out"), compare=True).jobs
    assert [len(path.name.encode()) <= 255 for path in job.outputs] == [True, True]
    assert job.target.suffix == (".jpg" if name.endswith(".jpg") else ".png")


@pytest.mark.parametrize("inputs", [["old"], ["old/**/*"], ["old/*"]])
def test_system_folders_and_outputs_of_workspaces_are_passed_over(old, inputs):
    for name in ("sub/@eaDir/one.jpg/X.jpg", "sub/.recolor/lock", "sub/data/shards.png", "a.mov", "noext"):
        (old / name).parent.mkdir(parents=True, exist_ok=True)
        (old / name).touch()
    plan = make_plan([Path(path) for path in inputs], Path("out"))
    assert {job.target.as_posix() for job in plan.jobs} == {"out/one.jpg", "out/sub/two.png", "out/sub/deep/three.tif"}
    text = "passed over: 1 video (.mov 1), 2 other files (.txt 1, without suffix 1)"
    assert str(plan.passed_over) == f"{text}; skipped: 1 @eaDir; outputs of Recolor: 1 data/"


@pytest.mark.parametrize("inputs", [["old"], ["old/**/*.*"]])
def test_comparisons_of_an_earlier_run_are_no_photographs(old, inputs):
    """They are told by what stands in them: a photograph may be called so, too."""
    for name in ("one.compare.jpg", "sub/two.png.compare.jpg"):
        Image.new("L", (8, 8)).save(old / name, comment=COMPARISON_COMMENT)
    (old / "my.compare.jpg").touch()
    os.mkfifo(old / "pipe.compare.jpg")
    plan = make_plan([Path(path) for path in inputs], Path("out"))
    expected = {"one.jpg", "two.png", "three.tif", "my.compare.jpg"}
    assert {job.source.name for job in plan.jobs} - {"pipe.compare.jpg"} == expected
    assert plan.passed_over.outputs == {"*.compare.jpg": 2}
    assert planned(["old/one.compare.jpg"]) == {"old/one.compare.jpg": "out/one.compare.jpg"}


def test_comparisons_stand_in_the_folder_of_their_photograph(old):
    for name in ("sub/a.jpg", "sub/a.png", "a.jpg"):
        (old / name).touch()
    jobs = make_plan([old], Path("out"), compare=True).jobs
    comparisons = {job.source.relative_to(old).as_posix(): job.comparison.as_posix() for job in jobs}
    assert comparisons["a.jpg"] == "out/a.compare.jpg"
    assert comparisons["sub/a.jpg"] == "out/sub/a.compare.jpg"
    assert comparisons["sub/a.png"] == "out/sub/a.png.compare.jpg"


def test_a_pattern_in_a_system_folder_is_meant(old):
    (old / "#recycle").mkdir()
    (old / "#recycle/a.jpg").touch()
    assert planned(["old/#recycle/*.jpg"]) == {"old/#recycle/a.jpg": "out/a.jpg"}


def test_a_file_that_is_given_is_tried_whatever_its_suffix(old):
    (old / "scan.xyz").touch()
    assert planned(["old/scan.xyz"]) == {"old/scan.xyz": "out/scan.xyz.png"}


@pytest.mark.parametrize(
    ("inputs", "out"),
    [(["old/one.jpg"], "old/one.jpg"), (["old/one.jpg"], "old"), (["old"], "old"), (["old/*.jpg"], "old")],
)
def test_input_as_output_is_refused(old, inputs, out):
    with pytest.raises(InputError, match="original"):
        planned(inputs, out)
    Path("link").symlink_to("old")
    with pytest.raises(InputError, match="original"):
        planned([str(path).replace("old", "link", 1) for path in inputs], out)


@pytest.mark.parametrize(("name", "video"), [("a.mp4", True), ("a.MOV", True), ("a.webm", True), ("a.webp", False)])
def test_videos_are_told_by_their_suffix(name, video):
    assert is_video(Path(name)) == video
    assert not is_video(STANDARD)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everywhere")
def test_folders_that_cannot_be_read_are_named(old):
    (old / "sub").chmod(0)
    plan = make_plan([old], Path("out"))
    (old / "sub").chmod(0o700)
    assert len(plan.jobs) == 1
    assert plan.unreadable_folders == (old / "sub",)
