"""A training by two processes, as the one task of a flow."""

import pytest

from flows.parameters import Settings
from flows.train import train_generator
from recolor.config.loading import overlay
from recolor.config.settings import Config
from recolor.errors import ConfigError
from recolor.pipeline.workspace import open_workspace
from recolor.stages import CLEANING, run_each

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.timeout(300)]


def _with_devices(tiny, devices):
    generator = tiny["generator"]
    return {**tiny, "generator": {**generator, "train": {**generator["train"], "devices": devices}}}


@pytest.mark.slow
def test_one_task_trains_in_two_processes(images, tmp_path, tiny):
    settings = _with_devices(tiny, 2)
    workspace = open_workspace(tmp_path / "workspace")
    list(run_each([*CLEANING, "shard"], workspace, images, overlay(Config(), settings)))

    state = train_generator(images, workspace.root, None, Settings(**settings), return_state=True)
    assert state.is_completed()
    assert state.result().counts["steps"] == 4
    assert (workspace.models / "generator" / "model.safetensors").stat().st_size > 0

    again = train_generator(images, workspace.root, None, Settings(**settings), return_state=True)
    assert again.name == "Cached"


def test_a_batch_that_cannot_be_shared_is_refused_before_any_work(images, tmp_path, tiny):
    with pytest.raises(ConfigError, match="multiples of 3"):
        train_generator(images, tmp_path / "workspace", None, Settings(**_with_devices(tiny, 3)))
    assert not (tmp_path / "workspace").exists()
