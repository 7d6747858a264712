"""The flow `evaluate`: compares both models with their controls, and writes a report."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from prefect import task
from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.client.schemas.objects import State

from flows.artifacts import Progress, artifact_key, final_state, show_picture
from flows.devices import hold_devices
from flows.pages import page_url
from flows.parameters import Run, run_flow
from flows.parts import TASK, run_now
from recolor import read_manifest
from recolor import stages as pipeline
from recolor.pipeline.cache import Outcome


@task(name="evaluate", **TASK)
def measure_models(run: Run) -> Outcome | State[Outcome]:
    """Colours the held-out images and measures the results; waits until the device is free."""
    with ExitStack() as held:
        on_progress = None
        if not pipeline.is_current("evaluate", run.workspace, run.config):
            held.enter_context(hold_devices(run.config.evaluate.device))
            on_progress = _progress(run)
        return final_state(pipeline.evaluate(run.workspace, run.given_images, run.config, on_progress))


@run_flow("evaluate")
def evaluate(run: Run) -> Outcome:
    """Measures the models.

    Writes metrics.parquet, the picture grid and report.html; needs `train-refiner`.
    """
    outcome = run_now(measure_models, run)
    _show_results(run)
    return outcome


def _progress(run: Run) -> Callable[[int, int], None]:
    progress = Progress(artifact_key(run.workspace, "evaluate-progress"), "evaluate: images done")

    def on_progress(done: int, total: int) -> None:
        progress.show(done / total, f"{done:,} of {total:,}", at_once=done == total)

    return on_progress


def _show_results(run: Run) -> None:
    folder = run.workspace.evaluation
    metrics = read_manifest(folder / "metrics.parquet").filter(regex="(?<!_low)(?<!_high)$").round(3)
    rows = [{str(name): value for name, value in row.items()} for row in metrics.to_dict("records")]
    key = partial(artifact_key, run.workspace)
    create_table_artifact(table=rows, key=key("metrics"), description="Models and their controls")
    for name in ("report.html", "pictures.png"):
        link, text = page_url(run.workspace, folder / name), str(folder / name)
        create_link_artifact(link=link, link_text=text, key=key(name.replace(".", "-")), description=text)
    picture = folder / "pictures.png"
    show_picture(key("pictures"), picture, f"grey | generator | refined | truth: {picture}")
