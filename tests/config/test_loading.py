import subprocess
import sys
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from datetime import date
from operator import attrgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recolor.config.loading import check, load_config, overlay
from recolor.config.presets import PRESETS, preset
from recolor.config.settings import BlurryConfig, Config, ExecutionConfig, SelectConfig
from recolor.errors import ConfigError
from recolor.pipeline.cache import fingerprint

# What a workspace of this version is keyed by: another number means that users' stages are done again.
KEYS = {"default": "9a026847e194d4c7", "quick": "621ce22d9d17b993", "demo": "c847e396f19434f6"}


@pytest.mark.parametrize("name", PRESETS)
def test_every_value_of_every_preset_is_allowed(name):
    check(preset(name))


def test_words_overlay_the_file_and_the_file_overlays_the_preset(tmp_path):
    file = tmp_path / "recolor.toml"
    file.write_text('preset = "quick"\n[blurry]\nthreshold = 0.3\n[generator.train]\nsteps = 77\nlr = 0.5\n')
    config = load_config(file=file, words=["generator.train.steps=99", "shard.dtype=float16"])
    expected = preset("quick")
    train = replace(expected.generator.train, steps=99, lr=0.5)
    assert config.generator == replace(expected.generator, train=train)
    assert config.blurry == BlurryConfig(threshold=0.3)
    assert config.shard.dtype == "float16"
    assert config.refiner == expected.refiner


def test_an_explicit_preset_wins_over_the_files(tmp_path):
    file = tmp_path / "recolor.toml"
    file.write_text('preset = "quick"\n')
    assert load_config("demo", file) == preset("demo")


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("blury.threshold=0.4", ["blury", "Did you mean 'blurry'", "monochrome"]),
        ("blurry.treshold=0.4", ["blurry.treshold", "Did you mean 'threshold'"]),
        ("blurry.threshold=1.5", ["blurry.threshold = 1.5", "from 0.0 up to 1.0"]),
        ("blurry.threshold=yes", ["blurry.threshold = 'yes'", "a number"]),
        ("blurry.threshold=nan", ["blurry.threshold = nan"]),
        ("blurry.enabled=1", ["blurry.enabled = 1", "true or false"]),
        ("shard.dtype=int4", ["'int4'", "'uint8', 'float16'"]),
        ("generator.train.steps=2.5", ["generator.train.steps = 2.5", "a whole number"]),
        ("generator.train.batch_images=0", ["generator.train.batch_images = 0", "from 1"]),
        ("generator.train.crop_px=100", ["crop_px = 100", "multiples of 8"]),
        ("generator.train.warmup_steps=99999999", ["warmup_steps", "must end before"]),
        ("select.val_fraction=0", ["val_fraction"]),
        ("select.test_fraction=0", ["test_fraction = 0", "evaluate.split = 'test'"]),
        ("extreme_aspect.max_aspect=inf", ["extreme_aspect.max_aspect = inf"]),
        ("generator.train.seed=-1", ["generator.train.seed = -1", "from 0"]),
        ("generator.train.seed=99999999999999999999999", ["generator.train.seed"]),
        ("index.suffixes=[]", ["index.suffixes = []", "at least one"]),
        ("index.suffixes=['.JPG']", ["'.JPG'", "lower case"]),
        (
            "refiner.predicted_looks=[]",
            ["refiner.predicted_looks = []", "at least one of 'careful', 'natural', 'vivid', each at most once"],
        ),
        ("refiner.predicted_looks=['vivid','vivid']", ["refiner.predicted_looks = ['vivid', 'vivid']", "at most once"]),
        ("refiner.predicted_looks=['bold']", ["Allowed: a list of any of 'careful', 'natural', 'vivid'."]),
        ("generator.model.scale=2.0", ["generator.model.scale = 2.0: not allowed. Allowed: 1, 2, 4."]),
        ("generator.model.scale=true", ["generator.model.scale = True: not allowed. Allowed: 1, 2, 4."]),
        ("blurry.threshold=0.4\nenabled=false", ["blurry.threshold = '0.4\\nenabled=false'"]),
        ("blurry.threshold=" + "[" * 5000, ["blurry.threshold = '[["]),
        ("select=3", ["a table of settings", "val_fraction"]),
        ("blurry.threshold", ["KEY=VALUE"]),
    ],
)
def test_a_wrong_setting_is_refused_with_key_value_and_what_is_allowed(word, parts):
    with pytest.raises(ConfigError) as caught:
        load_config("default", None, [word])
    for part in parts:
        assert part in str(caught.value)


def test_more_looks_than_a_batch_has_images_in_predicted_colour_are_refused():
    words = ["refiner.predicted_looks=['careful','natural','vivid']", "refiner.predicted_fraction=0.5"]
    with pytest.raises(ConfigError, match="has only 2 images in predicted colour"):
        load_config("default", None, [*words, "refiner.train.batch_images=4"])
    assert len(load_config("default", None, [*words, "refiner.train.batch_images=6"]).refiner.predicted_looks) == 3


def test_a_wrong_preset_a_missing_file_and_a_file_that_is_not_toml_are_refused(tmp_path):
    file = tmp_path / "recolor.toml"
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(file=file)
    file.write_text("blurry: 3")
    with pytest.raises(ConfigError, match="not a TOML file"):
        load_config(file=file)
    file.write_text('preset = "huge"')
    with pytest.raises(ConfigError, match=r"'huge'.*default, quick, demo"):
        load_config(file=file)


