"""The flows against a real Prefect server, on real images."""

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, FlowRunFilter, FlowRunFilterId
from prefect.exceptions import ParameterTypeError

from flows.clean import clean
from flows.clean_and_train import clean_and_train
from flows.parameters import Settings
from flows.shard import shard
from recolor.config.settings import Config
from recolor.errors import ConfigError, InputError, MissingStageError, RecolorError, WeightsError
from recolor.manifests.pandas import read_manifest
from recolor.pipeline.cache import Outcome
from recolor.pipeline.remembered import last_uses
from recolor.pipeline.workspace import Workspace

pytestmark = pytest.mark.usefixtures("prefect_server")


def states(flow_run_id):
    """Names and states of a flow run's tasks. The server records them a little later: reads until nothing changes."""
    wanted = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
    before, found = None, {}
    with get_client(sync_client=True) as client:
        while found != before or not found or {"Pending", "Running"} & set(found.values()):
            time.sleep(2)
            runs = client.read_task_runs(flow_run_filter=wanted, limit=200)
            before, found = found, {run.name: run.state.name for run in runs}
    return found


def run_flow(flow, *arguments):
    """The flow's final state, and the states of its tasks as the server has them."""
    state = flow(*arguments, return_state=True)
    return state, states(state.state_details.flow_run_id)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "workspace"


@pytest.mark.slow
def test_clean_and_train_runs_everything_and_then_nothing_again(images, root, tmp_path, tiny):
    outcomes = clean_and_train(images, root, None, Settings(**tiny))
    assert [outcome.stage for outcome in outcomes][:2] == ["clean", "shard"]
    assert all(outcome.built > 0 for outcome in outcomes)
    assert (root / "data" / "evaluation" / "report.html").stat().st_size > 10_000
    before = {
        path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file() and ".recolor" not in path.parts
    }

    again = clean_and_train(images, root, None, Settings(**tiny))
    assert all(outcome.current for outcome in again)
    after = {
        path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file() and ".recolor" not in path.parts
    }
    assert after == before

    state, tasks = run_flow(clean, images, root, None, Settings(**tiny))
    assert state.name == "Cached"
    assert set(tasks.values()) == {"Cached"}
    assert not any(name.startswith("measure ") for name in tasks), "parts that are done must not be submitted"

    changed = Settings(**{**tiny, "blurry": {"threshold": 0.9}})
    state, tasks = run_flow(clean, images, root, None, changed)
    assert state.name == "Completed"
    assert tasks["detect blurry"] == "Completed"
    cached = {name.split("-")[0] for name, ended in tasks.items() if ended == "Cached"}
    assert {"index", "measurements", "detect duplicate", "detect corrupt"} <= cached

    with get_client(sync_client=True) as client:
        keys = {
            "outliers",
            "metrics",
            "report-html",
            "pictures-png",
            "measure-progress",
            "shard-progress",
            "evaluate-progress",
            "clean-parts",
        }
        for key in keys:
            found = client.read_artifacts(
                artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[f"workspace-{key}"]))
            )
            assert found, f"no artifact {key!r}"


@pytest.fixture(scope="module")
def cleaned_once(prefect_server, images, tiny, tmp_path_factory):
    root = tmp_path_factory.mktemp("cleaned") / "workspace"
    clean(images, root, None, Settings(**tiny))
    return root


@pytest.fixture
def cleaned(cleaned_once, root):
    """A copy of the workspace in which the images are cleaned."""
    return shutil.copytree(cleaned_once, root)


@pytest.mark.slow  # runs the flows twice
def test_adding_images_submits_only_what_is_new(images, cleaned, tmp_path, tiny):
    grown = tmp_path / "grown"
    shutil.copytree(images, grown)
    source = next(path for path in sorted(images.rglob("*.jpg")) if path.stat().st_size > 1000)
    for number in range(3):
        shutil.copy(source, grown / f"new {number}.jpg")
    _, tasks = run_flow(clean, grown, cleaned, None, Settings(**tiny))
    parts = [name for name in tasks if name.startswith("measure ")]
    assert len(parts) == 1
    assert parts[0].startswith("measure 3 images")


def test_a_part_that_fails_is_named_and_the_others_are_done(images, cleaned, tmp_path, tiny):
    copied = tmp_path / "copied"
    shutil.copytree(images, copied)
    kept = read_manifest(cleaned / "manifests" / "clean.parquet")["path"]
    victim = copied / kept[0]
    status = victim.stat()
    victim.write_bytes(victim.read_bytes()[:-10])
    os.utime(victim, ns=(status.st_mtime_ns, status.st_mtime_ns))
    with pytest.raises(InputError, match=r"parts failed; finished parts are kept") as caught:
        shard(copied, cleaned, None, Settings(**tiny))
    assert kept[0] in str(caught.value)
    assert list((cleaned / "data" / "shards").glob("*.npy.record.json"))


