"""The flow `clean-and-train`: from a folder of photographs to a model that colours.

As a program: `python -m flows.clean_and_train --images FOLDER --workspace FOLDER`.
"""

import click

from flows.clean import clean
from flows.evaluate import evaluate
from flows.parameters import Run, run_flow, settings_of
from flows.parts import ran
from flows.shard import shard
from flows.train import train_generator, train_refiner
from recolor.invocation import Target, describe, read_settings, run_reporting_errors, stage_options
from recolor.pipeline import STAGES, check_can_evaluate, check_can_train
from recolor.stage import Outcome


@run_flow("clean-and-train")
def clean_and_train(run: Run) -> list[Outcome]:
    """Cleans, shards, trains the generator and the refiner, and evaluates. What is done is not done again."""
    check_can_train(STAGES, run.config)
    stage = (run.images, run.workspace.root, None, settings_of(run.config))
    cleaned = ran(clean, *stage)
    sharded = ran(shard, *stage)
    check_can_evaluate(run.workspace, run.config)
    generator = ran(train_generator, *stage)
    refiner = ran(train_refiner, *stage)
    evaluated = ran(evaluate, *stage)
    return [cleaned, sharded, generator, refiner, evaluated]


@click.command()
@stage_options
def program(target: Target) -> None:
    """Runs the flow here and now; with no server set, under Prefect's own temporary one."""
    settings = settings_of(read_settings(target))
    for outcome in clean_and_train(target.images, target.workspace, None, settings):
        click.echo(describe(outcome))


if __name__ == "__main__":
    run_reporting_errors(program)
