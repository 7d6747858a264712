"""The flows `train-generator` and `train-refiner`: each one long task that resumes from its last checkpoint."""

from prefect import task
from prefect.client.schemas.objects import State

from flows.parameters import Run, run_flow
from flows.parts import TASK, ran, shown
from recolor import pipeline
from recolor.stage import Outcome


@task(name="train generator", **TASK)
def generator(run: Run) -> Outcome | State[Outcome]:
    """Trains the generator, or goes on where it was."""
    return shown(pipeline.train_generator(run.workspace, run.images, run.config))


@task(name="train refiner", **TASK)
def refiner(run: Run) -> Outcome | State[Outcome]:
    """Trains the refiner, or goes on where it was."""
    return shown(pipeline.train_refiner(run.workspace, run.images, run.config))


@run_flow("train-generator")
def train_generator(run: Run) -> Outcome | State[Outcome]:
    """Trains the generator, L to coarse ab; needs `shard`."""
    pipeline.check_can_train({"train-generator"}, run.config)
    return shown(ran(generator, run))


@run_flow("train-refiner")
def train_refiner(run: Run) -> Outcome | State[Outcome]:
    """Trains the refiner, L and coarse ab to full ab; needs `train-generator`."""
    pipeline.check_can_train({"train-refiner"}, run.config)
    return shown(ran(refiner, run))
