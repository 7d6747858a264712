"""The flow `clean-and-train`: from a folder of photographs to trained and evaluated models.

As a program: `python -m flows.clean_and_train --images FOLDER --workspace FOLDER`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import click
from annotated_types import MinLen
from prefect import Flow
from prefect.client.schemas.objects import State

from flows.artifacts import artifact_key, final_state_of_all, show_outcomes
from flows.clean import clean
from flows.evaluate import evaluate
from flows.forms import Settings
from flows.parameters import named_flow, open_run, settings_of
from flows.parts import run_now
from flows.plugin import PARENT
from flows.runners import check_server
from flows.shard import shard
from flows.train import train_generator, train_refiner
from recolor.cli.options import Target, read_settings, stage_options
from recolor.cli.output import json_option, log_level, outcomes_printed, verbosity_options
from recolor.cli.running import run_reporting_errors
from recolor.config.presets import Preset
from recolor.pipeline.cache import Outcome
from recolor.pipeline.progress import log_to_stderr
from recolor.pipeline.remembered import starting_preset
from recolor.pipeline.workspace import Workspace
from recolor.stages import can_evaluate, check_can_train

Stage = Literal["clean", "shard", "train-generator", "train-refiner", "evaluate"]
STAGES: tuple[Stage, ...] = get_args(Stage)
FLOWS: Mapping[Stage, Flow[..., Outcome | State[Outcome]]] = {
    "clean": clean,
    "shard": shard,
    "train-generator": train_generator,
    "train-refiner": train_refiner,
    "evaluate": evaluate,
}


@named_flow("clean-and-train")
def clean_and_train(
    images: Path | None = None,
    workspace: Path = Path(),
    preset: Preset | None = None,
    settings: Settings = Settings(),  # noqa: B008 - frozen, and the form's default in Prefect's UI
    stages: Annotated[list[Stage], MinLen(1)] = list(STAGES),  # noqa: B006 - as above; it is not changed
) -> list[Outcome] | State[list[Outcome]]:
    """Cleans, shards, trains the generator and the refiner, and evaluates.

    Finished work is reused.

    Args:
        images: Folder of photographs. Default: the folder that was indexed last.
        workspace: Folder for manifests/ and data/.
        preset: Named settings to start from. Default: the workspace's recolor.toml.
        settings: Settings that differ from the preset's, such as {"blurry": {"threshold": 0.4}}.
        stages: Stages to run, always in the order of the pipeline. Their inputs must already exist.
    """
    with open_run(images, workspace, preset, settings, stages) as run:
        check_can_train(stages, run.config)
        stage = (run.given_images, run.workspace.root, None, settings_of(run.config))
        outcomes, evaluated = [], True
        for name in sorted(set(stages), key=STAGES.index):
            if name == "train-generator" and "evaluate" in stages:
                evaluated = can_evaluate(run.workspace, run.config)
            if name == "evaluate" and not evaluated:
                continue
            outcomes.append(run_now(FLOWS[name], *stage))
    show_outcomes(artifact_key(run.workspace, "clean-and-train-parts"), outcomes)
    return final_state_of_all(outcomes)


@click.command(params=verbosity_options())
@stage_options
@json_option
def program(target: Target) -> None:
    """Runs the flow in this process; if no server is set, Prefect starts a temporary one."""
    log_to_stderr(log_level())
    with outcomes_printed() as show:
        settings = settings_of(read_settings(target))
        preset = starting_preset(Workspace(target.workspace), target.given)
        os.environ.setdefault(PARENT, str(os.getpid()))  # a temporary server ends with this process, even with SIGKILL
        check_server()
        outcomes: Any = clean_and_train(target.images, target.workspace, preset, settings)
        for outcome in outcomes:
            show(outcome)


if __name__ == "__main__":
    run_reporting_errors(program)
