import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import deltaE_ciede2000, lab2rgb, rgb2lab

from recolor.config.settings import Config, EvaluateConfig
from recolor.errors import ConfigError, InputError, MissingStageError, WeightsError, WorkspaceBusyError
from recolor.evaluation import evaluate
from recolor.evaluation.metrics import colourfulness
from recolor.manifests.io import read_table
from recolor.manifests.pandas import read_manifest
from recolor.manifests.schemas import METRICS, PER_IMAGE_METRICS
from recolor.pipeline.workspace import open_workspace

OUTPUTS = ("metrics.parquet", "hues.parquet", "per_image.parquet", "pictures.png", "report.html")
NAMES = ("grey", "mean_ab", "generator", "refined", "oracle", "oracle_refined")
CONFIG = Config(evaluate=EvaluateConfig(device="cpu", pictures=3))


@pytest.fixture(scope="module")
def evaluated_once(_written, tmp_path_factory):
    workspace = open_workspace(shutil.copytree(_written.root, tmp_path_factory.mktemp("evaluated") / "workspace"))
    assert not evaluate(workspace, CONFIG).current
    return workspace


@pytest.fixture
def evaluated(evaluated_once, evaluable):
    """The workspace `evaluable` after its evaluation."""
    shutil.copytree(evaluated_once.root, evaluable.root, dirs_exist_ok=True)
    return evaluable


@pytest.fixture
def metrics(evaluated):
    return read_manifest(evaluated.evaluation / "metrics.parquet").set_index("name")


def outputs(workspace):
    return {name: (workspace.evaluation / name).read_bytes() for name in OUTPUTS}


def test_every_model_and_control_has_a_row_over_all_images_of_the_split(evaluable):
    outcome = evaluate(evaluable, CONFIG)
    sets = read_table(METRICS, evaluable.evaluation / "metrics.parquet").to_pandas()
    images = read_table(PER_IMAGE_METRICS, evaluable.evaluation / "per_image.parquet").to_pandas()
    assert outcome.counts == {"images": 6}
    assert list(sets["name"]) == list(NAMES)
    assert set(sets["images"]) == {6}
    assert sets.set_index("name")["model"].to_dict() == {
        name: "models" if name in {"generator", "refined", "oracle_refined"} else "" for name in NAMES
    }
    assert sets.set_index("name")["kind"].to_dict() == {
        name: "model" if name in {"generator", "refined"} else "control" for name in NAMES
    }
    assert len(images) == 6 * len(NAMES)
    assert set(images["path"]) == {"sub/<b>&amp;\nnew.jpg", "c.jpg", "f.jpg", "ü.jpg", "h.jpg", "i.jpg"}


