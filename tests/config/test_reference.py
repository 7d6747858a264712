import re
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

import pytest

from recolor.cleaning.detect import DETECTORS
from recolor.config.loading import load_config, overlay
from recolor.config.presets import PRESETS, preset
from recolor.config.reference import allowed_text, find_settings, settings_markdown, settings_reference
from recolor.config.settings import Config
from recolor.config.template import commented_toml
from recolor.errors import ConfigError
from recolor.evaluation import part as evaluation_part
from recolor.pipeline.cache import fingerprint
from recolor.pipeline.workspace import Workspace
from recolor.training.parts import key_settings

SETTINGS = {setting.name: setting for group in settings_reference() for setting in group.settings}
# Other values where a changed number would contradict another setting.
OTHER = {
    "measure.measure_px": 320,
    "execution.runner": "threads",
    "index.suffixes": (".png",),
    "index.skip": ("lost+found",),
    "generator.model.widening": 1.5,
    "generator.train.crop_px": 64,
    "refiner.train.crop_px": 64,
    "generator.teachers": ("pretrained",),
    "refiner.predicted_looks": ("natural", "vivid"),
    "generator.train.devices": 2,
    "refiner.train.devices": 2,
    "shard.size_px": 512,
}


def leaves(config, at=""):
    for item in fields(config):
        value = getattr(config, item.name)
        if is_dataclass(value):
            yield from leaves(value, f"{at}{item.name}.")
        else:
            yield at + item.name, value, get_type_hints(type(config), include_extras=True)[item.name]


def other_value(name, value, hint):
    """A value that is allowed and is not `value`."""
    base = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if name in OTHER:
        return OTHER[name]
    if get_origin(base) is Literal:
        return next(choice for choice in get_args(base) if choice != value)
    if base is bool:
        return not value
    if base is str:
        return value + "x"
    if base is float:
        return value / 2 if value > 1 else value * 0.9 + 0.04
    return value - 8 if value > 64 else value + 1 if name.endswith(("distance", "workers")) or value < 3 else value - 1


def changed(name, value):
    changes = value
    for key in reversed(name.split(".")):
        changes = {key: changes}
    return overlay(Config(), changes)


def keys(config, monkeypatch, folder):
    """The fingerprint of the settings in the key of each stage, by the command that runs it."""
    monkeypatch.setattr(evaluation_part, "_inputs", lambda workspace, settings: {})
    settings = {
        "index": config.index,
        "measure": config.measure,
        **{f"detect {name}": detector.settings(config) for name, detector in DETECTORS.items()},
        "select": config.select,
        "shards build": config.shard,
        "train generator": key_settings(config.generator),
        "train refiner": key_settings(config.refiner),
        "evaluate": evaluation_part.evaluation_part(Workspace(folder), config).settings,
    }
    return {command: fingerprint(each) for command, each in settings.items()}


@pytest.mark.parametrize("name", [name for name, *_ in leaves(Config())])
def test_the_reference_names_the_one_stage_whose_key_a_setting_changes(name, monkeypatch, tmp_path):
    value, hint = next((value, hint) for each, value, hint in leaves(Config()) if each == name)
    before = keys(Config(), monkeypatch, tmp_path)
    after = keys(changed(name, other_value(name, value, hint)), monkeypatch, tmp_path)
    redone = [command for command in before if before[command] != after[command]]
    setting = SETTINGS[name]
    if setting.by_content:
        assert redone in ([], [setting.redone])
    else:
        assert redone == ([setting.redone] if setting.redone else [])


def test_every_setting_is_in_the_reference_with_its_default_and_meaning():
    assert {name: value for name, value, _ in leaves(Config())} == {s.name: s.default for s in SETTINGS.values()}
    for setting in SETTINGS.values():
        assert setting.meaning.endswith("."), setting.name
        assert setting.summary.endswith("."), setting.name
        assert setting.allowed


def test_what_is_allowed_is_said_in_words():
    assert SETTINGS["blurry.threshold"].allowed == "a number from 0.0 up to 1.0"
    assert SETTINGS["generator.model.width"].allowed == "a whole number from 8 up to 1024 in steps of 8"
    assert SETTINGS["index.suffixes"].allowed == "a list of texts"
    assert allowed_text(bool) == "true or false"


def test_a_setting_that_is_in_no_key_redoes_nothing():
    assert SETTINGS["execution.workers"].redone_text.startswith("Nothing is redone:")
    assert SETTINGS["blurry.threshold"].redone_text.startswith("`recolor detect blurry` is redone;")
    assert "content of the weights" in SETTINGS["refiner.start_from"].redone_text


def test_a_name_stands_for_a_group_with_the_groups_in_it_or_for_one_setting():
    groups = settings_reference()
    assert [group.name for group in find_settings("generator", groups)] == [
        "generator",
        "generator.model",
        "generator.train",
    ]
    (found,) = find_settings("refiner.train.lr", groups)
    assert [(setting.name, setting.default) for setting in found.settings] == [("refiner.train.lr", 4e-4)]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("blury", "'blurry'"),
        ("blurry.treshold", "'blurry.threshold'"),
        ("max_pixels", "'measure.max_pixels'"),
        ("steps", "'generator.train.steps' or 'refiner.train.steps'"),
        ("generator.trian", "'generator.train'"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name, nearest):
    with pytest.raises(ConfigError, match=re.escape(f"{name}: unknown setting. Did you mean {nearest}?")):
        find_settings(name, settings_reference())
    with pytest.raises(ConfigError, match="Groups: index, measure"):
        find_settings("zzzzzz", settings_reference())


def test_docs_settings_md_is_current():
    docs = Path(__file__).parents[2] / "docs/settings.md"
    current = docs.read_text(encoding="utf-8") == settings_markdown()
    assert current, "Run `python tools/write_reference.py`."


@pytest.mark.parametrize("name", PRESETS)
def test_the_commented_toml_loads_as_its_preset_with_and_without_the_marks(name, tmp_path):
    file, text = tmp_path / "recolor.toml", commented_toml(name)
    file.write_text(text)
    assert load_config(file=file) == preset(name)
    uncommented = re.sub(r"^#(?=\w+ = )", "", text, flags=re.MULTILINE)
    assert len(uncommented) == len(text) - len(SETTINGS)
    file.write_text(uncommented)
    assert load_config(file=file) == preset(name)


def test_the_commented_toml_is_preset_by_preset_and_changes_with_one_mark_removed(tmp_path):
    file = tmp_path / "recolor.toml"
    text = commented_toml("quick")
    file.write_text(text.replace("#max_images = 300", "max_images = 7"))
    expected = preset("quick")
    assert load_config(file=file) == replace(expected, evaluate=replace(expected.evaluate, max_images=7))
