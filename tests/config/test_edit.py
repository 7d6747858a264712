"""Settings files that are changed in place keep everything else that a person wrote."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recolor.config.edit import edited_toml
from recolor.config.loading import config_of, flat_settings, load_config, setting_word
from recolor.config.presets import PRESETS, preset
from recolor.config.settings import Config
from recolor.config.template import commented_toml

VALUES = st.booleans() | st.integers(0, 10**9) | st.floats(allow_nan=False, allow_infinity=False) | st.text()
NAMES = st.sampled_from(
    ["preset", "blurry.threshold", "blurry.enabled", "generator.train.steps", "generator.rebalance"]
)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "[blurry]\nthreshold = 0.3\n"),
        ("[blurry]\nthreshold = 0.9  # mine\n", "[blurry]\nthreshold = 0.3  # mine\n"),
        ("[blurry]\r\nthreshold=0.9\r\n", "[blurry]\r\nthreshold=0.3\r\n"),
        ("[ blurry ] # of the lens\n", "[ blurry ] # of the lens\nthreshold = 0.3\n"),
        ("[blurry]\n# as it was\n#threshold = 0.5\n", "[blurry]\n# as it was\n#threshold = 0.5\nthreshold = 0.3\n"),
        ("blurry.threshold = 0.9", "blurry.threshold = 0.3\n"),
        ("blurry.enabled = true\n[skewed]\n", "blurry.enabled = true\nblurry.threshold = 0.3\n[skewed]\n"),
        ("[skewed]\nthreshold = 0.9\n", "[skewed]\nthreshold = 0.9\n\n[blurry]\nthreshold = 0.3\n"),
    ],
)
def test_a_setting_is_changed_or_added_and_every_other_line_stays(before, after):
    assert edited_toml(before, {"blurry.threshold": 0.3}) == after


def test_a_list_a_text_and_the_preset_are_replaced():
    before = (
        'preset = "quick" # small\n[index]\nsuffixes = [".jpg", ".png"]\n[evaluate]\nsplit = \'val\' # "test" later\n'
    )
    after = edited_toml(before, {"preset": "demo", "index.suffixes": (".gif",), "evaluate.split": "train"})
    assert after.splitlines() == [
        'preset = "demo" # small',
        "[index]",
        'suffixes = [".gif"]',
        "[evaluate]",
        'split = "train" # "test" later',
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", 'preset = "quick"\n'),
        ("# mine\n", '# mine\npreset = "quick"\n'),
        ("# mine\n\n[blurry]\n", '# mine\npreset = "quick"\n\n[blurry]\n'),
        ("# of the lens\n[blurry]\n", 'preset = "quick"\n# of the lens\n[blurry]\n'),
    ],
)
def test_a_preset_goes_below_the_comment_about_the_file(before, after):
    assert edited_toml(before, {"preset": "quick"}) == after


def test_a_preset_goes_to_the_top_of_a_file_without_one():
    assert tomllib.loads(edited_toml("# mine\n[blurry]\n", {"preset": "quick"})) == {"preset": "quick", "blurry": {}}


@given(st.dictionaries(NAMES, VALUES), st.dictionaries(NAMES, VALUES))
def test_what_was_written_is_read_back_and_what_was_there_stays(first, second):
    read = flat_settings(tomllib.loads(edited_toml(edited_toml("", first), second)))
    assert read == first | second


@pytest.mark.parametrize("name", PRESETS)
def test_every_setting_of_a_commented_file_can_be_set_and_no_comment_is_lost(name):
    before = commented_toml("default")
    after = edited_toml(before, {"preset": name, **flat_settings(preset(name))})
    assert config_of(None, tomllib.loads(after)) == preset(name)
    comments = [line for line in before.splitlines() if line.startswith("#")]
    assert [line for line in after.splitlines() if line.startswith("#")] == comments


@pytest.mark.parametrize(
    "value", ["none", "true", "0.5", " x", "", 'a"b', "/a/b c", "x\ny", (".jpg", "é"), 0.25, 3, False]
)
def test_a_setting_as_a_word_is_read_back(value):
    name = {tuple: "index.skip", str: "generator.start_from", float: "blurry.threshold"}.get(type(value))
    name = name or ("blurry.enabled" if value is False else "generator.train.seed")
    config = load_config(None, None, [setting_word(name, value)])
    assert flat_settings(config)[name] == value


def test_flat_settings_are_all_settings_and_the_same_of_a_config_and_of_nested_dictionaries():
    flat = flat_settings(Config())
    assert flat["generator.train.steps"] == 20_000
    assert flat["index.suffixes"] == Config().index.suffixes
    assert flat_settings({"generator": {"train": {"steps": 3}}, "index": {"suffixes": [".jpg"]}}) == {
        "generator.train.steps": 3,
        "index.suffixes": (".jpg",),
    }
