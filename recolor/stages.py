"""The pipeline as plain calls, without an orchestrator, and the table of stages.

`flows/` runs the same stage functions under Prefect.
"""

import difflib
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from recolor.cleaning.detect import ISSUES, LONGEST_FIRST, check_issues, count_outliers, detect_issue
from recolor.cleaning.index import index_images
from recolor.cleaning.measure import MeasurePart, measure_part, measuring, merge_measurements, part_rows, plan_measure
from recolor.cleaning.select import select
from recolor.config.settings import SPLITS, Config
from recolor.errors import ConfigError, InputError
from recolor.pipeline.cache import Outcome, current_record, require_record
from recolor.pipeline.inputs import check_image_folder
from recolor.pipeline.parallel import run_parallel, worker_count
from recolor.pipeline.remembered import Given, remember_settings
from recolor.pipeline.workspace import (
    Workspace,
    existing_workspace,
    image_folder,
    local_path,
    locked,
    open_workspace,
    remember_images,
)
from recolor.shards.writer import finish_shards, plan_shards, sharding, write_shards

_log = logging.getLogger(__name__)

DeviceStage = Literal["train-generator", "train-refiner", "evaluate"]


def measure(workspace: Workspace, images: Path | None, config: Config) -> Outcome:
    """Measures the images that have no measurement yet; writes `manifests/measurements.parquet`."""
    images = image_folder(workspace, images)
    plan = plan_measure(workspace, images, config)
    with measuring(plan, config) as how:
        outcomes = run_parallel(
            partial(measure_part, workspace, images, config=config),
            plan.missing,
            how.execution,
            "measure",
            lambda part: len(part.rows),
            progress_text=tally(workspace, config),
        )
    merged = merge_measurements(workspace, config)
    done = combine_outcomes("measure", [*outcomes, merged], merged)
    measured = sum(len(part.rows) for part in plan.missing)
    return replace(done, counts={**done.counts, "measured": measured, "reused": plan.reused})


def tally(workspace: Workspace, config: Config) -> Callable[[MeasurePart], str]:
    """Returns a function for the progress text of `measure`: the outliers so far.

    Only issues that are decided from a single image are counted.
    """
    counts: Counter[str] = Counter()

    def text(part: MeasurePart) -> str:
        counts.update(count_outliers(part_rows(workspace, part, config), config))
        found = sorted(((count, issue) for issue, count in counts.items() if count), reverse=True)
        return ", ".join(f"{count:,} {issue}" for count, issue in found)

    return text


def detect(workspace: Workspace, images: Path | None, config: Config) -> Outcome:
    """Runs every detector, several at a time; writes a manifest for each issue."""
    return detect_issues(workspace, ISSUES, config, images)


def detect_issues(workspace: Workspace, issues: Collection[str], config: Config, images: Path | None = None) -> Outcome:
    """Runs the detectors of some issues, several at a time; writes a manifest for each.

    Raises:
        ConfigError: One is not an issue; no detector was run.
    """
    check_issues(issues)
    return timed(lambda: _detect_issues(workspace, issues, config, images))


def _detect_issues(workspace: Workspace, issues: Collection[str], config: Config, images: Path | None) -> Outcome:
    names = [issue for issue in LONGEST_FIRST if issue in issues]
    with ThreadPoolExecutor(worker_count(config.execution)) as pool:
        done = pool.map(lambda issue: detect_issue(workspace, issue, config, images), names)
        outcomes = dict(zip(names, done, strict=True))
    found = {issue: outcomes[issue].counts["outliers"] for issue in ISSUES if issue in outcomes}
    counts = {"images": max((outcome.counts["images"] for outcome in outcomes.values()), default=0), **found}
    return Outcome(
        "detect",
        sum(outcome.built for outcome in outcomes.values()),
        sum(outcome.reused for outcome in outcomes.values()),
        counts,
        sum(outcome.seconds_s for outcome in outcomes.values()),
    )


def shard(workspace: Workspace, images: Path | None, config: Config) -> Outcome:
    """Writes every shard that is missing, then `data/shards/index.parquet`."""
    plan = plan_shards(workspace, config)
    images = image_folder(workspace, images) if plan.missing else Path()
    write_one = partial(write_shards, workspace, images, config=config)
    with sharding(plan, config) as execution:
        outcomes = run_parallel(write_one, plan.missing, execution, "shard", lambda part: part.images)
    finished = finish_shards(workspace, config)
    return combine_outcomes("shard", [*outcomes, finished], finished, plan.reused)


def combine_outcomes(stage: str, outcomes: list[Outcome], last: Outcome, reused: int = 0) -> Outcome:
    """Returns the outcome of a stage of several parts; its counts are those of the last part.

    Args:
        stage: Name of the stage.
        outcomes: What its parts did.
        last: The last part's outcome.
        reused: Number of parts that were already done and so are not among `outcomes`.
    """
    built = sum(outcome.built for outcome in outcomes)
    reused += sum(outcome.reused for outcome in outcomes)
    return Outcome(stage, built, reused, last.counts, round(sum(outcome.seconds_s for outcome in outcomes), 3))


