"""The examples of docs/python-api.md, run as they are printed there, and the names that the page describes."""

import re
from pathlib import Path

import pytest
from PIL import Image

import recolor
from recolor.errors import ConfigError, RecolorError

PAGE = Path(__file__).parents[2] / "docs/python-api.md"


@pytest.fixture(scope="module")
def names(run_page, finished):
    return run_page("docs/python-api.md", finished)


def test_every_public_name_has_a_section_and_an_example():
    sections = re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert {name for name, _ in sections} == set(recolor.__all__) - {"__version__"}
    assert all("```python" in text for _, text in sections)


def test_every_error_is_listed():
    errors = {name for name, kind in vars(recolor.errors).items() if isinstance(kind, type)} - {"RecolorError", "Any"}
    assert {name for name in errors if issubclass(getattr(recolor.errors, name), RecolorError)} == set(
        re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    )


def test_settings_come_from_preset_file_and_words(names):
    assert names["config"].blurry.threshold == 0.4
    assert names["config"].shard.size_px == 64
    assert names["strict"].blurry.threshold == 0.6
    assert names["defaults"] == recolor.load_config()


def test_stages_run_and_their_manifests_are_read(names):
    assert [outcome.stage for outcome in names["outcomes"]] == ["index", "measure", "detect", "select"]
    assert names["kept"] == len(names["clean"]) == 16
    assert names["dark"].columns.tolist() == ["path", "L_mean"]
    assert names["dark"]["L_mean"].lt(30).all()


def test_stored_images_come_one_by_one_and_in_batches(names):
    assert names["L"].shape == (1, 64, 64)
    assert names["ab"].shape == (2, 64, 64)
    assert names["L_batch"].shape[1:] == (1, 64, 64)
    assert names["ab_batch"].shape[1:] == (2, 64, 64)
    assert names["chroma"] > 0


def test_models_are_evaluated_beside_their_controls(names):
    assert {"grey", "generator", "refined", "oracle"} <= set(names["psnr_db"].index)
    assert names["outcome"].counts["images"] > 0


def test_a_photograph_is_coloured_in_three_looks(names, finished):
    looks = [names[name] for name in ("colored", "careful", "bold")]
    with Image.open(finished / "old.jpg") as photograph:
        assert {look.size for look in looks} == {photograph.size}
    assert len({look.tobytes() for look in looks}) == 3


def test_pictures_and_arrays_are_coloured_like_their_file(names):
    assert names["same"].tobytes() == names["colored"].tobytes()
    assert names["colored_array"].shape == (*names["gray"].shape, 3)
    assert (names["colored_array"].dtype, names["colored_16_bits"].dtype) == ("uint8", "uint16")
    picture, array = names["several"]
    assert picture.size == names["colored"].size
    assert array.shape == names["colored_array"].shape


def test_a_refused_setting_is_named(names):
    assert issubclass(ConfigError, RecolorError)
    assert "blurry.threshold" in names["message"]
