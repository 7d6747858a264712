"""The flow `evaluate`: both models against their controls, with pictures and a report."""

from pathlib import Path

from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.client.schemas.objects import State

from flows.parameters import Run, Settings, opened, run_name
from flows.parts import TASK, ran, shown
from recolor import pipeline, read_manifest
from recolor.presets import Preset
from recolor.stage import Outcome


@task(name="evaluate", **TASK)
def measure_models(run: Run) -> Outcome | State[Outcome]:
    """Colours the held-out images and compares."""
    return shown(pipeline.evaluate(run.workspace, run.images, run.config))


@flow(name="evaluate", flow_run_name=run_name, validate_parameters=True)
def evaluate(
    images: Path | None = None,
    workspace: Path = Path(),
    preset: Preset | None = None,
    settings: Settings = Settings(),  # noqa: B008 - frozen, and the form's default in Prefect's UI
) -> Outcome | State[Outcome]:
    """Measures the models; writes metrics.parquet, the picture grid and report.html; needs `train-refiner`.

    Args:
        images: Folder of photographs; without it, the one that was indexed last.
        workspace: Folder for manifests/ and data/.
        preset: Named settings to start from.
        settings: Settings that differ from the preset's, such as {"evaluate": {"split": "val"}}.
    """
    with opened(images, workspace, preset, settings) as run:
        outcome = ran(measure_models, run)
        _show_results(run)
    return shown(outcome)


def _show_results(run: Run) -> None:
    folder = run.workspace.evaluation
    metrics = read_manifest(folder / "metrics.parquet").round(3)
    rows = [{str(name): value for name, value in row.items()} for row in metrics.to_dict("records")]
    create_table_artifact(table=rows, key="metrics", description="Models and their controls")
    for name in ("report.html", "pictures.png"):
        create_link_artifact(link=(folder / name).as_uri(), key=name.replace(".", "-"), link_text=str(folder / name))
