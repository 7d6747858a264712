import json

import pytest
import torch
from click.testing import CliRunner

from recolor.cli.main import cli
from recolor.config.settings import GeneratorModelConfig, RefinerModelConfig
from recolor.errors import InputError
from recolor.evaluation.turing import make_turing
from recolor.evaluation.turing.make import find_photographs
from recolor.models.files import bins_json, save_model
from recolor.models.generator import Generator
from recolor.models.refiner import Refiner


def names_on(page):
    script = page.read_text(encoding="utf-8").partition('<script type="application/json" id="data">')[2]
    return [pair["name"] for pair in json.loads(script.partition("</script>")[0])["pairs"]]


def test_a_page_is_made_of_a_folder(photos, colorizer, tmp_path):
    out = tmp_path / "new folder" / "turing.html"
    made = make_turing([photos], colorizer, out, pairs=8)
    assert (made.path, made.pairs, made.skipped) == (out, 8, ())
    assert made.size_bytes == out.stat().st_size
    assert sorted(names_on(out)) == ["0.png", "1.png", "2.png", "3.png", "4.png", "5.png", "sub/6.png", "sub/7.png"]


def test_the_seed_says_which_photographs_are_drawn(photos, colorizer, tmp_path):
    drawn = []
    for seed in (1, 1, 2):
        made = make_turing([photos], colorizer, tmp_path / "a.html", pairs=3, seed=seed)
        drawn.append((names_on(made.path), made.path.read_bytes()))
    assert drawn[0] == drawn[1]
    assert drawn[0][0] != drawn[2][0]


def test_files_and_folders_are_taken_once_each(photos):
    found = find_photographs([photos / "sub", photos / "1.png", photos / "sub" / "6.png", photos / "1.png"])
    assert [photograph.name for photograph in found] == ["6.png", "7.png", "1.png"]


def test_a_bad_photograph_is_named_and_another_one_drawn(photos, colorizer, tmp_path):
    first, *_ = names_on(make_turing([photos], colorizer, tmp_path / "a.html", pairs=1).path)
    (photos / first).write_bytes(b"<html>")
    made = make_turing([photos], colorizer, tmp_path / "a.html", pairs=7)
    assert [skipped.name for skipped in made.skipped] == [first]
    assert first not in names_on(made.path)


def test_too_few_photographs_are_refused_before_any_is_opened(photos, tmp_path):
    with pytest.raises(InputError, match=r"8 photographs were found, but 20 pairs .* --pairs 8"):
        make_turing([photos], None, tmp_path / "a.html", pairs=20)


def test_too_few_that_can_be_used_are_refused_with_the_first_reason(photos, colorizer, tmp_path):
    (photos / "3.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"7 of 8 photographs can be used \(skipped: '3.png': empty: .*--pairs 7"):
        make_turing([photos], colorizer, tmp_path / "a.html", pairs=8)
    assert not (tmp_path / "a.html").exists()


def test_an_empty_folder_and_a_missing_one_are_refused(colorizer, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        InputError, match=r"0 photographs were found, but 2 pairs were requested. Give more photographs\."
    ):
        make_turing([tmp_path / "empty"], colorizer, tmp_path / "a.html", pairs=2)
    with pytest.raises(InputError, match="no such file"):
        make_turing([tmp_path / "none"], colorizer, tmp_path / "a.html", pairs=2)


@pytest.fixture
def models(tmp_path):
    """Both models, small and untrained."""
    torch.manual_seed(0)
    folder = tmp_path / "models"
    for name in ("generator", "refiner"):
        (folder / name).mkdir(parents=True)
    shape = {"encoder_weights": "none", "width": 8, "blocks": 1}
    generator = Generator(GeneratorModelConfig(**shape, encoder_depth=1)).eval()
    details = {"kind": "generator", "model": {**shape, "encoder_depth": 1}, "temperature": 0.38}
    save_model(folder / "generator", generator, {**details, "ab_bins": bins_json()})
    save_model(folder / "refiner", Refiner(RefinerModelConfig(**shape)).eval(), {"kind": "refiner", "model": shape})
    return folder


def test_the_verb_colours_by_the_model_given_and_names_what_it_skips(photos, models, tmp_path):
    for number in range(6):
        (photos / f"{number}.png").write_bytes(b"")
    out = tmp_path / "t.html"
    arguments = [photos, "--model", models, "--pairs", "2", "--size-px", "64", "--seed", "1", "--out", out]
    answer = CliRunner().invoke(cli, ["turing", *map(str, arguments)], catch_exceptions=False)
    assert answer.exit_code == 0
    assert answer.stdout.startswith(f"{out} (2 pairs, ")
    assert sorted(names_on(out)) == ["sub/6.png", "sub/7.png"]
    skipped = [line for line in answer.stderr.splitlines() if line.startswith("skipped: '")]
    assert skipped
    assert all(line.endswith("empty: the file has no bytes") for line in skipped)
