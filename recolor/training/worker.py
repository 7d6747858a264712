"""Entry point of a worker process: one of several processes that train a model together.

`recolor train generator --set generator.train.devices=2` starts the workers on this machine, as does the Prefect flow.
They can also be started directly:

    torchrun --standalone --nproc-per-node 2 -m recolor.training.worker generator WORKSPACE [KEY=VALUE ...]

The settings are those of the workspace's recolor.toml, overridden by the KEY=VALUE arguments; torchrun sets the world
size. Rank 0 locks the workspace, and writes checkpoints and model; a finished training is not repeated. A torchrun that
is started directly opens its store on all network addresses of the machine, whereas Recolor uses the loopback
interface only.
"""

import json
import logging
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from recolor.config.loading import load_config, overlay
from recolor.config.settings import Config
from recolor.errors import ConfigError, RecolorError
from recolor.models.runs import promote
from recolor.pipeline.cache import current_record, run_part
from recolor.pipeline.progress import log_to_stderr
from recolor.pipeline.storage import storage_errors
from recolor.pipeline.torchrun import end_with_parent
from recolor.pipeline.workspace import Workspace, locked, open_workspace
from recolor.training.distributed import (
    COUNTS_FILE,
    TrainingStage,
    is_main_process,
    keep_training,
    kept_run,
    process_group,
    read_job,
    report_errors,
)
from recolor.training.generator import GENERATOR
from recolor.training.refiner import REFINER

STAGES: dict[str, TrainingStage] = {stage.name: stage for stage in (GENERATOR, REFINER)}


def run_job(folder: Path) -> None:
    """Runs this process's part of the job in a folder.

    The parent process holds the workspace's lock and publishes the outputs.
    """
    rank = int(os.environ["RANK"])
    with report_errors(folder, rank):
        job = read_job(folder)
        log_to_stderr(job.log_level if rank == 0 else logging.ERROR)
        stage, workspace = STAGES[job.stage], Workspace(Path(job.workspace))
        with storage_errors(workspace.models), process_group(stage.settings(job.config).train, folder / "store"):
            counts = stage.build(stage.part(workspace, job.config), job.config, folder)
            if is_main_process():
                (folder / COUNTS_FILE).write_text(json.dumps(counts))


def run_directly(name: str, root: Path, overrides: Sequence[str]) -> None:
    """Runs this process's part of a training whose workers were started with torchrun directly.

    Args:
        name: `generator` or `refiner`.
        root: Root of the workspace.
        overrides: Settings as KEY=VALUE.

    Raises:
        ConfigError: There is no such model, or a setting is not allowed.
        RecolorError: The training failed.
    """
    if name not in STAGES:
        raise ConfigError(f"{name!r}: there is no such model to train. Allowed: {', '.join(STAGES)}.")
    stage, workspace = STAGES[name], open_workspace(root)
    config = _settings(workspace, name, overrides)
    with process_group(stage.settings(config).train):
        part = stage.part(workspace, config)
        kept = kept_run(stage, part)  # the same in all processes: runs are not deleted
        if is_main_process():
            with locked(workspace):
                if kept is not None:
                    promote(workspace, kept)
                keep = partial(keep_training, stage, workspace)
                run_part(part, lambda staging: stage.build(part, config, staging), keep)
        elif kept is None and current_record(part) is None:
            stage.build(part, config, workspace.staging)  # only rank 0 writes


def main(arguments: Sequence[str]) -> None:
    """Runs the job in the folder (one argument), or a training that was started directly."""
    if len(arguments) == 1:
        end_with_parent()
        run_job(Path(arguments[0]))
        return
    try:
        name, root, *overrides = arguments
        run_directly(name, Path(root), overrides)
    except RecolorError as error:
        sys.exit(f"recolor: {error}")


def _settings(workspace: Workspace, name: str, overrides: Sequence[str]) -> Config:
    own = workspace.settings_file
    config = load_config(None, own if own.is_file() else None, overrides)
    return overlay(config, {name: {"train": {"devices": int(os.environ["WORLD_SIZE"])}}})


if __name__ == "__main__":
    main(sys.argv[1:])
