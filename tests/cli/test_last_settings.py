"""What commands say about settings that an earlier one was given, and that `--save` makes them those of all."""

import re
from dataclasses import replace

import pytest
from cli.program import recolor

from recolor.cli.options import Target, read_settings
from recolor.config.settings import BlurryConfig, Config
from recolor.pipeline.workspace import Workspace


@pytest.fixture
def space(tmp_path):
    """A workspace in which one file is indexed."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").touch()
    assert recolor("index", "--images", tmp_path / "images", "--workspace", tmp_path / "space").stderr == ""
    return tmp_path / "space"


def test_a_setting_of_an_earlier_command_is_not_given_up_in_silence(space):
    recolor("detect", "--workspace", space, "--set", "blurry.threshold=0.3")
    lines = recolor("clean", "--workspace", space).stderr.splitlines()
    assert re.fullmatch(r"recolor: other settings than in `recolor detect` of \d\d \w+ \d\d:\d\d:", lines[0])
    assert lines[1:4] == [
        "  blurry.threshold: 0.5 now, 0.3 then",
        f"Those of then: recolor clean --workspace {space} --set blurry.threshold=0.3 --save",
        f"Those of now:  recolor clean --workspace {space}  (goes on with them)",
    ]


def test_it_is_said_once(space):
    recolor("index", "--workspace", space, "--set", "index.skip=[]")
    assert "index.skip: [" in recolor("index", "--workspace", space).stderr
    assert recolor("index", "--workspace", space).stderr == ""


def test_the_command_that_is_told_gives_the_settings_of_then_to_every_run(space):
    recolor("detect", "--workspace", space, "--set", "blurry.threshold=0.3")
    told = recolor("select", "--workspace", space, "--set", "select.seed=1").stderr
    assert "blurry" not in told  # not a setting of this stage
    told = recolor("detect", "--workspace", space).stderr
    (command,) = re.findall("Those of then: recolor (.*)", told)
    assert f"saved in {space}/recolor.toml: blurry.threshold = 0.3" in recolor(*command.split()).stderr
    assert "settings" not in recolor("detect", "--workspace", space).stderr
    assert read_settings(Target(None, space, None, None, ())) == replace(Config(), blurry=BlurryConfig(threshold=0.3))


def test_a_verb_that_runs_no_stage_says_it_too_and_stores_nothing(space):
    recolor("detect", "--workspace", space, "--set", "blurry.threshold=0.3")
    for _ in range(2):
        told = recolor("gallery", "--workspace", space).stderr
        assert f"Those of then: recolor gallery --workspace {space} --set blurry.threshold=0.3\n" in told


def test_one_issue_detected_again_compares_and_stores_its_own_settings_alone(space):
    recolor("detect", "--workspace", space, "--set", "blurry.threshold=0.3", "--set", "skewed.threshold=0.2")
    told = recolor("detect", "blurry", "--workspace", space).stderr
    assert "blurry.threshold" in told
    assert "skewed" not in told
    assert "skewed.threshold: 0.5 now, 0.2 then" in recolor("detect", "--workspace", space).stderr


def test_save_makes_no_workspace_where_a_stage_needs_one(tmp_path):
    done = recolor("detect", "--workspace", tmp_path / "none", "--set", "blurry.threshold=0.3", "--save")
    assert "there is no such workspace" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_save_without_settings_writes_nothing(space):
    assert f"{space}/recolor.toml: nothing to save" in recolor("index", "--workspace", space, "--save").stderr
    assert not Workspace(space).settings_file.exists()


def test_a_setting_that_is_refused_is_not_saved(space):
    assert recolor("detect", "--workspace", space, "--set", "blurry.threshold=3", "--save").returncode == 2
    assert not Workspace(space).settings_file.exists()