def test_a_settings_file_with_a_byte_order_mark_is_read(tmp_path):
    file = tmp_path / "recolor.toml"
    file.write_bytes(b'\xef\xbb\xbfpreset = "quick"\n[blurry]\nthreshold = 0.3\n')
    assert load_config(file=file) == replace(preset("quick"), blurry=BlurryConfig(threshold=0.3))


def test_a_settings_file_that_is_not_utf_8_is_refused_with_the_first_wrong_byte(tmp_path):
    file = tmp_path / "recolor.toml"
    file.write_bytes('# à\nstart_from = "é"'.encode() + b"\n# caf\xe9")
    with pytest.raises(ConfigError) as caught:
        load_config(file=file)
    assert str(caught.value) == f"{file}: byte 29 is not UTF-8 text (0xe9). Save the file as UTF-8."


def test_a_folder_as_settings_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=rf"{tmp_path}: this is a folder\. Give a TOML file.*recolor\.toml\."):
        load_config(file=tmp_path)


def test_a_settings_file_that_is_nested_too_deeply_is_refused(tmp_path):
    file = tmp_path / "recolor.toml"
    file.write_text("x = " + "[" * 5000)
    with pytest.raises(ConfigError, match="not a TOML file"):
        load_config(file=file)


def leaves(config, *names):
    for item in fields(config):
        value = getattr(config, item.name)
        yield from leaves(value, *names, item.name) if is_dataclass(value) else [((*names, item.name), value)]


@pytest.mark.parametrize("value", [True, 1, 1.0, 2.0, "1", None, [1], {"x": 1}, b"x", date(2026, 1, 1)])
def test_every_setting_has_the_type_of_its_default_or_is_refused(value):
    accepted = 0
    for names, default in leaves(Config()):
        changes, config = value, None
        for name in reversed(names):
            changes = {name: changes}
        with suppress(ConfigError):
            config = overlay(Config(), changes)
        if config is not None:
            accepted += 1
            assert type(attrgetter(".".join(names))(config)) is type(default), names
    assert bool(accepted) == (type(value) in (bool, int, float, str))


def test_a_config_built_in_python_is_checked_too():
    with pytest.raises(ConfigError, match=r"blurry.threshold = 7.0"):
        check(replace(Config(), blurry=BlurryConfig(threshold=7.0)))


@given(st.floats(0.001, 0.499), st.floats(0.001, 0.499), st.integers(0, 2**63 - 1))
def test_overlaying_allowed_values_gives_them_back(test, val, seed):
    changes = {"select": {"test_fraction": test, "val_fraction": val, "seed": seed}}
    assert overlay(Config(), changes).select == SelectConfig(test_fraction=test, val_fraction=val, seed=seed)


def test_every_setting_is_described_in_its_class():
    def undocumented(config):
        for item in fields(config):
            value = getattr(config, item.name)
            if is_dataclass(value):
                yield from undocumented(value)
            elif item.name not in {"enabled", "threshold"} and f"{item.name}:" not in type(config).__doc__:
                yield f"{type(config).__name__}.{item.name}"

    missing = [name for name in undocumented(Config()) if not name.startswith("LowResolution") and "Aspect" not in name]
    assert missing == []


def test_all_wrong_settings_are_named_at_once():
    with pytest.raises(ConfigError) as caught:
        load_config("default", None, ["blurry.treshold=0.4", "select.seed=true", "shard=3"])
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert any(line.startswith("blurry.treshold: unknown setting. Did you mean 'threshold'?") for line in lines)
    assert any(line.startswith("select.seed = True: not allowed. Allowed: a whole number") for line in lines)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"index": {"suffixes": [".jpg", 3]}}, "index.suffixes = ['.jpg', 3]: not allowed. Allowed: a list of texts."),
        ({"index": {"suffixes": ".jpg"}}, "index.suffixes = '.jpg': not allowed."),
        ({"blurry": {"threshold": None}}, "blurry.threshold = None: not allowed."),
        ({"blurry": None}, "blurry = None: this is a table of settings. Allowed: enabled, threshold."),
        ({"blurry": {"threshold": True}}, "blurry.threshold = True: not allowed."),
        ({"select": {"seed": 1.0}}, "select.seed = 1.0: not allowed."),
        ({"shard": {"size_px": "256"}}, "shard.size_px = '256': not allowed."),
    ],
)
def test_no_value_is_made_from_one_of_another_type(changes, said):
    with pytest.raises(ConfigError) as caught:
        overlay(Config(), changes)
    assert str(caught.value).startswith(said)


def test_a_whole_number_is_a_number_and_a_list_is_a_tuple():
    config = overlay(Config(), {"blurry": {"threshold": 1}, "index": {"suffixes": [".jpg"]}})
    assert (config.blurry.threshold, type(config.blurry.threshold)) == (1.0, float)
    assert config.index.suffixes == (".jpg",)


def test_the_settings_of_the_presets_keep_their_keys():
    found = {name: fingerprint(replace(preset(name), execution=ExecutionConfig()))[:16] for name in PRESETS}
    assert found == KEYS


def test_pydantic_is_imported_only_when_there_are_settings_to_check():
    program = "import sys, recolor.cli.main; from recolor.config.loading import load_config; load_config('quick');"
    program += "sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