def train_generator(workspace: Workspace, images: Path | None, config: Config, name: str = "") -> Outcome:
    """Trains the generator on the shards; `name` is that of the kept run."""
    from recolor.training import train_generator as train

    del images  # trained on shards alone
    return train(workspace, config, name)


def train_refiner(workspace: Workspace, images: Path | None, config: Config, name: str = "") -> Outcome:
    """Trains the refiner on the shards and the generator; `name` is that of the kept run."""
    from recolor.training import train_refiner as train

    del images
    return train(workspace, config, name)


def evaluate(
    workspace: Workspace,
    images: Path | None,
    config: Config,
    on_progress: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Compares both models with their controls; writes the report.

    `on_progress` is called after each batch with the number of finished images and of all images.
    """
    from recolor.evaluation import evaluate as measure_models

    del images
    return measure_models(workspace, config, on_progress)


def is_current(stage: DeviceStage, workspace: Workspace, config: Config) -> bool:
    """Returns whether a stage that needs a device has nothing to do, and so needs no device.

    Raises:
        MissingStageError: An earlier stage has not run; the message names it.
    """
    from recolor.evaluation import evaluation_part
    from recolor.training import GENERATOR, REFINER
    from recolor.training.distributed import kept_run

    if stage == "evaluate":
        return current_record(evaluation_part(workspace, config)) is not None
    training = GENERATOR if stage == "train-generator" else REFINER
    part = training.part(workspace, config)
    return current_record(part) is not None or kept_run(training, part) is not None


def _index(workspace: Workspace, images: Path | None, config: Config) -> Outcome:
    return index_images(workspace, image_folder(workspace, images), config)


def _select(workspace: Workspace, images: Path | None, config: Config) -> Outcome:
    del images  # selects rows of manifests
    return select(workspace, config)


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of the pipeline.

    Attributes:
        name: Name of the stage, such as `measure`.
        settings: Names of the groups of settings that it uses.
        run: Runs the stage: takes a locked workspace, the folder of images and the settings. Without a folder, stages
            that read images use the one that was indexed last; the other stages need none.
    """

    name: str
    settings: tuple[str, ...]
    run: Callable[[Workspace, Path | None, Config], Outcome]


STAGES: Mapping[str, Stage] = MappingProxyType(
    {
        stage.name: stage
        for stage in (
            Stage("index", ("index",), _index),
            Stage("measure", ("measure",), measure),
            Stage("detect", ISSUES, detect),
            Stage("select", ("select",), _select),
            Stage("shard", ("shard",), shard),
            Stage("train-generator", ("generator",), train_generator),
            Stage("train-refiner", ("refiner",), train_refiner),
            Stage("evaluate", ("evaluate",), evaluate),
        )
    }
)
_TRAININGS = {"train-generator": train_generator, "train-refiner": train_refiner}  # what can be given a name
CLEANING = ("index", "measure", "detect", "select")


def settings_groups(stages: Iterable[str] | None) -> tuple[str, ...]:
    """Returns the names of the groups of settings that stages use; all stages if None."""
    return tuple(group for name in check_stages(stages) for group in STAGES[name].settings)


def check_can_train(stages: Collection[str], config: Config) -> None:
    """Checks, before hours of other work, that training and evaluation can start.

    They need their device, packages and initial weights.

    Raises:
        ConfigError: A device or a package that is asked for is not available.
        WeightsError: A model's initial weights, or the weights of a metric, are not available.
    """
    if not {"train-generator", "train-refiner", "evaluate"} & set(stages):
        return
    from recolor.models.device import resolve_device
    from recolor.training import generator, refiner  # noqa: F401  (a package that they need and is missing is told first)
    from recolor.training.checks import check_packages
    from recolor.training.initial_weights import check_initial_weights
    from recolor.training.teachers import load_teachers

    for name, model in (("generator", config.generator), ("refiner", config.refiner)):
        if f"train-{name}" in stages:
            resolve_device(model.train.device, model.train.devices)
            check_packages(name, model.train)
            check_initial_weights(name, model)
    if "train-generator" in stages:
        load_teachers(config.generator)
    if "evaluate" in stages:
        device = resolve_device(config.evaluate.device)
        if config.evaluate.lpips_weights or config.evaluate.inception_weights:
            from recolor.evaluation import load_networks

            load_networks(config.evaluate, device)


def can_evaluate(workspace: Workspace, config: Config) -> bool:
    """Returns whether the split to evaluate the models on has images; if not, logs how many photographs it takes.

    Raises:
        InputError: The train split has no images, so that nothing can be trained either.
        MissingStageError: The shards have not been built yet.
    """
    counts, split = require_record(workspace.shards / "index.parquet", "shards build").counts, config.evaluate.split
    kept = sum(counts[name] for name in SPLITS)
    if not counts["train"]:
        raise InputError(
            f"{workspace.root}: none of the {kept:,} kept images is in the train split, so nothing can be trained. Add"
            " photographs, or lower select.val_fraction and select.test_fraction."
        )
    if counts[split]:
        return True
    fraction = {"val": config.select.val_fraction, "test": config.select.test_fraction}[split]
    _log.warning(
        "%s: none of the %d kept images is in the split %r, so the models are trained but not evaluated. A split of"
        " %g%% needs about %d photographs: add some, or raise select.%s_fraction.",
        workspace.root,
        kept,
        split,
        100 * fraction,
        math.ceil(math.log(_EMPTY_SPLIT) / math.log1p(-fraction)),
        split,
    )
    return False


_EMPTY_SPLIT = 0.05  # probability that a split is empty, at the number of photographs that is advised


def run_stages(
    images: Path | str | None,
    workspace: Path | str,
    config: Config | None = None,
    stages: Iterable[str] | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
    *,
    given: Given | None = None,
    run_name: str = "",
) -> list[Outcome]:
    """Runs stages of the pipeline, as `recolor run` does, and returns what each did.

    A stage whose result is up to date is not run again. A killed run continues where it stopped. After a training,
    `evaluate` is left out, with a warning, if its split has no images.

    Args:
        images: Folder of photographs. None: the folder that was indexed last. Only `index`, `measure` and `shard` need
            it.
        workspace: Folder for manifests/ and data/; made if it does not exist and `index` is among the stages.
        config: Settings; by default `Config()`.
        stages: Names out of `STAGES`, in the order in which they run; by default all.
        on_outcome: Called after each stage with its outcome.
        given: What of the settings a command was given, to be stored with the settings of this run.
        run_name: Name under which a training is kept, if there is one among the stages. Default: the date and its key.

    Raises:
        ConfigError: A stage, a setting or the name of the run is not allowed; nothing was started.
        InputError: The folder holds no images, or cannot be read, or there is no such workspace.
        WorkspaceBusyError: Another process is running in this workspace.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import recolor
        >>> from recolor.demo import make_demo_images
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = make_demo_images(folder / "images", landscapes=24, each=1, photographs=False)
        >>> config = recolor.load_config("demo")
        >>> outcomes = recolor.run_stages(folder / "images", folder / "space", config, ["index", "measure"])
        >>> [outcome.stage for outcome in outcomes]
        ['index', 'measure']
    """
    names, config = check_stages(stages), config or Config()
    if config.execution.runner == "dask" and {"measure", "shard"} & set(names):
        raise ConfigError("execution.runner = 'dask': only the flows run on a cluster. Use `recolor run --prefect`.")
    folder = None if images is None else local_path(images, "images")
    if folder is not None and "index" in names:
        check_image_folder(folder)
    opened = None if "index" in names else workspace_for(names, workspace)
    check_can_train(names, config)  # loads torch, which takes seconds
    opened = opened or workspace_for(names, workspace)
    outcomes = []
    with locked(opened):
        remember_settings(opened, config, settings_groups(names), given or Given(command="recolor.run_stages"))
        for outcome in run_each(names, opened, folder, config, run_name):
            if outcome.stage == "index":
                remember_images(opened, image_folder(opened, folder))
            outcomes.append(outcome)
            if on_outcome is not None:
                on_outcome(outcome)
    return outcomes


def workspace_for(stages: Collection[str], path: str | Path) -> Workspace:
    """Returns the workspace in a folder; makes it only for stages that begin with a folder of photographs.

    Raises:
        InputError: There is no such workspace, and the stages need one.
    """
    return open_workspace(path) if {"index", "clean"} & set(stages) else existing_workspace(path)


def check_stages(names: Iterable[str] | None) -> list[str]:
    """Returns the names of stages; all if `names` is None.

    Raises:
        ConfigError: A name is not a stage.
    """
    chosen = list(STAGES if names is None else names)
    for name in chosen:
        if name not in STAGES:
            close = difflib.get_close_matches(name, STAGES, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"{name!r} is not a stage.{hint} Allowed: {', '.join(STAGES)}.")
    return chosen


def run_each(
    names: Iterable[str], workspace: Workspace, images: Path | None, config: Config, run_name: str = ""
) -> Iterator[Outcome]:
    """Runs stages one after the other in a locked workspace, and yields the outcome of each as it ends.

    After a training, `evaluate` is left out, with a warning, if there are no images to evaluate the models on.
    """
    chosen = check_stages(names)
    evaluated = True
    for name in chosen:
        if name == "train-generator" and "evaluate" in chosen:
            evaluated = can_evaluate(workspace, config)
        if name == "evaluate" and not evaluated:
            continue
        if run_name and name in _TRAININGS:
            yield timed(partial(_TRAININGS[name], workspace, images, config, run_name))
        else:
            yield timed(partial(STAGES[name].run, workspace, images, config))


def timed(stage: Callable[[], Outcome]) -> Outcome:
    """Runs a stage and returns its outcome with the wall time, since its parts may run at the same time."""
    started = time.monotonic()
    outcome = stage()
    return replace(outcome, seconds_s=round(time.monotonic() - started, 3))
