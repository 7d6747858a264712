"""One of the processes that train a model together.

`recolor train generator --set generator.train.devices=2` starts them on its machine, and the Prefect flow does the
same. By hand, torchrun does:

    torchrun --standalone --nproc-per-node 2 -m recolor.training.worker generator WORKSPACE [KEY=VALUE ...]

with the settings of the workspace's recolor.toml, overlaid by the words; how many processes there are, torchrun says.
The first one holds the workspace, writes checkpoints and model, and finds a finished training done. Such a torchrun
opens its store on every address of the machine; what Recolor starts by itself meets on loopback alone.
"""

import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from recolor.config.loading import load_config, overlay
from recolor.config.settings import Config
from recolor.errors import ConfigError, RecolorError
from recolor.pipeline.cache import current_record, run_part
from recolor.pipeline.storage import storage_errors
from recolor.pipeline.torchrun import end_with_parent
from recolor.pipeline.workspace import Workspace, locked, open_workspace
from recolor.training.distributed import is_main_process, joined
from recolor.training.generator import GENERATOR
from recolor.training.last_words import last_words
from recolor.training.launch import COUNTS_FILE, TrainingStage, read_job
from recolor.training.refiner import REFINER

STAGES: dict[str, TrainingStage] = {stage.name: stage for stage in (GENERATOR, REFINER)}


def work(folder: Path) -> None:
    """Takes part in the job that a folder holds; its parent holds the workspace and publishes what is left there."""
    rank = int(os.environ["RANK"])
    with last_words(folder, rank):
        job = read_job(folder)
        logging.basicConfig(
            level=job.log_level if rank == 0 else logging.ERROR, format="%(levelname)s %(name)s: %(message)s"
        )
        stage, workspace = STAGES[job.stage], Workspace(Path(job.workspace))
        with storage_errors(workspace.models), joined(stage.settings(job.config).train, folder / "store"):
            counts = stage.build(stage.part(workspace, job.config), job.config, folder)
            if is_main_process():
                (folder / COUNTS_FILE).write_text(json.dumps(counts))


def work_by_hand(name: str, root: Path, words: Sequence[str]) -> None:
    """Takes part in a training that a person has started with torchrun.

    Raises:
        ConfigError: There is no such stage, or a setting is not allowed.
        RecolorError: As the stage.
    """
    if name not in STAGES:
        raise ConfigError(f"{name!r}: there is no such model to train. Allowed: {', '.join(STAGES)}.")
    stage, workspace = STAGES[name], open_workspace(root)
    config = _settings(workspace, name, words)
    with joined(stage.settings(config).train):
        part = stage.part(workspace, config)
        if is_main_process():
            with locked(workspace):
                run_part(part, lambda staging: stage.build(part, config, staging))
        elif current_record(part) is None:
            stage.build(part, config, workspace.staging)  # where the first process alone would write


def main(arguments: Sequence[str]) -> None:
    """Takes part in the job of a folder, its only argument, or in a training started by hand."""
    if len(arguments) == 1:
        end_with_parent()
        work(Path(arguments[0]))
        return
    try:
        name, root, *words = arguments
        work_by_hand(name, Path(root), words)
    except RecolorError as error:
        sys.exit(f"recolor: {error}")


def _settings(workspace: Workspace, name: str, words: Sequence[str]) -> Config:
    own = workspace.settings_file
    config = load_config(None, own if own.is_file() else None, words)
    return overlay(config, {name: {"train": {"devices": int(os.environ["WORLD_SIZE"])}}})


if __name__ == "__main__":
    main(sys.argv[1:])
