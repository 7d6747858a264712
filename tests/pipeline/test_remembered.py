"""A run knows which settings the last one was given, and the workspace's recolor.toml can be made to hold them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from recolor.config.loading import flat_settings, load_config, read_changes
from recolor.config.presets import preset
from recolor.config.settings import BlurryConfig, Config
from recolor.errors import ConfigError
from recolor.pipeline.remembered import (
    Given,
    last_uses,
    remember_settings,
    restoring,
    reverted_lines,
    reverted_settings,
    save_settings,
    workspace_config,
)

GROUPS = ("blurry", "skewed", "generator")


def given(*words, preset=None, file=None):
    return Given(preset, file, read_changes(None, words), "recolor clean")


def ran(workspace, *words, groups=GROUPS, **options):
    what = given(*words, **options)
    remember_settings(workspace, workspace_config(workspace, what), groups, what)


def reverted(workspace, *words, groups=GROUPS, **options):
    """The settings that are not those of the last run: name, now, then."""
    found = reverted_settings(workspace, groups, given(*words, **options))
    return {each.name: (each.now, each.last) for each in found}


def again(workspace, *words, **options):
    what = given(*words, **options)
    found = restoring(workspace, what, reverted_settings(workspace, GROUPS, what))
    return found.preset, found.file, dict(found.settings)


def write(workspace, text):
    workspace.settings_file.write_text(text)


def test_a_first_run_reverts_nothing(workspace):
    assert reverted(workspace, "blurry.threshold=0.3") == {}


def test_a_setting_that_was_given_and_is_not_given_again_is_named(workspace):
    ran(workspace, "blurry.threshold=0.3")
    assert reverted(workspace) == {"blurry.threshold": (0.5, 0.3)}
    assert again(workspace) == (None, None, {"blurry.threshold": 0.3})


def test_it_is_named_beside_a_preset_and_other_settings_that_are_given_now(workspace):
    ran(workspace, "generator.train.steps=300", preset="quick")
    assert reverted(workspace, "blurry.threshold=0.1", preset="quick") == {"generator.train.steps": (2400, 300)}
    assert again(workspace, preset="quick") == (None, None, {"generator.train.steps": 300})


def test_a_setting_that_is_given_again_is_meant(workspace):
    ran(workspace, "blurry.threshold=0.3")
    assert reverted(workspace, "blurry.threshold=0.4") == {}
    assert reverted(workspace, "blurry.threshold=0.3") == {}
    assert reverted(workspace, "blurry.threshold=0.5") == {}


def test_a_setting_that_was_changed_in_recolor_toml_is_meant(workspace):
    write(workspace, "blurry.threshold = 0.2")
    ran(workspace)
    write(workspace, "blurry.threshold = 0.6")
    assert reverted(workspace) == {}
    ran(workspace, "blurry.threshold=0.3")
    assert reverted(workspace) == {"blurry.threshold": (0.6, 0.3)}
    write(workspace, "blurry.threshold = 0.7")
    assert reverted(workspace) == {}


def test_a_preset_that_was_given_is_named_as_one(workspace):
    ran(workspace, "blurry.threshold=0.3", preset="quick")
    found = reverted(workspace)
    assert found["generator.train.steps"] == (20_000, 2400)
    assert again(workspace) == ("quick", None, {"blurry.threshold": 0.3})
    lines = reverted_lines(
        reverted_settings(workspace, GROUPS, given()), restoring(workspace, given(), _found(workspace))
    )
    assert lines[0].startswith("other settings than in `recolor clean` of ")
    count = len(found) - 1
    assert lines[1:] == [
        "  blurry.threshold: 0.5 now, 0.3 then",
        f"  {count} settings of preset 'quick', which was given then and is not now",
    ]


def _found(workspace):
    return reverted_settings(workspace, GROUPS, given())


@pytest.mark.parametrize("now", ["demo", "default"])
def test_another_preset_is_meant(workspace, now):
    ran(workspace, preset="quick")
    assert reverted(workspace, preset=now) == {}


def test_a_file_that_was_given_is_named_while_it_exists(workspace, tmp_path):
    file = tmp_path / "other.toml"
    file.write_text("[blurry]\nthreshold = 0.2\n[skewed]\nthreshold = 0.1\n")
    ran(workspace, file=file)
    assert set(reverted(workspace)) == {"blurry.threshold", "skewed.threshold"}
    assert again(workspace) == (None, file, {})
    second = tmp_path / "second.toml"
    second.write_text("blurry.threshold = 0.4")
    assert reverted(workspace, file=second) == {"skewed.threshold": (0.5, 0.1)}
    file.unlink()
    assert again(workspace) == (None, None, {"blurry.threshold": 0.2, "skewed.threshold": 0.1})


def test_only_groups_that_the_run_uses_are_compared_and_stored(workspace):
    ran(workspace, "blurry.threshold=0.3", groups=("blurry",))
    ran(workspace, groups=("skewed",))
    assert reverted(workspace, groups=("skewed",)) == {}
    assert reverted(workspace) == {"blurry.threshold": (0.5, 0.3)}
    ran(workspace, groups=("blurry",))
    assert reverted(workspace) == {}


def test_settings_of_python_are_stored_too(workspace):
    config = Config(blurry=BlurryConfig(threshold=0.3))
    remember_settings(workspace, config, ("blurry",), Given(command="recolor.run_stages"))
    assert reverted(workspace) == {"blurry.threshold": (0.5, 0.3)}


def test_a_recolor_toml_that_is_not_valid_does_not_stop_a_run_with_another_file(workspace, tmp_path):
    write(workspace, "blury = 3")
    (tmp_path / "other.toml").write_text("blurry.threshold = 0.2")
    ran(workspace, file=tmp_path / "other.toml")
    assert last_uses(workspace)["blurry"].settings["blurry.threshold"] == 0.2


@pytest.mark.parametrize("text", ["", "{", "[]", '{"blurry": 3}', '{"blurry": {"preset": "default"}}'])
def test_a_malformed_memory_counts_as_none(workspace, text):
    (workspace.internal / "settings.json").write_text(text)
    assert last_uses(workspace) == {}
    assert reverted(workspace) == {}


def test_settings_that_no_longer_exist_are_passed_over(workspace):
    ran(workspace, "blurry.threshold=0.3")
    file = workspace.internal / "settings.json"
    stored = json.loads(file.read_text())
    for part in ("settings", "without"):
        stored["blurry"][part]["blurry.gone"] = 1
    file.write_text(json.dumps(stored))
    assert reverted(workspace) == {"blurry.threshold": (0.5, 0.3)}


def saved(workspace, *words, **options):
    return dict(save_settings(workspace, given(*words, **options)))


def test_saved_settings_are_those_of_every_run_and_are_no_longer_reverted(workspace):
    quick = preset("quick")
    assert saved(workspace, "blurry.threshold=0.3", preset="quick") == {"preset": "quick", "blurry.threshold": 0.3}
    assert workspace_config(workspace, given()) == replace(quick, blurry=BlurryConfig(threshold=0.3))
    ran(workspace, "blurry.threshold=0.3", preset="quick")
    assert reverted(workspace) == {}
    assert saved(workspace) == {}


def test_saving_keeps_the_comments_the_order_and_the_byte_order_mark_of_the_file(workspace):
    file = workspace.settings_file
    file.write_bytes("\ufeff# my photographs: é\n[blurry]\nthreshold = 0.9 # strict\n".encode())
    assert saved(workspace, "blurry.threshold=0.3", "skewed.enabled=false") == {
        "blurry.threshold": 0.3,
        "skewed.enabled": False,
    }
    assert file.read_bytes().decode() == (
        "\ufeff# my photographs: é\n[blurry]\nthreshold = 0.3 # strict\n\n[skewed]\nenabled = false\n"
    )


def test_a_file_given_in_place_of_recolor_toml_is_saved_as_a_whole(workspace, tmp_path):
    write(workspace, 'preset = "demo"\n[blurry]\nthreshold = 0.9\n')
    (tmp_path / "other.toml").write_text('preset = "quick"\nskewed.threshold = 0.1\n')
    saved(workspace, file=tmp_path / "other.toml")
    expected = load_config(None, tmp_path / "other.toml")
    assert workspace_config(workspace, given()) == expected
    assert flat_settings(expected)["blurry.threshold"] == 0.5


def test_a_file_that_cannot_be_changed_in_place_is_left_and_the_lines_are_told(workspace):
    text = "blurry = {threshold = 0.9}\n"
    write(workspace, text)
    with pytest.raises(ConfigError, match=r"(?s)recolor.toml: cannot be changed in place.*\n  blurry.threshold = 0.3"):
        saved(workspace, "blurry.threshold=0.3")
    assert workspace.settings_file.read_text() == text
    assert list(Path(workspace.root).glob(".recolor-*")) == []
