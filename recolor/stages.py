"""The pipeline without an orchestrator: each stage a plain call, its parts run by threads of this process.

`flows/` runs the same stage functions under Prefect.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from recolor.cleaning.detect import ISSUES, LONGEST_FIRST, count_outliers, detect_issue
from recolor.cleaning.index import index_images
from recolor.cleaning.measure import MeasurePart, measure_part, measuring, merge_measurements, part_rows, plan_measure
from recolor.cleaning.select import select
from recolor.config.settings import Config
from recolor.errors import InputError
from recolor.pipeline.cache import Outcome, current_record, require_record
from recolor.pipeline.parallel import run_parallel, worker_count
from recolor.pipeline.workspace import Workspace
from recolor.shards.writer import finish_shards, plan_shards, sharding, write_shards

Stage = Callable[[Workspace, Path, Config], Outcome]
DeviceStage = Literal["train-generator", "train-refiner", "evaluate"]


def measure(workspace: Workspace, images: Path, config: Config) -> Outcome:
    """Measures every image of the index that has no measurement yet, then writes `manifests/measurements.parquet`."""
    plan = plan_measure(workspace, images, config)
    with measuring(plan, config) as how:
        outcomes = run_parallel(
            partial(measure_part, workspace, images, config=config),
            plan.missing,
            how.execution,
            "measure",
            lambda part: len(part.rows),
            tell=tally(workspace, config),
        )
    merged = merge_measurements(workspace, config)
    done = together("measure", [*outcomes, merged], merged)
    measured = sum(len(part.rows) for part in plan.missing)
    return replace(done, counts={**done.counts, "measured": measured, "reused": plan.reused})


def tally(workspace: Workspace, config: Config) -> Callable[[MeasurePart], str]:
    """Tells after each measured part how many outliers there are so far, of the issues that judge each image alone."""
    counts: Counter[str] = Counter()

    def tell(part: MeasurePart) -> str:
        counts.update(count_outliers(part_rows(workspace, part, config), config))
        return ", ".join(f"{count:,} {issue}" for issue, count in counts.items() if count)

    return tell


def detect(workspace: Workspace, images: Path, config: Config) -> Outcome:
    """Runs every detector, some at once; writes a manifest for each issue."""
    del images  # judged by their measurements alone
    with ThreadPoolExecutor(worker_count(config.execution)) as pool:
        done = pool.map(lambda issue: detect_issue(workspace, issue, config), LONGEST_FIRST)
        outcomes = dict(zip(LONGEST_FIRST, done, strict=True))
    counts = {issue: outcomes[issue].counts["outliers"] for issue in ISSUES}
    return Outcome(
        "detect",
        sum(outcome.built for outcome in outcomes.values()),
        sum(outcome.reused for outcome in outcomes.values()),
        counts,
        sum(outcome.seconds_s for outcome in outcomes.values()),
    )


def shard(workspace: Workspace, images: Path, config: Config) -> Outcome:
    """Writes every shard that is missing, then `data/shards/index.parquet`."""
    plan = plan_shards(workspace, config)
    write_one = partial(write_shards, workspace, images, config=config)
    with sharding(plan, config) as execution:
        outcomes = run_parallel(write_one, plan.missing, execution, "shard", lambda part: part.images)
    finished = finish_shards(workspace, config)
    return together("shard", [*outcomes, finished], finished, plan.reused)


def together(stage: str, outcomes: list[Outcome], last: Outcome, reused: int = 0) -> Outcome:
    """One outcome for a stage of several parts, `reused` of them never begun; the counts are its last part's."""
    built = sum(outcome.built for outcome in outcomes)
    reused += sum(outcome.reused for outcome in outcomes)
    return Outcome(stage, built, reused, last.counts, round(sum(outcome.seconds_s for outcome in outcomes), 3))


def train_generator(workspace: Workspace, images: Path, config: Config) -> Outcome:
    """Trains the generator on the shards."""
    from recolor.training import train_generator as train

    del images  # trained on shards alone
    return train(workspace, config)


def train_refiner(workspace: Workspace, images: Path, config: Config) -> Outcome:
    """Trains the refiner on the shards and the generator."""
    from recolor.training import train_refiner as train

    del images
    return train(workspace, config)


def evaluate(
    workspace: Workspace, images: Path, config: Config, tell: Callable[[int, int], None] | None = None
) -> Outcome:
    """Measures both models against their controls, telling how many images are done of how many; writes the report."""
    from recolor.evaluation import evaluate as measure_models

    del images
    return measure_models(workspace, config, tell)


def is_current(stage: DeviceStage, workspace: Workspace, config: Config) -> bool:
    """Whether a stage that needs a device would find its work done, and so needs none.

    Raises:
        MissingStageError: What it starts from has not been made; names the stage to run.
    """
    from recolor.evaluation import evaluation_part
    from recolor.training import GENERATOR, REFINER

    parts = {"train-generator": GENERATOR.part, "train-refiner": REFINER.part, "evaluate": evaluation_part}
    return current_record(parts[stage](workspace, config)) is not None


def _index(workspace: Workspace, images: Path, config: Config) -> Outcome:
    return index_images(workspace, images, config)


def _select(workspace: Workspace, images: Path, config: Config) -> Outcome:
    del images
    return select(workspace, config)


CLEANING: dict[str, Stage] = {"index": _index, "measure": measure, "detect": detect, "select": _select}
STAGES: dict[str, Stage] = {
    **CLEANING,
    "shard": shard,
    "train-generator": train_generator,
    "train-refiner": train_refiner,
    "evaluate": evaluate,
}


def check_can_train(stages: Collection[str], config: Config) -> None:
    """Makes sure that the stages will find their device and their encoder's weights, before hours of other work.

    Raises:
        ConfigError: A device or a package was asked for that is not there.
        WeightsError: Weights were asked for that cannot be had: a model's first ones, or a metric's.
    """
    if not {"train-generator", "train-refiner", "evaluate"} & set(stages):
        return
    from recolor.models.device import resolve_device
    from recolor.training.checks import check_packages
    from recolor.training.first_weights import check_first_weights

    for name, model in (("generator", config.generator), ("refiner", config.refiner)):
        if f"train-{name}" in stages:
            resolve_device(model.train.device, model.train.devices)
            check_packages(name, model.train)
            check_first_weights(name, model)
    if "evaluate" in stages:
        device = resolve_device(config.evaluate.device)
        if config.evaluate.lpips_weights or config.evaluate.inception_weights:
            from recolor.evaluation import load_networks

            load_networks(config.evaluate, device)


def check_can_evaluate(workspace: Workspace, config: Config) -> None:
    """Makes sure, before the models are trained, that there will be something to evaluate them on.

    Raises:
        InputError: No image is in the split that is evaluated.
        MissingStageError: There are no shards yet.
    """
    split = config.evaluate.split
    if not require_record(workspace.shards / "index.parquet", "shards build").counts[split]:
        raise InputError(
            f"{workspace.root}: none of the kept images is in the split {split!r}, so the models could not be"
            f" evaluated. Raise select.{split}_fraction, change select.seed, or evaluate another split."
        )


def run_stages(stages: dict[str, Stage], workspace: Workspace, images: Path, config: Config) -> Iterator[Outcome]:
    """Runs stages one after the other, and yields what each did as it ends."""
    for name, stage in stages.items():
        if name == "train-generator" and "evaluate" in stages:
            check_can_evaluate(workspace, config)
        started = time.monotonic()
        outcome = stage(workspace, images, config)
        yield replace(outcome, seconds_s=round(time.monotonic() - started, 3))  # parts ran side by side
