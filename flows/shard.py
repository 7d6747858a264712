"""The flow `shard`: the kept images as Lab tensor shards."""

from pathlib import Path

from prefect import flow, task
from prefect.client.schemas.objects import State

from flows.parameters import Run, Settings, opened, run_name
from flows.parts import TASK, ran, run_parts, shown
from recolor.pipeline import together
from recolor.presets import Preset
from recolor.shards import ShardPart, finish_shards, plan_shards, write_shard
from recolor.stage import Outcome


@task(name="shard part", task_run_name="shard {part}", **TASK)
def shard_some(run: Run, part: ShardPart) -> Outcome:
    """Writes one shard."""
    return write_shard(run.workspace, run.images, part, run.config)


@task(name="shard index", **TASK)
def shard_index(run: Run) -> Outcome | State[Outcome]:
    """Writes which image is where."""
    return shown(finish_shards(run.workspace, run.config))


@flow(name="shard", flow_run_name=run_name, validate_parameters=True)
def shard(
    images: Path | None = None,
    workspace: Path = Path(),
    preset: Preset | None = None,
    settings: Settings = Settings(),  # noqa: B008 - frozen, and the form's default in Prefect's UI
) -> Outcome | State[Outcome]:
    """Writes the kept images as Lab tensor shards; needs `clean`.

    Args:
        images: Folder of photographs; without it, the one that was indexed last.
        workspace: Folder for manifests/ and data/.
        preset: Named settings to start from.
        settings: Settings that differ from the preset's, such as {"shard": {"dtype": "float16"}}.
    """
    with opened(images, workspace, preset, settings) as run:
        plan = plan_shards(run.workspace, run.config)
        written = run_parts(shard_some, run, plan.missing, lambda part: part.images, "shard")
        finished = ran(shard_index, run)
    return shown(together("shard", [*written, finished], finished, plan.reused))
