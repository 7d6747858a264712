"""The flow `evaluate`: both models against their controls, with pictures and a report."""

from collections.abc import Callable
from contextlib import ExitStack

from prefect import task
from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.client.schemas.objects import State

from flows.artifacts import Progress, show_picture, shown
from flows.devices import device_held
from flows.parameters import Run, run_flow
from flows.parts import TASK, ran
from recolor import read_manifest
from recolor import stages as pipeline
from recolor.pipeline.cache import Outcome


@task(name="evaluate", **TASK)
def measure_models(run: Run) -> Outcome | State[Outcome]:
    """Colours the held-out images and compares, as soon as the device is free."""
    with ExitStack() as held:
        tell = None
        if not pipeline.is_current("evaluate", run.workspace, run.config):
            held.enter_context(device_held(run.config.evaluate.device))
            tell = _progress()
        return shown(pipeline.evaluate(run.workspace, run.images, run.config, tell))


@run_flow("evaluate")
def evaluate(run: Run) -> Outcome:
    """Measures the models; writes metrics.parquet, the picture grid and report.html; needs `train-refiner`."""
    outcome = ran(measure_models, run)
    _show_results(run)
    return outcome


def _progress() -> Callable[[int, int], None]:
    progress = Progress("evaluate-progress", "evaluate: images done")

    def tell(done: int, total: int) -> None:
        progress.show(done / total, f"{done:,} of {total:,}", at_once=done == total)

    return tell


def _show_results(run: Run) -> None:
    folder = run.workspace.evaluation
    metrics = read_manifest(folder / "metrics.parquet").filter(regex="(?<!_low)(?<!_high)$").round(3)
    rows = [{str(name): value for name, value in row.items()} for row in metrics.to_dict("records")]
    create_table_artifact(table=rows, key="metrics", description="Models and their controls")
    for name in ("report.html", "pictures.png"):
        link, key, text = (folder / name).as_uri(), name.replace(".", "-"), str(folder / name)
        create_link_artifact(link=link, link_text=text, key=key, description=text)
    show_picture("pictures", folder / "pictures.png", f"grey | generator | refined | truth: {folder / 'pictures.png'}")
