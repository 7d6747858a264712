"""What a workspace holds, what of it is up to date, and why not: as the next run finds it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from recolor.cleaning.detect import ISSUES
from recolor.config.loading import load_config
from recolor.demo import render_landscape
from recolor.evaluation.part import evaluation_part
from recolor.pipeline.cache import RECORD_SUFFIX, record_path, run_part
from recolor.pipeline.workspace import Workspace, remember_images
from recolor.shards.format import index_path
from recolor.stages import CLEANING, STAGES, run_each
from recolor.status import next_command, workspace_status
from recolor.training.parts import checkpoint_folder, generator_part, refiner_part

IMAGES = 12
WORDS = [
    "skewed.enabled=false",
    "blurry.enabled=false",
    "select.val_fraction=0.3",
    "select.test_fraction=0.3",
    "shard.size_px=64",
    "shard.max_shard_images=16",
    *(f"{model}.train.crop_px=64" for model in ("generator", "refiner")),
    *(f"{model}.model.encoder_weights=none" for model in ("generator", "refiner")),
    "execution.workers=1",
]


def config(*words):
    return load_config("quick", None, [*WORDS, *words])


def fake(part):
    """Finishes a part without its work."""

    def build(staging):
        for output in part.outputs:
            (staging / output.name).write_bytes(part.key.encode())
        return {"steps": 3}

    run_part(part, build)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Photographs, and a workspace in which every stage has ended; the trainings are not real ones."""
    folder = tmp_path_factory.mktemp("status")
    (folder / "images").mkdir()
    for seed in range(IMAGES):
        Image.fromarray(render_landscape(seed, 280, 260)).save(folder / "images" / f"{seed:02}.jpg")
    workspace = Workspace(folder / "space")
    workspace.staging.mkdir(parents=True)
    stages = [name for name in STAGES if name in {*CLEANING, "shard"}]
    for _ in run_each(stages, workspace, folder / "images", config()):
        pass
    for part_of in (generator_part, refiner_part, evaluation_part):
        fake(part_of(workspace, config()))
    return folder


@pytest.fixture
def place(finished, tmp_path):
    """A copy of both, for a test to change; the folder of the photographs is remembered."""
    copy = Path(shutil.copytree(finished, tmp_path / "copy"))
    remember_images(Workspace(copy / "space"), copy / "images")
    return copy


def look(place, *words, stages=None, **options):
    """The stages that are not current: state and reasons."""
    found = workspace_status(Workspace(place / "space"), None, config(*words), stages, **options)
    return {each.stage: (each.state, *each.reasons) for each in found if each.state != "current"}


def after(stage):
    return f"after {stage}, if that has another result"


def then_all_after(changed):
    """The stages after one are stale because of it, each because of the one before."""
    names = list(STAGES)
    return {name: ("stale", after(names[at - 1])) for at, name in enumerate(names) if at > names.index(changed)}


def test_a_finished_workspace_is_current_with_counts_times_and_nothing_to_run(place):
    found = workspace_status(Workspace(place / "space"), None, config())
    assert [(each.stage, each.state, each.reasons) for each in found] == [(name, "current", ()) for name in STAGES]
    by_name = {each.stage: each for each in found}
    assert by_name["index"].counts == {"images": IMAGES, "other_files": 0}
    assert set(by_name["detect"].counts) == set(ISSUES)
    assert by_name["measure"].progress.done == IMAGES
    assert all(each.seconds_s >= 0 and each.finished is not None for each in found)
    assert next_command(found) == ""


def test_an_empty_workspace_misses_every_stage_and_nothing_is_made(tmp_path):
    found = workspace_status(Workspace(tmp_path / "none"), tmp_path, config())
    assert {each.state for each in found} == {"missing"}
    assert next_command(found) == "recolor clean"
    assert list(tmp_path.iterdir()) == []


def test_looking_changes_nothing(place):
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    look(place, "blurry.threshold=0.9", "shard.dtype=float16", "measure.max_pixels=1000000")
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before


@pytest.mark.parametrize(
    ("stage", "word", "reason"),
    [
        ("index", "index.suffixes=['.jpg']", "index.suffixes: "),
        ("measure", "measure.max_decode_s=5.0", "measure.max_decode_s: 5.0 now, 120.0 then"),
        ("detect", "exposure.threshold=0.3", "exposure.threshold: 0.3 now, 0.5 then"),
        ("select", "select.seed=7", "select.seed: 7 now, 0 then"),
        ("shard", "shard.dtype=float16", 'shard.dtype: "float16" now, "uint8" then'),
        ("train-generator", "generator.train.lr=0.5", "generator.train.lr: 0.5 now, 0.001 then"),
        ("train-refiner", "refiner.model.width=16", "refiner.model.width: 16 now, 32 then"),
        ("evaluate", "evaluate.pictures=3", "evaluate.pictures: 3 now, 12 then"),
    ],
)
def test_the_setting_that_changed_is_named_and_later_stages_follow_it(place, stage, word, reason):
    found = look(place, word)
    state, first = found.pop(stage)
    assert (state, first[: len(reason)]) == ("stale", reason)
    assert found == then_all_after(stage)


def test_settings_that_are_in_no_key_make_nothing_stale(place):
    assert look(place, "generator.train.device=cpu", "generator.train.checkpoint_steps=9", "execution.workers=3") == {}


