"""The flow `clean`: index, measurements, outliers, and the selection of images to keep."""

from collections.abc import Mapping
from dataclasses import replace

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State

from flows.artifacts import artifact_key, final_state
from flows.parameters import Run, run_flow
from flows.parts import TASK, run_now, run_parts, submit_all
from recolor.cleaning.detect import ISSUES, LONGEST_FIRST, detect_issue
from recolor.cleaning.index import index_images
from recolor.cleaning.measure import MeasurePart, MeasurePlan, measure_part, measuring, merge_measurements, plan_measure
from recolor.cleaning.select import select
from recolor.pipeline.cache import Outcome
from recolor.pipeline.workspace import remember_images
from recolor.stages import combine_outcomes, tally


@task(name="index", **TASK)
def index(run: Run) -> Outcome | State[Outcome]:
    """Lists the image files."""
    return final_state(index_images(run.workspace, run.images, run.config))


@task(name="measure part", task_run_name="measure {part}", **TASK)
def measure_some(run: Run, part: MeasurePart) -> Outcome:
    """Decodes and measures a few hundred images."""
    return measure_part(run.workspace, run.images, part, run.config)


@task(name="measurements", **TASK)
def measurements(run: Run) -> Outcome | State[Outcome]:
    """Merges the measured parts into one manifest."""
    return final_state(merge_measurements(run.workspace, run.config))


@task(name="detect", task_run_name="detect {issue}", **TASK)
def detect(run: Run, issue: str) -> Outcome | State[Outcome]:
    """Finds the outliers for one issue."""
    return final_state(detect_issue(run.workspace, issue, run.config, run.images))


@task(name="select", **TASK)
def select_kept(run: Run) -> Outcome | State[Outcome]:
    """Selects the images to keep and assigns each to a split."""
    return final_state(select(run.workspace, run.config))


@run_flow("clean")
def clean(run: Run) -> Outcome:
    """Finds corrupt, duplicate, monochrome, skewed, blurry, empty, small and extreme images.

    Writes the manifests.
    """
    indexed = run_now(index, run)
    remember_images(run.workspace, run.images)
    plan = plan_measure(run.workspace, run.images, run.config)
    with measuring(plan, run.config) as config:
        counts = tally(run.workspace, run.config)
        measured = run_parts(
            measure_some,
            replace(run, config=config),
            plan.missing,
            lambda part: len(part.rows),
            "measure",
            progress_text=counts,
        )
    merged = run_now(measurements, run)
    detected = dict(zip(LONGEST_FIRST, submit_all(detect, run, LONGEST_FIRST), strict=True))
    selected = run_now(select_kept, run)
    _show_outliers(run, plan, detected, selected)
    return combine_outcomes("clean", [indexed, *measured, merged, *detected.values(), selected], selected)


def _show_outliers(run: Run, plan: MeasurePlan, detected: Mapping[str, Outcome], selected: Outcome) -> None:
    measured = sum(len(part.rows) for part in plan.missing)
    images = plan.reused + measured
    rows = [
        {"issue": name, "outliers": count, "share": f"{count / images:.1%}"}
        for name, count in [
            *((issue, detected[issue].counts["outliers"]) for issue in ISSUES),
            ("kept", selected.counts["kept"]),
        ]
    ]
    create_table_artifact(
        table=rows,
        key=artifact_key(run.workspace, "outliers"),
        description=f"{images} images of {run.images}: {measured} measured, {plan.reused} reused."
        f" The manifests are in {run.workspace.manifests}",
    )
