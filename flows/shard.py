"""The flow `shard`: writes the kept images as Lab tensor shards."""

from prefect import task
from prefect.client.schemas.objects import State

from flows.artifacts import final_state
from flows.parameters import Run, run_flow
from flows.parts import TASK, run_now, run_parts
from recolor.pipeline.cache import Outcome
from recolor.shards.writer import ShardPart, finish_shards, plan_shards, sharding, write_shards
from recolor.stages import combine_outcomes


@task(name="shard part", task_run_name="shard {part}", **TASK)
def shard_some(run: Run, part: ShardPart) -> Outcome:
    """Writes one shard; in a very large data set, several."""
    return write_shards(run.workspace, run.images, part, run.config)


@task(name="shard index", **TASK)
def shard_index(run: Run) -> Outcome | State[Outcome]:
    """Writes the index: the shard and position of each image."""
    return final_state(finish_shards(run.workspace, run.config))


@run_flow("shard")
def shard(run: Run) -> Outcome:
    """Writes the kept images as Lab tensor shards; needs `clean`."""
    plan = plan_shards(run.workspace, run.config)
    with sharding(plan, run.config) as execution:
        written = run_parts(shard_some, run, plan.missing, lambda part: part.images, "shard", execution=execution)
    finished = run_now(shard_index, run)
    return combine_outcomes("shard", [*written, finished], finished, plan.reused)