def test_a_wrong_parameter_is_refused_before_any_work(images, root):
    for wrong in ({"settings": {"blury": {}}}, {"settings": {"blurry": {"threshold": 2}}}, {"preset": "huge"}):
        with pytest.raises(ParameterTypeError):
            clean(images=images, workspace=root, **wrong)
    contradiction = Settings(generator={"train": {"steps": 5, "warmup_steps": 7}})
    with pytest.raises(ConfigError, match="warmup_steps"):
        clean(images, root, "demo", contradiction)
    assert not root.exists()


def test_weights_that_cannot_be_had_stop_the_pipeline_before_it_starts(images, root, tiny):
    generator = {**tiny["generator"], "model": {"encoder_weights": "/nowhere/resnet101.pth"}}
    wanted = Settings(**{**tiny, "generator": generator})
    with pytest.raises(WeightsError, match=r"/nowhere/resnet101\.pth"):
        clean_and_train(images, root, None, wanted)
    assert not (root / "manifests").exists()


def test_a_stage_alone_says_which_stage_it_needs(images, root, tiny):
    root.mkdir()
    with pytest.raises(MissingStageError, match="recolor"):
        shard(images, root, None, Settings(**tiny))


def test_a_stage_alone_makes_no_workspace(images, root, tiny):
    with pytest.raises(InputError, match=f"{root}: there is no such workspace"):
        shard(images, root, None, Settings(**tiny))
    assert not root.exists()


def test_a_setting_that_an_earlier_run_was_given_is_not_given_up_in_silence(root, caplog):
    root.mkdir()
    for settings in (Settings(shard={"max_shard_images": 16}), Settings(), Settings()):
        with pytest.raises(MissingStageError):
            shard(None, root, "quick", settings)
    told = [line for line in caplog.messages if "other settings" in line]
    assert len(told) == 1
    assert told[0].startswith("other settings than in `flow shard` of ")
    assert told[0].endswith(
        "\n  shard.max_shard_images: 1024 now, 16 then"
        "\nThose of then: -p shard.max_shard_images=16. This run goes on with those of now."
    )
    now = last_uses(Workspace(root))["shard"]
    assert (now.command, now.preset, dict(now.without)) == ("flow shard", "quick", {"shard.size_px": 256})


def test_errors_of_the_stages_reach_the_caller_as_they_are(tmp_path, root):
    with pytest.raises(RecolorError, match="no such folder"):
        clean(tmp_path / "none", root)


HOLDER = """
import sys
from pathlib import Path
from recolor.pipeline.workspace import locked, open_workspace
with locked(open_workspace(Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow  # waits for another run
def test_a_run_waits_for_a_workspace_that_another_has_and_says_so_once(images, root, tiny, caplog):
    command = [sys.executable, "-c", HOLDER, str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(copy_context().run, clean, images, root, None, Settings(**tiny))
            while not (told := [line for line in caplog.messages if "waits for it" in line]):
                time.sleep(0.1)
            time.sleep(3)
            assert not waiting.done()
            assert not (root / "manifests").exists()
            holder.stdin.close()
            assert waiting.result().counts["images"] > 0
    assert len([line for line in caplog.messages if "waits for it" in line]) == 1
    assert f"process {holder.pid}" in told[0]


def test_stages_are_chosen_and_a_run_of_none_or_of_an_unknown_one_is_refused(images, cleaned, tiny, monkeypatch):
    root = cleaned
    long = Outcome("clean", 1, 0, {}, 1e6)  # of parts that ran at the same time, all together
    monkeypatch.setattr("flows.clean.combine_outcomes", lambda *_: long)
    [outcome] = clean_and_train(images, root, None, Settings(**tiny), ["clean"])
    assert outcome.stage == "clean"
    assert outcome.seconds_s < long.seconds_s, "the wall time"
    assert not (root / "data").exists()
    for wrong in ([], ["polish"]):
        with pytest.raises(ParameterTypeError):
            clean_and_train(images, root, None, Settings(**tiny), wrong)


def test_the_form_of_settings_has_every_setting_and_changes_none_by_itself():
    assert Settings().model_dump(exclude_none=True) == {}
    assert set(Settings.model_json_schema()["properties"]) == set(Config.__dataclass_fields__)
