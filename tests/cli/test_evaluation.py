from dataclasses import dataclass

import pytest
from click.testing import CliRunner

from recolor.cli.main import cli
from recolor.manifests.pandas import read_manifest
from recolor.pipeline.workspace import remember_images


@dataclass
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture
def evaluate():
    def run(*words):
        result = CliRunner().invoke(cli, ["evaluate", *map(str, words), "--set", "evaluate.device=cpu"])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run


def test_the_workspaces_evaluation_prints_its_table_and_report_also_when_it_is_cached(evaluate, evaluable, tmp_path):
    remember_images(evaluable, tmp_path)
    where = ("--workspace", evaluable.root)
    first, again = evaluate(*where), evaluate(*where)
    assert first.code == again.code == 0
    assert "cached" not in first.out
    assert "cached" in again.out
    for ran in (first, again):
        assert "6 photographs" in ran.out
        assert "grey *" in ran.out
        assert "models: refined" in ran.out
        assert str(evaluable.evaluation / "report.html") in ran.out.splitlines()
        assert ran.out.splitlines()[-2] == f"Next: recolor colorize PHOTOS OUT --model {evaluable.models}"
        assert max(map(len, ran.out.splitlines()[:-4])) <= 80


def test_the_split_and_the_number_of_images_are_settings_of_the_stage(evaluate, evaluable, tmp_path):
    remember_images(evaluable, tmp_path)
    assert evaluate("--workspace", evaluable.root, "--split", "train", "--max-images", 1).code == 0
    assert read_manifest(evaluable.evaluation / "per_image.parquet")["path"].unique().tolist() == ["a.jpg"]


@pytest.mark.slow  # a whole evaluation
def test_photographs_are_measured_and_those_left_out_named(evaluate, photographs, make_models, tmp_path):
    (photographs / "broken.jpg").write_bytes(b"broken")
    words = ("--model", make_models("one"), "--model", make_models("two", 1), "--control", make_models("l1", 2))
    ran = evaluate("photos", photographs, *words, "--out", tmp_path / "out", "--size-px", 64)
    assert ran.code == 0
    assert "not measured: 'broken.jpg': not_an_image" in ran.err
    assert "4 photographs of" in ran.out
    assert "l1: saturated *" in ran.out
    assert "better" in ran.out
    assert ran.out.rstrip().endswith(str(tmp_path / "out" / "report.html"))


def test_any_model_is_measured_on_a_split(evaluate, evaluable, make_models, tmp_path):
    where = ("--workspace", evaluable.root, "--split", "val", "--out", tmp_path / "out")
    ran = evaluate("models", make_models("other"), *where)
    assert ran.code == 0
    assert "1 photograph of the val split" in ran.out
    assert "cannot know whether this model was trained on these images" in ran.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["photos", "x"], "'--out'"),
        (["models", "x"], "'--out'"),
        (["models", "--control", "x"], "'--out'"),
        (["photos", "x", "--out", "y", "--split", "val"], "No such option '--split'"),
        (["--size-px", "64"], "No such option '--size-px'"),
        (["models", "x", "--out", "y", "--size-px", "64"], "No such option '--size-px'"),
        (["--split", "all"], "all"),
        (["--split", "val", "suggest"], "Give the options after the command: `recolor evaluate suggest [OPTIONS]`."),
    ],
)
def test_options_that_make_no_sense_together_are_refused(evaluate, words, told):
    ran = evaluate(*words)
    assert ran.code == 2
    assert told in ran.err
