"""The flows `train-generator` and `train-refiner`.

Each is one long task, which resumes from its last checkpoint.
"""

from contextlib import ExitStack

from prefect import task
from prefect.client.schemas.objects import State

from flows.artifacts import final_state, training_progress
from flows.devices import hold_devices
from flows.parameters import Run, run_flow
from flows.parts import TASK, run_now
from recolor import stages as pipeline
from recolor.config.settings import TrainConfig
from recolor.pipeline.cache import Outcome
from recolor.stages import DeviceStage


@task(name="train generator", **TASK)
def generator(run: Run) -> Outcome | State[Outcome]:
    """Trains the generator, from its last checkpoint if there is one.

    Waits until the device is free.
    """
    with ExitStack() as held:
        _prepare(held, run, "train-generator", run.config.generator.train)
        return final_state(pipeline.train_generator(run.workspace, run.given_images, run.config))


@task(name="train refiner", **TASK)
def refiner(run: Run) -> Outcome | State[Outcome]:
    """Trains the refiner, from its last checkpoint if there is one.

    Waits until the device is free.
    """
    with ExitStack() as held:
        _prepare(held, run, "train-refiner", run.config.refiner.train)
        return final_state(pipeline.train_refiner(run.workspace, run.given_images, run.config))


@run_flow("train-generator")
def train_generator(run: Run) -> Outcome:
    """Trains the generator, L to coarse ab; needs `shard`."""
    pipeline.check_can_train({"train-generator"}, run.config)
    return run_now(generator, run)


@run_flow("train-refiner")
def train_refiner(run: Run) -> Outcome:
    """Trains the refiner, L and coarse ab to full ab; needs `train-generator`."""
    pipeline.check_can_train({"train-refiner"}, run.config)
    return run_now(refiner, run)


def _prepare(held: ExitStack, run: Run, stage: DeviceStage, train: TrainConfig) -> None:
    """Waits for the device and shows the progress, unless the model is already trained."""
    if pipeline.is_current(stage, run.workspace, run.config):
        return
    held.enter_context(hold_devices(train.device, train.devices))
    held.enter_context(training_progress(run.workspace, stage))
