"""Outcomes of stages as text and JSON, verbosity, and the advice at the end."""

import json

import pytest
from cli.program import recolor
from PIL import Image

from recolor import stages as recolor_stages
from recolor.cli.output import outcome_text, width_chars
from recolor.demo import render_landscape
from recolor.pipeline.cache import Outcome

DETECTED = Outcome("detect", 2, 0, {"images": 2000, "corrupt": 30, "low_resolution": 0}, 0.34)


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    """A workspace with one indexed, measured and judged image."""
    folder = tmp_path_factory.mktemp("output")
    (folder / "images").mkdir()
    Image.fromarray(render_landscape(1, 384, 288)).save(folder / "images/a.png")
    done = recolor("clean", "--images", folder / "images", "--workspace", folder / "space", "--json")
    assert done.returncode == 0
    return folder / "space", json.loads(done.stdout)


@pytest.mark.parametrize("width", [80, 200])
def test_each_issue_has_a_line_with_count_and_share(width):
    assert outcome_text(DETECTED, width).splitlines() == [
        "detect             0.3 s  2,000 images",
        "                          corrupt                    30   1.5%",
        "                          low_resolution              0   0.0%",
    ]


def test_counts_are_wrapped_between_them_and_splits_are_in_their_order():
    counts = {"images": 90_000, "kept": 80_000, "rejected": 10_000, "test": 4, "train": 79_992, "val": 4}
    note = "passed over: 12 .mov, 300 .txt, 1 .raw; skipped: 17 @eaDir"
    lines = outcome_text(Outcome("select", 1, 3, counts, 12.0, note), 80).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "select            12.0 s  90,000 images, 80,000 kept, 10,000 rejected,"
    assert lines[1].startswith("                          79,992 train, 4 val, 4 test, 1 part built,")
    assert " ".join(" ".join(lines).split()).endswith("1 part built, 3 reused; " + note)


def test_a_cached_stage_says_so():
    assert outcome_text(Outcome("index", 0, 1, {"images": 7}, 3.0), 80) == "index             cached  7 images"


def test_the_width_is_that_of_the_terminal_or_80(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert width_chars() == 80
    monkeypatch.setenv("COLUMNS", "200")
    assert width_chars() == 200


def test_json_is_one_object_with_the_outcome_of_each_stage(space):
    _, printed = space
    assert printed["error"] is None
    assert [outcome["stage"] for outcome in printed["outcomes"]] == ["index", "measure", "detect", "select"]
    assert set(printed["outcomes"][0]) == {"stage", "built", "reused", "counts", "seconds_s", "note"}
    assert printed["outcomes"][3]["counts"]["images"] == 1
    assert printed["outcomes"][2]["counts"]["images"] == 1


def test_json_has_the_error_too(tmp_path):
    done = recolor("detect", "--workspace", tmp_path, "--json")
    error = json.loads(done.stdout)["error"]
    assert error["type"] == "MissingStageError"
    assert done.stderr == f"recolor: {error['message']}\n"
    assert done.returncode == 1


def test_json_has_an_error_that_is_not_of_recolor(space, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(recolor_stages, "run_stages", interrupted)
    done = recolor("detect", "--workspace", space[0], "--json")
    assert json.loads(done.stdout)["error"]["type"] == "KeyboardInterrupt"
    assert done.returncode == 130


@pytest.mark.parametrize("words", [["detect", "--suggest", "--json"], ["evaluate", "--json", "models", "--out", "x"]])
def test_json_is_refused_where_text_is_asked_for(space, words):
    workspace, _ = space
    done = recolor(words[0], "--workspace", workspace, *words[1:])
    assert done.returncode == 2
    assert "--json" in done.stderr
    assert done.stdout == ""


def test_a_run_ends_with_the_command_to_run_next(space):
    workspace, _ = space
    done = recolor("detect", "--workspace", workspace, "--set", "blurry.threshold=0.5", "blurry")
    assert done.stdout.splitlines()[-2:] == [
        f"Next: recolor select --workspace {workspace} --set blurry.threshold=0.5",
        "      chooses the images to keep",
    ]


@pytest.mark.parametrize("words", [["-q", "select"], ["select", "--quiet"]])
def test_quiet_prints_no_outcome_and_no_advice(space, words):
    done = recolor(*words, "--workspace", space[0])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_verbose_and_quiet_exclude_each_other():
    done = recolor("-v", "schemas", "-q")
    assert done.returncode == 2
    assert "Give either --verbose or --quiet." in done.stderr


def test_nothing_is_coloured(space, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    done = recolor("detect", "--workspace", space[0], "--suggest")
    assert "\x1b" not in done.stdout + done.stderr