@pytest.mark.parametrize("given", [str, lambda path: path])
@pytest.mark.slow  # evaluations of their own
def test_a_workspace_may_be_given_as_a_path_and_is_locked_meanwhile(evaluable, given):
    assert evaluate(given(evaluable.root), CONFIG).counts == {"images": 6}
    assert evaluate(evaluable, CONFIG).current
    holder = "import sys, pathlib; from recolor.pipeline.workspace import locked, open_workspace\n"
    holder += "with locked(open_workspace(pathlib.Path(sys.argv[1]))): print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", holder, str(evaluable.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(WorkspaceBusyError):
            evaluate(given(evaluable.root), CONFIG)
        process.stdin.close()


def test_the_set_is_the_mean_of_its_images(evaluable, metrics):
    images = read_manifest(evaluable.evaluation / "per_image.parquet").groupby("name").mean(numeric_only=True)
    for column in ("psnr_db", "ssim", "delta_e_2000", "ab_mse", "ab_psnr_db", "ab_distance", "colourfulness"):
        assert metrics[column].to_dict() == pytest.approx(images[column].to_dict())
    assert metrics["delta_cf_image"].to_dict() == pytest.approx(images["delta_cf"].to_dict())
    expected = (images["colourfulness"] - images["truth_colourfulness"]).abs()
    assert metrics["delta_cf_set"].to_dict() == pytest.approx(expected.to_dict())


def test_the_controls_are_what_they_say(metrics):
    assert metrics.loc["grey", "colourfulness"] == pytest.approx(0.0, abs=1.0)
    assert metrics.loc["mean_ab", "ab_mse"] < metrics.loc["grey", "ab_mse"]
    assert metrics.loc["oracle", "ab_mse"] == metrics["ab_mse"].min()
    assert metrics.loc["oracle", "delta_e_2000"] < metrics.loc["mean_ab", "delta_e_2000"]
    assert metrics.loc["generator", "ab_mse"] != metrics.loc["refined", "ab_mse"]


def test_the_grey_control_is_that_of_skimage(evaluable, metrics):
    """Computes the metric from the stored codes with another library."""
    shard = np.load(evaluable.shards / "shard-00000-0.npy")[[1, 2, 5, 6, 7, 8]]
    low, high = np.array([0, -86.2, -107.9]), np.array([100, 98.3, 94.5])
    lab = low + shard.transpose(0, 2, 3, 1) / 255.0 * (high - low)
    truth = (lab2rgb(lab) * 255).round().astype(np.uint8)
    grey = (lab2rgb(lab * [1, 0, 0]) * 255).round().astype(np.uint8)
    expected = np.mean([deltaE_ciede2000(rgb2lab(a), rgb2lab(b)).mean() for a, b in zip(truth, grey, strict=True)])
    assert metrics.loc["grey", "delta_e_2000"] == pytest.approx(expected, abs=0.02)
    assert metrics.loc["grey", "ab_mse"] == pytest.approx(np.mean((lab[..., 1:] / 255) ** 2), rel=1e-4)
    assert metrics.loc["grey", "truth_colourfulness"] == pytest.approx(np.mean([*map(colourfulness, truth)]), abs=0.1)


def test_nothing_is_done_twice(evaluated):
    before = outputs(evaluated)
    assert evaluate(evaluated, CONFIG).current
    assert evaluate(evaluated, replace(CONFIG, evaluate=replace(CONFIG.evaluate, device="auto"))).current
    assert outputs(evaluated) == before


@pytest.mark.slow  # several evaluations
def test_the_same_models_and_shards_give_the_same_bytes(evaluated):
    before = outputs(evaluated)
    for name in OUTPUTS:
        (evaluated.evaluation / name).unlink()
    assert not evaluate(evaluated, CONFIG).current
    assert outputs(evaluated) == before


@pytest.mark.parametrize("name", ["generator", "refiner"])
@pytest.mark.slow  # evaluations of their own
def test_another_model_is_measured_again(evaluated, replace_model, name):
    before = outputs(evaluated)["metrics.parquet"]
    replace_model(evaluated, **{name: 7})
    assert not evaluate(evaluated, CONFIG).current
    assert outputs(evaluated)["metrics.parquet"] != before


def test_the_temperature_is_the_models_own(evaluable, metrics, replace_model):
    replace_model(evaluable, temperature=1.0)
    evaluate(evaluable, CONFIG)
    again = read_manifest(evaluable.evaluation / "metrics.parquet").set_index("name")
    assert again.loc["generator", "colourfulness"] != metrics.loc["generator", "colourfulness"]
    assert again.loc["oracle", "colourfulness"] == metrics.loc["oracle", "colourfulness"]


def test_max_images_takes_the_first(evaluable):
    config = replace(CONFIG, evaluate=replace(CONFIG.evaluate, max_images=2, split="train"))
    assert evaluate(evaluable, config).counts == {"images": 2}
    images = read_manifest(evaluable.evaluation / "per_image.parquet")
    assert list(images["path"].unique()) == ["a.jpg", "e.jpg"]


@pytest.mark.slow  # evaluations of their own
def test_the_grid_has_a_row_for_each_picture(evaluable):
    heights = []
    for pictures in (1, 3, 64):
        evaluate(evaluable, replace(CONFIG, evaluate=replace(CONFIG.evaluate, pictures=pictures)))
        with Image.open(evaluable.evaluation / "pictures.png") as image:
            heights.append(image.height)
    row = (heights[1] - heights[0]) / 2
    assert row > 64
    assert heights[2] - heights[0] == 5 * row


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.sources, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, text):
        self.text.append(text)


