"""The programs in examples/, run in a small workspace."""

import json
import runpy
import subprocess
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import recolor
from recolor.cli.main import cli

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.slow  # the whole pipeline
def test_the_whole_pipeline_as_a_script_leaves_nothing_undone(finished, tmp_path, monkeypatch):
    # A stand-in for `recolor` that writes down how it was called: the commands then run in this process.
    program = tmp_path / "bin/recolor"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf "%s\\t" "$@" >> {tmp_path}/calls\necho >> {tmp_path}/calls\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    script = ["sh", EXAMPLES / "full_pipeline.sh", finished / "images", finished]
    subprocess.run(script, check=True, timeout=60)

    calls = [line.strip("\t").split("\t") for line in (tmp_path / "calls").read_text().splitlines()]
    for words in calls:
        result = CliRunner().invoke(cli, words)
        assert result.exit_code == 0, (words, result.output, result.exception)
    assert [words[0] for words in calls][:4] == ["index", "measure", "detect", "select"]
    assert (finished / "data/evaluation/report.html").is_file()
    assert len(list((finished / "coloured").glob("*.jpg"))) == 16


def test_the_notebook_finds_what_was_planted(cleaned, tmp_path, monkeypatch):
    notebook = json.loads((EXAMPLES / "inspect_outliers.ipynb").read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "manifests").symlink_to(cleaned[1] / "manifests")
    names = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"], "stored without outputs"
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    assert names["counts"]["duplicate"] == 3
    assert names["counts"]["corrupt"] == 1
    assert len(names["twice"]) == 1
    assert names["below"][0.5] == len(names["blurry"])
    assert recolor.read_manifest(cleaned[1] / "manifests/measurements.parquet").shape[0] == len(names["measured"])
    assert (tmp_path / "decisions.csv").read_text().startswith("path,decision\n")


@pytest.mark.parametrize("models", ["pretrained", "own"])
@pytest.mark.slow  # the models of the package
def test_a_photograph_is_coloured_in_three_looks_side_by_side(finished, tmp_path, models):
    main = runpy.run_path(str(EXAMPLES / "colorize.py"))["main"]
    out = tmp_path / "looks.png"
    main(str(finished / "old.jpg"), str(out), *([str(finished / "data/models")] if models == "own" else []))
    with Image.open(finished / "old.jpg") as photograph, Image.open(out) as strip:
        assert strip.size == (3 * photograph.width, photograph.height)


@pytest.mark.slow  # trains a network
def test_a_network_of_ones_own_learns_from_the_shards(finished):
    example = runpy.run_path(str(EXAMPLES / "train_on_shards.py"))
    torch.manual_seed(0)
    untrained = example["small_network"]()
    trained = example["main"](str(finished / "data/shards"), "12")
    dataset = recolor.ShardDataset(finished / "data/shards", "train")
    assert example["mean_loss"](trained, dataset) < 0.9 * example["mean_loss"](untrained, dataset)
