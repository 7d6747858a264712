import pytest
from click.testing import CliRunner

from recolor.cli.main import cli
from recolor.config.loading import load_config
from recolor.config.presets import PRESETS, preset
from recolor.config.reference import settings_reference
from recolor.errors import ConfigError


def told(*words):
    result = CliRunner().invoke(cli, ["settings", *words], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_all_settings_are_listed_with_default_and_allowed_values():
    text = told()
    for group in settings_reference():
        for setting in group.settings:
            assert f"  {setting.name} = " in text
    assert "blurry.threshold = 0.5  (a number from 0.0 up to 1.0)" in text
    assert "Images that score below this are outliers." in text


def test_a_group_is_listed_alone():
    text = told("blurry")
    assert text.startswith("[blurry] Images without fine detail.\n")
    assert "blurry.threshold" in text
    assert "skewed" not in text


def test_one_setting_is_shown_with_its_full_text_and_what_it_redoes():
    lines = told("blurry.threshold").splitlines()
    assert lines[:3] == ["blurry.threshold", "  default: 0.5", "  allowed: a number from 0.0 up to 1.0"]
    assert "0 selects none, 1 selects nearly all." in " ".join(told("blurry.threshold").split())
    assert "`recolor detect blurry` is redone" in told("blurry.threshold")
    assert "Nothing is redone" in told("execution.workers")


def test_the_defaults_of_a_preset_are_shown():
    assert "generator.train.steps = 2400 " in told("--preset", "quick", "generator")


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"blurry.treshold: unknown setting. Did you mean 'blurry.threshold'"):
        told("blurry.treshold")


@pytest.mark.parametrize("name", PRESETS)
def test_init_writes_a_file_that_equals_the_preset_and_never_overwrites_one(name, tmp_path):
    workspace, file = tmp_path / "new", tmp_path / "new/recolor.toml"
    assert told("--init", "--workspace", str(workspace), "--preset", name).strip() == str(file)
    assert load_config(file=file) == preset(name)
    before = file.read_bytes()
    with pytest.raises(ConfigError, match="the file exists and is not overwritten"):
        told("--init", "--workspace", str(workspace))
    assert file.read_bytes() == before


def test_init_takes_no_name():
    result = CliRunner().invoke(cli, ["settings", "blurry", "--init"])
    assert result.exit_code == 2
    assert "without NAME" in result.stderr