def test_the_report_is_self_contained_and_shows_names_as_text(evaluated):
    parser = _Tags()
    parser.feed((evaluated.evaluation / "report.html").read_text(encoding="utf-8"))
    assert all(source.startswith("data:image/") for source in parser.sources)
    assert len(parser.sources) == 4 * (3 + 3 + 3 + 3)
    assert parser.tags.count("svg") == 2  # a loss curve of each network
    assert not {"link", "iframe", "object"} & set(parser.tags)
    assert any(r"sub/<b>&amp;\nnew.jpg" in text for text in parser.text)
    assert "training.train.lr" in parser.text


@pytest.mark.parametrize(
    ("missing", "verb"),
    [
        ("data/shards/index.parquet", "recolor shards build"),
        ("data/models/generator/model.safetensors", "recolor train generator"),
        ("data/models/refiner/model.safetensors", "recolor train refiner"),
    ],
)
def test_a_missing_stage_is_named(evaluable, missing, verb):
    (evaluable.root / missing).unlink()
    with pytest.raises(MissingStageError, match=verb):
        evaluate(evaluable, CONFIG)


def test_an_empty_split_says_what_to_do(without_test_split):
    with pytest.raises(InputError, match=r"select\.test_fraction"):
        evaluate(without_test_split, CONFIG)


def test_damaged_weights_leave_no_output(evaluable):
    (evaluable.models / "refiner" / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(MissingStageError, match=r"changed since it was written. Run `recolor train refiner`"):
        evaluate(evaluable, CONFIG)
    assert not (evaluable.evaluation / "metrics.parquet").exists()


def test_cuda_is_refused_where_there_is_none(evaluable):
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(ConfigError, match="cuda"):
        evaluate(evaluable, replace(CONFIG, evaluate=replace(CONFIG.evaluate, device="cuda")))


def test_every_metric_lies_in_its_interval(metrics):
    for column in ("psnr_db", "ssim", "delta_e_2000", "ab_mse", "ab_psnr_db_set", "colourfulness", "delta_cf_image"):
        assert (metrics[f"{column}_low"] <= metrics[column]).all()
        assert (metrics[column] <= metrics[f"{column}_high"]).all()
    assert (metrics["psnr_db_low"] < metrics["psnr_db_high"]).all()
    assert metrics["lpips"].isna().all()
    assert metrics["fid_low"].isna().all()


def test_weights_of_a_metric_that_are_missing_are_named_before_anything_is_coloured(evaluable, monkeypatch):
    monkeypatch.setattr("recolor.evaluation.run.measure", lambda *_: pytest.fail("it was begun"))
    settings = replace(CONFIG.evaluate, lpips_weights=str(evaluable.root / "none.pth"))
    with pytest.raises(WeightsError, match=r"lpips_weights = '.*none.pth': there is no such file.*alexnet-owt"):
        evaluate(evaluable, replace(CONFIG, evaluate=settings))


@pytest.mark.slow  # several evaluations
def test_where_a_metrics_weights_lie_is_no_part_of_the_key_but_what_they_are_is(evaluable, alexnet_file):
    def with_weights(path):
        return replace(CONFIG, evaluate=replace(CONFIG.evaluate, lpips_weights=str(path)))

    elsewhere = evaluable.root / "copy.pth"
    elsewhere.write_bytes(alexnet_file.read_bytes())
    assert not evaluate(evaluable, with_weights(alexnet_file)).current
    assert evaluate(evaluable, with_weights(elsewhere)).current
    lpips = read_manifest(evaluable.evaluation / "metrics.parquet").set_index("name")["lpips"]
    assert lpips["oracle"] < lpips["grey"]
    assert not evaluate(evaluable, CONFIG).current
