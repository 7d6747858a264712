"""The flows `train-generator` and `train-refiner`: each one long task that resumes from its last checkpoint."""

from pathlib import Path

from prefect import flow, task
from prefect.client.schemas.objects import State

from flows.parameters import Run, Settings, opened, run_name
from flows.parts import TASK, ran, shown
from recolor import pipeline
from recolor.presets import Preset
from recolor.stage import Outcome


@task(name="train generator", **TASK)
def generator(run: Run) -> Outcome | State[Outcome]:
    """Trains the generator, or goes on where it was."""
    return shown(pipeline.train_generator(run.workspace, run.images, run.config))


@task(name="train refiner", **TASK)
def refiner(run: Run) -> Outcome | State[Outcome]:
    """Trains the refiner, or goes on where it was."""
    return shown(pipeline.train_refiner(run.workspace, run.images, run.config))


@flow(name="train-generator", flow_run_name=run_name, validate_parameters=True)
def train_generator(
    images: Path | None = None,
    workspace: Path = Path(),
    preset: Preset | None = None,
    settings: Settings = Settings(),  # noqa: B008 - frozen, and the form's default in Prefect's UI
) -> Outcome | State[Outcome]:
    """Trains the generator, L to coarse ab; needs `shard`.

    Args:
        images: Folder of photographs; without it, the one that was indexed last.
        workspace: Folder for manifests/ and data/.
        preset: Named settings to start from.
        settings: Settings that differ from the preset's, such as {"generator": {"train": {"steps": 500}}}.
    """
    with opened(images, workspace, preset, settings) as run:
        pipeline.check_can_train({"train-generator"}, run.config)
        return shown(ran(generator, run))


@flow(name="train-refiner", flow_run_name=run_name, validate_parameters=True)
def train_refiner(
    images: Path | None = None,
    workspace: Path = Path(),
    preset: Preset | None = None,
    settings: Settings = Settings(),  # noqa: B008 - frozen, and the form's default in Prefect's UI
) -> Outcome | State[Outcome]:
    """Trains the refiner, L and coarse ab to full ab; needs `train-generator`.

    Args:
        images: Folder of photographs; without it, the one that was indexed last.
        workspace: Folder for manifests/ and data/.
        preset: Named settings to start from.
        settings: Settings that differ from the preset's, such as {"refiner": {"train": {"steps": 500}}}.
    """
    with opened(images, workspace, preset, settings) as run:
        pipeline.check_can_train({"train-refiner"}, run.config)
        return shown(ran(refiner, run))
