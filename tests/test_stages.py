"""The stages one after the other, on real files: what is redone after a change, and what they withstand."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from recolor.config.loading import load_config
from recolor.config.settings import Config
from recolor.demo import render_landscape
from recolor.errors import ConfigError, InputError, MissingStageError, WeightsError
from recolor.manifests.pandas import read_manifest
from recolor.pipeline.cache import Outcome
from recolor.pipeline.workspace import Workspace, open_workspace
from recolor.stages import CLEANING, STAGES, check_can_train, detect_issues, run_each, run_stages

TRAINING = {
    "steps": 4,
    "batch_images": 8,
    "warmup_steps": 1,
    "checkpoint_steps": 2,
    "validate_steps": 2,
    "crop_px": 64,
    "device": "cpu",
}
MODEL = {"model.encoder_weights": "none", "model.width": 8, "model.blocks": 1}
SMALL = [
    "execution.part_images=16",
    "select.val_fraction=0.2",
    "select.test_fraction=0.2",
    "shard.size_px=64",
    "shard.max_shard_images=16",
    "generator.model.encoder_depth=1",
    "evaluate.pictures=2",
    "evaluate.device=cpu",
    *(
        f"{model}.{name}={value}"
        for model in ("generator", "refiner")
        for name, value in {**MODEL, **{f"train.{name}": value for name, value in TRAINING.items()}}.items()
    ),
]


def settings(*words):
    return load_config("demo", None, [*SMALL, *words])


def run(stages, workspace, images, *words):
    """What each stage did, by name."""
    return dict(zip(stages, run_each(stages, workspace, images, settings(*words)), strict=True))


@pytest.fixture
def images(demo_images, tmp_path):
    """A copy of the images, for a test to change."""
    return Path(shutil.copytree(demo_images, tmp_path / "images"))


@pytest.fixture(scope="module")
def finished(demo_images, tmp_path_factory):
    """`finished(stage)`: a workspace in which the stages up to that one have run; each is run once."""
    folder = tmp_path_factory.mktemp("finished")
    now, made = open_workspace(folder / "now"), {}

    def up_to(last):
        for stage in list(STAGES)[len(made) : list(STAGES).index(last) + 1]:
            assert run([stage], now, demo_images)[stage].built
            made[stage] = shutil.copytree(now.root, folder / stage)
        return made[last]

    return up_to


@pytest.fixture
def after(finished, tmp_path):
    """`after(stage)`: a workspace in which the stages up to that one have run, for a test to change."""
    return lambda stage: Workspace(Path(shutil.copytree(finished(stage), tmp_path / "workspace")))


def landscape(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(render_landscape(seed, 320, 256)).save(path, quality=92)
    return path


def measured(outcomes):
    return outcomes["measure"].counts["measured"]


def test_a_second_run_does_nothing(after, demo_images):
    workspace = after("evaluate")
    before = {path: path.stat().st_mtime_ns for path in workspace.root.rglob("*") if path.is_file()}
    second = run(STAGES, workspace, demo_images)
    assert [name for name, outcome in second.items() if not outcome.current] == []
    assert {path: path.stat().st_mtime_ns for path in workspace.root.rglob("*") if path.is_file()} == before


def test_another_threshold_measures_nothing_and_judges_one_issue_again(after, demo_images):
    outcomes = run(CLEANING, after("select"), demo_images, "blurry.threshold=0.9")
    assert outcomes["index"].current
    assert outcomes["measure"].current
    assert measured(outcomes) == 0
    assert outcomes["detect"].built == 1
    assert outcomes["select"].built == 1


def test_seconds_are_wall_time_though_parts_ran_at_the_same_time(workspace, monkeypatch):
    slow = Outcome("detect", 1, 0, {"images": 1, "outliers": 0}, 1e6)
    monkeypatch.setattr("recolor.stages.detect_issue", lambda *_: slow)
    assert detect_issues(workspace, ["blurry", "skewed"], Config()).seconds_s < slow.seconds_s


def test_another_training_option_writes_no_shard(after, demo_images):
    stages = [*CLEANING, "shard", "train-generator"]
    outcomes = run(stages, after("train-generator"), demo_images, "generator.train.lr=0.0005")
    assert [name for name, outcome in outcomes.items() if outcome.built] == ["train-generator"]


def test_a_refiner_option_trains_no_generator(after, demo_images):
    stages = [*CLEANING, "shard", "train-generator", "train-refiner"]
    outcomes = run(stages, after("train-refiner"), demo_images, "refiner.train.lr=0.0005")
    assert [name for name, outcome in outcomes.items() if outcome.built] == ["train-refiner"]


def test_three_new_images_measure_three_and_a_removed_one_drops_its_row(after, images):
    workspace = after("select")
    total = len(read_manifest(workspace.manifest("measurements")))
    new = [landscape(images / f"new {seed}.jpg", seed) for seed in (901, 902, 903)]
    outcomes = run(CLEANING, workspace, images)
    assert measured(outcomes) == 3
    assert outcomes["measure"].counts["images"] == total + 3
    new[1].unlink()
    outcomes = run(CLEANING, workspace, images)
    assert measured(outcomes) == 0
    paths = set(read_manifest(workspace.manifest("measurements"))["path"])
    assert len(paths) == total + 2
    assert "new 902.jpg" not in paths


def test_touching_a_file_measures_that_file_again(after, images):
    workspace = after("select")
    before = read_manifest(workspace.manifest("measurements"))
    os.utime(images / before["path"][3], ns=(7, 7))
    assert measured(run(CLEANING, workspace, images)) == 1
    after_it = read_manifest(workspace.manifest("measurements"))
    assert after_it["mtime_ns"][3] == 7
    assert after_it.drop(columns="mtime_ns").equals(before.drop(columns="mtime_ns"))


@pytest.mark.parametrize("harm", ["delete", "cut", "overwrite"])
@pytest.mark.parametrize(
    "victim",
    [
        "manifests/index.parquet",
        "manifests/measurements.parquet",
        "manifests/blurry.parquet",
        "manifests/clean.parquet",
        "manifests/outliers.parquet",
        "manifests/scores.parquet",
        "data/shards/index.parquet",
        "data/shards/shard-*.npy",
        "manifests/parts/*.parquet",
    ],
)
def test_a_deleted_or_damaged_output_is_rebuilt_alone(after, demo_images, victim, harm):
    workspace = after("shard")
    path = sorted(workspace.root.glob(victim))[0]
    others = {other: other.stat().st_mtime_ns for other in workspace.root.rglob("*.npy") if other != path}
    data = path.read_bytes()
    match harm:
        case "delete":
            path.unlink()
        case "cut":
            path.write_bytes(data[: len(data) // 2])
        case "overwrite":
            path.write_bytes(bytes(len(data)))
    outcomes = run([*CLEANING, "shard"], workspace, demo_images)
    assert path.read_bytes() == data
    assert sum(outcome.built for outcome in outcomes.values()) == 1
    assert measured(outcomes) <= 16, "no more than the damaged part is measured again"
    assert {other: other.stat().st_mtime_ns for other in others} == others


def test_a_folder_of_corrupt_images_says_so(tmp_path, workspace):
    rng = np.random.default_rng(5)
    for number in range(8):
        path = tmp_path / "images" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(rng.bytes(500 * number))
    with pytest.raises(InputError, match=r"(?s)corrupt.*8"):
        run(CLEANING, workspace, tmp_path / "images")
    reasons = read_manifest(workspace.manifest("measurements"))["reason"]
    assert reasons[0] == "empty"
    assert set(reasons[1:]) == {"not_an_image"}
    assert len(read_manifest(workspace.manifest("corrupt"))) == 8


@pytest.mark.slow  # trains
def test_fewer_images_than_a_batch_still_train(tmp_path, workspace):
    for seed in range(7):
        landscape(tmp_path / "images" / f"{seed}.jpg", seed)
    words = ["generator.train.batch_images=32", "skewed.enabled=false", "blurry.enabled=false"]
    outcomes = run(STAGES, workspace, tmp_path / "images", *words, "evaluate.split=val")
    assert outcomes["select"].counts["kept"] == 7
    assert outcomes["train-generator"].counts["images"] < 8
    assert (workspace.evaluation / "report.html").is_file()


@pytest.mark.slow  # trains both models
def test_an_empty_split_is_said_before_the_training_and_costs_the_evaluation_alone(tmp_path, workspace, caplog):
    for seed in range(3):
        landscape(tmp_path / "images" / f"{seed}.jpg", seed)
    config = settings("skewed.enabled=false", "blurry.enabled=false", "select.test_fraction=0.0001")
    outcomes = run_each(STAGES, workspace, tmp_path / "images", config)
    done, warned = [], []
    for outcome in outcomes:
        done.append(outcome.stage)
        warned.append(any("trained but not evaluated" in record.getMessage() for record in caplog.records))
    assert done == [name for name in STAGES if name != "evaluate"]
    assert warned[done.index("train-generator")]
    assert not warned[done.index("shard")]
    assert [record.getMessage() for record in caplog.records if "split 'test'" in record.getMessage()] == [
        f"{workspace.root}: none of the 3 kept images is in the split 'test', so the models are trained but not"
        " evaluated. A split of 0.01% needs about 29956 photographs: add some, or raise select.test_fraction."
    ]
    with pytest.raises(InputError, match="test"):
        list(run_each(["evaluate"], workspace, None, config))


def test_an_empty_train_split_is_refused_before_the_training(tmp_path, workspace):
    landscape(tmp_path / "images" / "0.jpg", 0)
    words = ["skewed.enabled=false", "blurry.enabled=false", "select.val_fraction=0.499", "select.test_fraction=0.499"]
    config = settings(*words)
    with pytest.raises(InputError, match=r"none of the 1 kept images is in the train split.*Add photographs"):
        list(run_each(STAGES, workspace, tmp_path / "images", config))
    assert not (workspace.models / "generator").exists()


def test_stages_that_read_no_photographs_need_none(after, demo_images):
    workspace = after("evaluate")
    words = ["blurry.threshold=0.45", "select.val_fraction=0.2"]
    assert run(["detect", "select"], workspace, None, *words)["detect"].built == 1
    for name in ("detect", "select", "shard", "train-generator", "train-refiner", "evaluate"):
        assert run([name], workspace, None)[name].stage == name
    with pytest.raises(InputError, match=r"no folder has been indexed here yet.*--images"):
        run(["measure"], workspace, None)


@pytest.mark.slow  # trains
def test_a_workspace_of_manifests_alone_is_judged_and_one_of_shards_alone_is_trained(demo_images, tmp_path):
    whole = open_workspace(tmp_path / "whole")
    run([*CLEANING, "shard"], whole, demo_images)
    judged, trained = tmp_path / "judged", tmp_path / "trained"
    shutil.copytree(whole.manifests, judged / "manifests")
    shutil.copytree(whole.shards, trained / "data" / "shards")
    assert [done.stage for done in run_stages(None, judged, settings(), ["detect", "select"])] == ["detect", "select"]
    stages = ["train-generator", "train-refiner", "evaluate"]
    assert [done.built for done in run_stages(None, trained, settings(), stages)] == [1, 1, 1]
    assert (trained / "data" / "evaluation" / "report.html").is_file()
    assert not (judged / "data").exists()


def test_models_of_other_shards_are_not_evaluated(after, demo_images):
    workspace = after("train-refiner")
    run(["select", "shard"], workspace, demo_images, "select.seed=1")
    with pytest.raises(
        MissingStageError, match=r"not trained with the present shards. Run `recolor train generator` first"
    ):
        run(["evaluate"], workspace, demo_images, "select.seed=1")


def test_odd_names_go_through_to_the_shards(tmp_path, workspace):
    names = ["with space.jpg", "日本 🌄/ünï.jpg", "new\nline.jpg", "<b>&amp;.jpg", "'\";--.jpg", "-x.jpg", "%2e%2e.jpg"]
    for seed, name in enumerate(names):
        landscape(tmp_path / "images" / name, seed)
    words = ["skewed.enabled=false", "blurry.enabled=false"]
    run([*CLEANING, "shard"], workspace, tmp_path / "images", *words)
    assert sorted(read_manifest(workspace.manifest("clean"))["path"]) == sorted(names)
    assert sorted(read_manifest(workspace.shards / "index.parquet")["path"]) == sorted(names)


def test_names_that_are_not_utf8_are_read_and_sharded(tmp_path, workspace):
    for seed in range(4):
        landscape(tmp_path / "images" / f"{seed}.jpg", seed)
    (tmp_path / "images/0.jpg").rename(tmp_path / "images" / os.fsdecode(b"caf\xe9.jpg"))
    (tmp_path / "images/1.jpg").rename(tmp_path / "images" / "caf\\xe9.jpg")
    run([*CLEANING, "shard"], workspace, tmp_path / "images", "skewed.enabled=false", "blurry.enabled=false")
    assert len(read_manifest(workspace.manifest("corrupt"))) == 0
    names = ["2.jpg", "3.jpg", "caf\\x5cxe9.jpg", "caf\\xe9.jpg"]
    assert sorted(read_manifest(workspace.shards / "index.parquet")["path"]) == names


def test_a_workspace_and_images_whose_folders_are_not_utf8_can_be_used(tmp_path):
    odd = tmp_path / os.fsdecode(b"b\xe9d")
    for seed in range(4):
        landscape(odd / "images" / f"{seed}.jpg", seed)
    workspace = open_workspace(odd / "space")
    run([*CLEANING, "shard"], workspace, odd / "images", "skewed.enabled=false", "blurry.enabled=false")
    assert read_manifest(workspace.shards / "index.parquet", ["path"], [("path", "!=", "1.jpg")])["path"].nunique() == 3


def test_a_second_run_on_one_workspace_says_that_it_is_busy(demo_images, workspace):
    code = (
        "import sys, time; from pathlib import Path; from recolor.pipeline.workspace import locked, open_workspace\n"
        "with locked(open_workspace(Path(sys.argv[1]))):\n    print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(workspace.root)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        command = [sys.executable, "-m", "recolor", "clean", "--images", str(demo_images), "--workspace"]
        second = subprocess.run([*command, str(workspace.root)], capture_output=True, text=True, check=False)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    assert second.returncode == 1
    assert f"another run is using this workspace (process {holder.pid}" in second.stderr
    assert not workspace.manifest("index").exists()


def test_a_cuda_device_that_is_not_there_is_refused_before_any_work(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="no CUDA device"):
        check_can_train(STAGES, settings("generator.train.device=cuda"))
    check_can_train(CLEANING, settings("generator.train.device=cuda"))


@pytest.mark.parametrize("model", ["generator", "refiner"])
def test_a_start_that_is_not_there_is_refused_before_any_work(model, tmp_path):
    check_can_train(STAGES, settings())
    started = settings(f"{model}.start_from={tmp_path}")
    with pytest.raises(WeightsError, match=rf"{model}\.start_from.*there is no"):
        check_can_train(STAGES, started)
    check_can_train(CLEANING, started)


def test_a_teacher_that_is_not_there_is_refused_before_any_work(tmp_path):
    taught = settings(f'generator.teachers=["{tmp_path}"]')
    with pytest.raises(WeightsError, match=r"generator\.teachers.*there is no"):
        check_can_train(STAGES, taught)
    check_can_train(CLEANING, taught)


def test_cleaning_loads_no_torch():
    code = "import sys, recolor.stages; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"False\n"
