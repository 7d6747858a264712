"""`recolor status` and `--dry-run`: what they print, and that they do nothing."""

import json
import re

import pytest
from cli.program import recolor

from recolor.cli.status import status_lines
from recolor.stages import STAGES
from recolor.status import StageStatus


@pytest.fixture
def space(tmp_path):
    """A workspace in which two files are indexed."""
    (tmp_path / "images").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "images" / name).touch()
    recolor("index", "--images", tmp_path / "images", "--workspace", tmp_path / "space")
    return tmp_path / "space"


def test_the_status_is_a_line_for_each_stage_and_the_next_command(space):
    told = recolor("status", "--workspace", space)
    assert told.returncode == 0
    lines = told.stdout.splitlines()
    assert lines[:2] == [f"workspace  {space}", f"images     {space.parent / 'images'}"]
    assert re.fullmatch(r"index +current +\d\d \w+ \d\d:\d\d +\d+\.\d s  images 2, other_files 0", lines[3])
    assert lines[4].split() == ["measure", "missing", "0", "of", "2", "images", "done"]
    assert [line.split()[0] for line in lines[3:11]] == list(STAGES)
    assert lines[-1] == f"Next: recolor clean --workspace {space}"
    assert all(len(line) <= 80 for line in lines[3:11])


def test_the_reason_stands_below_the_stage(space):
    (space.parent / "images" / "c.jpg").touch()
    lines = recolor("status", "--workspace", space, "--set", "index.skip=[]").stdout.splitlines()
    assert lines[3].split()[:2] == ["index", "stale"]
    assert lines[4].startswith("                 - index.skip: [] now, [")
    assert "                 - images: 1 new" in lines


def test_the_json_has_every_stage_and_its_fields_are_stable(space):
    told = json.loads(recolor("status", "--workspace", space, "--json").stdout)
    assert set(told) == {"workspace", "images", "stages", "next"}
    assert [each["stage"] for each in told["stages"]] == list(STAGES)
    assert all(set(each) == set(StageStatus.__dataclass_fields__) for each in told["stages"])
    first, second = told["stages"][:2]
    assert (first["state"], first["counts"]) == ("current", {"images": 2, "other_files": 0})
    assert second["progress"] == {"done": 0, "total": 2, "unit": "images"}
    assert (second["seconds_s"], second["finished"], second["command"]) == (None, None, "recolor measure")


def test_settings_of_the_last_run_are_named_with_the_next_command(space):
    recolor("detect", "--workspace", space, "--set", "blurry.threshold=0.3")
    told = recolor("status", "--workspace", space).stderr
    assert "blurry.threshold: 0.5 now, 0.3 then" in told
    assert f"Those of then: recolor clean --workspace {space} --set blurry.threshold=0.3 --save\n" in told


def test_a_workspace_that_is_not_there_is_refused(tmp_path):
    assert "there is no such workspace" in recolor("status", "--workspace", tmp_path / "none").stderr


RUNS = ["index", "measure", "detect", "detect blurry", "select", "clean", "shards build", "train generator"]
RUNS += ["train refiner", "evaluate", "run", "run --prefect"]


@pytest.mark.parametrize("verb", RUNS)
def test_a_dry_run_of_every_stage_changes_nothing(verb, space):
    before = {path: path.stat().st_mtime_ns for path in space.rglob("*")}
    done = recolor(*verb.split(), "--dry-run", "--save", "--workspace", space, "--set", "blurry.threshold=0.3")
    assert done.returncode == 0, done.stderr
    assert "Nothing was done (--dry-run)." in done.stdout
    assert {path: path.stat().st_mtime_ns for path in space.rglob("*")} == before


def test_a_dry_run_says_what_a_run_would_do(space, tmp_path):
    told = recolor("clean", "--dry-run", "--images", space.parent / "images", "--workspace", tmp_path / "new")
    assert told.stdout.endswith("A run would do: index, measure, detect, select.\n")
    assert not (tmp_path / "new").exists()
    assert recolor("index", "--dry-run", "--workspace", space).stdout.endswith("A run would do: nothing.\n")
    told = recolor("train", "generator", "--dry-run", "--workspace", space, "--preset", "demo").stdout
    assert told.endswith("A run could not do train-generator.\n")
    assert "Run `recolor shards build` first." in " ".join(told.split())


def test_the_json_of_a_dry_run_is_that_of_the_status_of_its_stages(space):
    told = json.loads(recolor("clean", "--dry-run", "--json", "--workspace", space).stdout)
    whole = json.loads(recolor("status", "--json", "--workspace", space).stdout)
    assert told == {**whole, "stages": whole["stages"][:4]}


def test_a_dry_run_where_a_run_needs_a_workspace_is_refused_without_one(tmp_path):
    done = recolor("detect", "--dry-run", "--workspace", tmp_path / "none")
    assert done.returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_many_reasons_are_cut_in_the_text():
    lines = list(status_lines(StageStatus("train-generator", "stale", tuple(f"reason {n}" for n in range(9)))))
    assert lines[-2:] == [
        "                 - reason 5",
        "                 - and 3 more; `recolor status --json` lists them",
    ]
