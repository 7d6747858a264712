"""The stage `evaluate`: colours and measures a split; writes tables, pictures and a report."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from recolor.config.settings import Config
from recolor.dataset.dataset import ShardDataset
from recolor.errors import InputError
from recolor.evaluation.facts import outlier_counts, split_counts, train_overlap_in_split
from recolor.evaluation.measure import ProgressCallback, measure
from recolor.evaluation.methods import Model, load_models
from recolor.evaluation.networks import load_networks
from recolor.evaluation.outputs import Evaluation, write_evaluation
from recolor.evaluation.part import evaluation_part
from recolor.evaluation.report import photographs
from recolor.evaluation.split import split_source
from recolor.models.device import resolve_device
from recolor.pipeline.cache import Outcome, require_record, run_part
from recolor.pipeline.parallel import worker_count
from recolor.pipeline.workspace import Workspace, existing_workspace, locked, remembered_images
from recolor.shards.format import index_path


def evaluate(workspace: Workspace | Path | str, config: Config, tell: ProgressCallback | None = None) -> Outcome:
    """Measures the workspace's models and their controls on a split of the shards.

    Writes `data/evaluation/`: `metrics.parquet`, `hues.parquet`, `per_image.parquet`, `pictures.png` and `report.html`.
    On a CPU, the same shards and models give the same bytes.

    Args:
        workspace: Folder with shards and trained models. It is locked meanwhile, unless it is given as a `Workspace`.
        config: `evaluate` selects the split and the images, `execution` the number of threads.
        tell: Called after each batch with the number of finished images and of all images.

    Raises:
        MissingStageError: The shards or a model are missing; the message names the stage to run.
        InputError: The split has no images.
        WeightsError: The files of a model or a metric are missing, damaged or of another version.
        ConfigError: CUDA was requested but is not available, or a package that a metric needs is not installed.
        DamagedError: A shard or a model was changed while it was read; the message names it.
        WorkspaceBusyError: Another process is running in this workspace.

    Examples:
        >>> from recolor import evaluate, load_config, read_manifest
        >>> outcome = evaluate("project", load_config("demo"))
        >>> metrics = read_manifest("project/data/evaluation/metrics.parquet")
    """
    if not isinstance(workspace, Workspace):
        with locked(opened := existing_workspace(workspace)):
            return evaluate(opened, config, tell)
    return run_part(evaluation_part(workspace, config), partial(_build, workspace, config, tell))


def measure_split(
    workspace: Workspace, config: Config, models: tuple[Model, ...], tell: ProgressCallback | None = None
) -> Evaluation:
    """Measures models on a split of the shards; they may have been trained on other images.

    Raises:
        MissingStageError: The shards are missing.
        InputError: The split has no images.
        WeightsError: The weights of a metric are missing or damaged.
        ConfigError: A package that a metric needs is not installed.
    """
    networks = load_networks(config.evaluate, models[0].device)
    source = split_source(workspace, config.evaluate, models)
    shards = require_record(index_path(workspace), "shards build").content
    return Evaluation(
        source=source,
        models=models,
        images=measure(source, networks, worker_count(config.execution), tell),
        measured_on=f"{photographs(len(source.paths))} of the {config.evaluate.split} split",
        notes=train_overlap_in_split(models, shards, config.evaluate.split),
        mean_of="the training photographs",
        splits=split_counts(workspace),
        outliers=outlier_counts(workspace),
        data_set=f"{_images_name(workspace)}shards {shards[:12]}",
    )


def _images_name(workspace: Workspace) -> str:
    """Returns the name of the folder that was indexed and a comma, or nothing if it is not known.

    The name of the workspace's folder is no part of the report: a copy of a workspace gives the same bytes.
    """
    try:
        return f"{remembered_images(workspace).name}, "
    except InputError:
        return ""


def _build(workspace: Workspace, config: Config, tell: ProgressCallback | None, staging: Path) -> dict[str, int]:
    models = load_models([workspace.models], [], resolve_device(config.evaluate.device))
    read = [ShardDataset.open(workspace, split) for split in ("train", config.evaluate.split)]
    key = evaluation_part(workspace, config).key
    evaluation = replace(measure_split(workspace, config, models, tell), key=key)
    for dataset in read:
        dataset.check_unchanged()
    write_evaluation(evaluation, staging, config.evaluate.pictures)
    return {"images": len(evaluation.images)}