def test_new_changed_and_removed_photographs_are_counted(place):
    images = place / "images"
    shutil.copy(images / "01.jpg", images / "new.jpg")
    os.utime(images / "02.jpg", ns=(7, 7))
    (images / "03.jpg").unlink()
    found = look(place)
    assert found.pop("index") == ("stale", "images: 1 new, 1 changed, 1 removed")
    assert found == then_all_after("index")


def test_photographs_that_are_not_there_leave_the_later_stages_as_they_are(place):
    shutil.rmtree(place / "images")
    found = workspace_status(Workspace(place / "space"), None, config())
    assert {each.state for each in found} == {"current"}
    assert "there is no such folder" in found[0].reasons[0]


def test_decisions_that_changed_are_named(place):
    (place / "space" / "manifests" / "decisions.csv").write_text("00.jpg,reject\n")
    assert look(place)["select"] == ("stale", "decisions.csv has changed")


def test_a_run_of_one_stage_is_not_after_the_others(place):
    assert look(place, "exposure.threshold=0.3", stages=["select"]) == {}
    assert set(look(place, "exposure.threshold=0.3", stages=["detect", "select"])) == {"detect", "select"}
    assert look(place, "exposure.threshold=0.3", stages=["detect"], issues=("blurry",)) == {}


def test_a_file_that_is_damaged_or_gone_is_named(place):
    workspace = Workspace(place / "space")
    workspace.manifest("skewed").unlink()
    index = workspace.manifest("index")
    index.write_bytes(index.read_bytes()[:100])
    found = look(place)
    assert found["index"] == ("stale", "missing or changed since it was written: index.parquet")
    assert found["detect"][:2] == ("stale", "missing or changed since it was written: skewed.parquet")


def test_an_earlier_stage_that_is_missing_is_said_where_it_is_not_run(place):
    shutil.rmtree(Workspace(place / "space").shards)
    found = look(place)
    assert found["shard"] == ("missing",)
    assert found["train-generator"] == ("stale", after("shard"))
    state, reason = look(place, stages=["train-generator"])["train-generator"]
    assert state == "stale"
    assert reason.startswith("not possible: ")
    assert "Run `recolor shards build`" in reason


def test_parts_that_a_killed_run_left_are_progress(place):
    workspace = Workspace(place / "space")
    for output in (workspace.manifest("blurry"), index_path(workspace)):
        record_path(output).unlink()
    found = {each.stage: each for each in workspace_status(workspace, None, config())}
    assert (found["detect"].state, found["detect"].reasons) == ("partly done", ("not yet: blurry",))
    assert (found["detect"].progress.done, found["detect"].progress.total) == (8, 9)
    assert (found["shard"].state, found["shard"].progress.unit) == ("partly done", "shards")
    record_path(workspace.manifest("measurements")).unlink()
    measured = workspace_status(workspace, None, config(), ["measure"])[0]
    assert (measured.state, measured.progress.done, measured.progress.unit) == ("partly done", IMAGES, "images")


def test_a_training_that_was_interrupted_shows_its_steps(place):
    workspace, now = Workspace(place / "space"), config("generator.train.lr=0.5")
    folder = checkpoint_folder(generator_part(workspace, now), now)
    folder.mkdir(parents=True)
    for step in (100, 200):
        (folder / f"step-{step:08}-{'0' * 16}.pt").touch()
    found = {each.stage: each for each in workspace_status(workspace, None, now)}["train-generator"]
    assert found.state == "partly done"
    assert (found.progress.done, found.progress.total, found.progress.unit) == (200, 2400, "steps")


def test_an_evaluation_without_images_is_not_what_comes_next(place):
    workspace = Workspace(place / "space")
    file = record_path(index_path(workspace))
    record = json.loads(file.read_text())
    record["counts"]["test"] = 0
    file.write_text(json.dumps(record))
    record_path(workspace.evaluation / "metrics.parquet").unlink()
    found = workspace_status(workspace, None, config())
    assert found[-1].reasons == ("not possible: no kept image is in the split 'test'",)
    assert next_command(found) == ""


def test_records_of_earlier_versions_stay_current_and_a_changed_setting_is_said_without_its_name(place):
    for path in (place / "space").rglob(f"*{RECORD_SUFFIX}"):
        record = json.loads(path.read_text())
        del record["settings"]
        path.write_text(json.dumps(record))
    assert look(place) == {}
    assert look(place, "evaluate.pictures=3") == {
        "evaluate": ("stale", "another setting; which one is not in its record, which an earlier version wrote")
    }


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["exposure.threshold=0.3"], "recolor clean"),
        (["select.seed=7"], "recolor select"),
        (["shard.dtype=float16"], "recolor shards build"),
        (["refiner.train.lr=0.5"], "recolor train refiner"),
    ],
)
def test_the_next_command_is_that_of_the_first_stage_that_is_not_current(place, words, command):
    assert next_command(workspace_status(Workspace(place / "space"), None, config(*words))) == command


def test_a_status_loads_no_torch(place):
    code = f"""
import sys
from pathlib import Path
from recolor.config.settings import Config
from recolor.pipeline.workspace import Workspace
from recolor.status import workspace_status
found = workspace_status(Workspace(Path({str(place / "space")!r})), None, Config())
print(len(found), "torch" in sys.modules)"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"8 False\n"
