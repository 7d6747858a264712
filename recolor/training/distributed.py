"""Training in several processes: starting them, their process group, and their errors.

`run_training` trains in this process, or starts one process per device with torchrun (see `recolor.pipeline.torchrun`)
and waits for them. The processes communicate over the loopback interface. The staging folder, in which the outputs are
built, also holds the job for the processes and the files in which they report to their parent.

Without a process group, the world size is 1 and a sum or mean over the processes is the value itself.
"""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from recolor import errors
from recolor.config.loading import overlay
from recolor.config.settings import Config, ExecutionConfig, GeneratorConfig, RefinerConfig, TrainConfig
from recolor.dataset.sampler import WHOLE, Share
from recolor.errors import RecolorError, TrainingError
from recolor.models.backbones import make_encoder
from recolor.models.device import resolve_device
from recolor.models.identity import IMAGENET
from recolor.models.runs import Run, check_name, find_run, keep_current, keep_run, promote
from recolor.models.weights import load_encoder_weights
from recolor.pipeline.cache import Counts, Outcome, Part, Record, current_record, run_part
from recolor.pipeline.parallel import worker_count
from recolor.pipeline.torchrun import ENDED_FILE, PARENT
from recolor.pipeline.workspace import Workspace
from recolor.training.checkpoint import checkpoint_paths
from recolor.training.determinism import prepare_cublas

StageName = Literal["generator", "refiner"]

COUNTS_FILE = "counts.json"
_JOB_FILE = "job.json"
_STOP_TIMEOUT_S = 10
# A process waits this long for the others: rank 0 alone writes files, and compiling a model may take minutes.
_COLLECTIVE_TIMEOUT = timedelta(minutes=30)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingStage:
    """The training of one model as a stage of the pipeline.

    Attributes:
        name: Name of the model.
        settings: Returns the model's settings from all settings.
        part: Returns the unit of work: its key and its output files.
        build: Trains the model; rank 0 writes the outputs into the folder.
        checkpoints: Returns the folder of the training's checkpoints.
    """

    name: StageName
    settings: Callable[[Config], GeneratorConfig | RefinerConfig]
    part: Callable[[Workspace, Config], Part]
    build: Callable[[Part, Config, Path], Counts]
    checkpoints: Callable[[Part, Config], Path]


@dataclass(frozen=True, slots=True)
class Job:
    """A training to be done by several processes.

    Attributes:
        stage: Name of the model.
        workspace: Root of the workspace, which the parent process has locked.
        config: All settings.
        log_level: Log level of rank 0.
    """

    stage: StageName
    workspace: str
    config: Config
    log_level: int


@dataclass(frozen=True, slots=True)
class ErrorReport:
    """The error that ended a process.

    Attributes:
        rank: Rank of the process.
        time_s: Time of the error, in seconds since the epoch; the first of several errors is the cause of the others.
        error: Name of the error's class.
        expected: Whether it is a `RecolorError`, whose message is complete without a traceback.
        message: The error's message.
        trace: Its traceback.
    """

    rank: int
    time_s: float
    error: str
    expected: bool
    message: str
    trace: str


def run_training(stage: TrainingStage, workspace: Workspace, config: Config, name: str = "") -> Outcome:
    """Trains with one process per device; does nothing if the training is already done.

    Resumes from the newest checkpoint. The finished training is kept as a run (see `recolor.models.runs`). If there is
    a run of this training already, it becomes the current model without training.

    Args:
        stage: The model to train.
        workspace: The workspace.
        config: All settings.
        name: Name of the run. Default: the date and the start of the key.

    Raises:
        ConfigError: CUDA, or more devices than there are, was requested, or the name is taken; nothing was started.
        RecolorError: The training failed, in any of its processes.
    """
    settings = stage.settings(config)
    resolve_device(settings.train.device, settings.train.devices)
    part = stage.part(workspace, config)
    if (kept := kept_run(stage, part)) is not None:
        return _promoted(part, kept)
    if name and current_record(part) is None:
        check_name(workspace, name)

    def build(staging: Path) -> Counts:
        if settings.train.devices == 1:
            return stage.build(part, config, staging)
        if _needs_imagenet(settings):  # downloaded once, before several processes ask for it
            load_encoder_weights(make_encoder(settings.model.encoder, 1), IMAGENET)
        job = Job(stage.name, str(workspace.root), config, logging.getLogger().getEffectiveLevel())
        return _run_processes(job, settings.train.devices, staging, stage.checkpoints(part, config))

    return run_part(part, build, partial(keep_training, stage, workspace, name=name))


def kept_run(stage: TrainingStage, part: Part) -> Run | None:
    """Returns the run of a training that is finished but not the current model; otherwise None."""
    return None if current_record(part) is not None else find_run(part.workspace, stage.name, part.key)


def keep_training(stage: TrainingStage, workspace: Workspace, files: Path, record: Record, name: str = "") -> None:
    """Keeps a finished training as a run, and the model whose place it will take if no run holds that."""
    keep_current(workspace, stage.name)
    keep_run(workspace, stage.name, files, record, name=name)


def _promoted(part: Part, run: Run) -> Outcome:
    promote(part.workspace, run)
    return Outcome(part.stage, 0, 1, run.record.counts, run.record.seconds_s, f"trained before: run {run.name}")


def write_job(job: Job, folder: Path) -> None:
    """Writes a job into a folder."""
    (folder / _JOB_FILE).write_text(json.dumps(asdict(job)))


def read_job(folder: Path) -> Job:
    """Reads the job in a folder."""
    values = json.loads((folder / _JOB_FILE).read_text())
    return Job(**{**values, "config": overlay(Config(), values["config"])})


@contextmanager
def process_group(config: TrainConfig, store: Path | None = None) -> Iterator[None]:
    """Joins the process group of this torchrun run for the duration of the block.

    Args:
        config: The backend is NCCL if its device resolves to CUDA, otherwise gloo.
        store: File through which the processes find each other. It must not exist yet and must be the same for all.
            By default they use the store that torchrun's environment variables name.

    Raises:
        ConfigError: There is no GPU for this process, or CUDA cannot be as deterministic as requested.
    """
    rank, size = _torchrun_variable("RANK"), _torchrun_variable("WORLD_SIZE")
    device = resolve_device(config.device, _torchrun_variable("LOCAL_WORLD_SIZE"))
    where: dict[str, Any] = {"store": _file_store(store, size)} if store else {"init_method": "env://"}
    if device.type == "cuda":
        prepare_cublas(config, device)
        torch.cuda.set_device(_torchrun_variable("LOCAL_RANK"))
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, rank=rank, world_size=size, timeout=_COLLECTIVE_TIMEOUT, **where)
    yield
    dist.destroy_process_group()  # not after an error: it would wait for the others, and they for this process


def batch_share() -> Share:
    """Returns this process's share of each batch; without a process group, the whole batch."""
    return Share(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else WHOLE


def world_size() -> int:
    """Returns the number of processes that train together."""
    return batch_share().world_size


def is_main_process() -> bool:
    """Returns whether this is rank 0, the only process that writes files and shows progress."""
    return batch_share().rank == 0


def local_device(config: TrainConfig) -> torch.device:
    """Returns the device of this process; on CUDA in a process group, that of its local rank.

    Raises:
        ConfigError: The device does not exist.
    """
    if not dist.is_initialized():
        return resolve_device(config.device, config.devices)
    device = resolve_device(config.device, _torchrun_variable("LOCAL_WORLD_SIZE"))
    return torch.device("cuda", _torchrun_variable("LOCAL_RANK")) if device.type == "cuda" else device


def all_reduce_sum(values: Tensor) -> Tensor:
    """Returns the sum over all processes, bit for bit the same in each. It has no gradient."""
    if not dist.is_initialized():
        return values
    total = values.detach().clone()
    dist.all_reduce(total)
    return total


def all_reduce_mean(values: Tensor) -> Tensor:
    """Returns the mean over all processes, bit for bit the same in each. It has no gradient."""
    return all_reduce_sum(values) / world_size()


def all_gather(values: Tensor) -> Tensor:
    """Returns the values of all processes by rank, [world size, ...]. They have no gradient."""
    share = batch_share()
    slots = values.new_zeros(share.world_size, *values.shape)
    slots[share.rank] = values
    return all_reduce_sum(slots)


def data_parallel(model: nn.Module) -> nn.Module:
    """Returns the model wrapped so that the backward pass averages gradients over the processes.

    The shares of a batch are equal, so the mean of their means is the mean of the batch. Buffers are not broadcast:
    those of batch norm are equal in all processes already (see `recolor.training.batch_norm`).
    """
    if not dist.is_initialized():
        return model
    device = next(model.parameters()).device
    with warnings.catch_warnings():  # newer torch renames `broadcast_buffers` but still accepts the old name
        warnings.simplefilter("ignore", FutureWarning)
        return DistributedDataParallel(
            model,
            device_ids=[device] if device.type == "cuda" else None,
            broadcast_buffers=False,
            gradient_as_bucket_view=True,
        )


@contextmanager
def report_errors(folder: Path, rank: int) -> Iterator[None]:
    """Writes an error of the block into the folder and exits at once.

    Otherwise the other processes would wait for this one.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent raises it
        expected, trace = isinstance(error, RecolorError), traceback.format_exc()
        report = ErrorReport(rank, time.time(), type(error).__name__, expected, str(error).strip(), trace)
        (folder / f"error-{rank}.json").write_text(json.dumps(asdict(report)))
        sys.stderr.flush()
        os._exit(1)


def worker_error(name: str, folder: Path, last_good: Path | None) -> RecolorError:
    """Returns the error that the parent raises after one of its processes has failed.

    Args:
        name: Name of the model.
        folder: Folder with the processes' error reports and torchrun's file of exit codes.
        last_good: The newest checkpoint.

    Returns:
        The first `RecolorError` that a process reported, if there is one. Otherwise a `TrainingError` that says which
        process ended and how; the traceback of the first reported error is added as a note.
    """
    reports = [ErrorReport(**json.loads(path.read_text())) for path in folder.glob("error-*.json")]
    reports.sort(key=lambda report: (not report.expected, report.time_s))
    if reports and reports[0].expected:
        kind: type[RecolorError] = getattr(errors, reports[0].error)
        return kind(reports[0].message)
    error = TrainingError(
        f"{name}: {_unexpected_end(reports, folder)}. All processes were ended. Last good checkpoint:"
        f" {last_good or 'none yet'}. Run again to resume from there."
    )
    for report in reports[:1]:
        error.add_note(report.trace)
    return error


def _needs_imagenet(settings: GeneratorConfig | RefinerConfig) -> bool:
    if isinstance(settings, RefinerConfig) and settings.perceptual_weight and settings.perceptual_weights == IMAGENET:
        return True
    return settings.model.encoder_weights == IMAGENET and not settings.start_from


def _run_processes(job: Job, processes: int, staging: Path, checkpoints: Path) -> Counts:
    """Runs a job in several processes. Ctrl-C or the end of this process stops them all.

    Raises:
        RecolorError: One of them failed.
    """
    write_job(job, staging)
    torchrun = _start_torchrun(processes, staging)
    try:
        code = torchrun.wait()
    finally:
        _stop_torchrun(torchrun)
    if code:
        raise worker_error(job.stage, staging, next(reversed(checkpoint_paths(checkpoints)), None))
    counts: dict[str, int] = json.loads((staging / COUNTS_FILE).read_text())
    return counts


def _start_torchrun(processes: int, staging: Path) -> subprocess.Popen[bytes]:
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    threads = max(1, worker_count(ExecutionConfig()) // processes)
    variables = {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads)),
        "GLOO_SOCKET_IFNAME": loopback,
        "NCCL_SOCKET_IFNAME": f"={loopback}",
        PARENT: str(os.getpid()),
    }
    return subprocess.Popen(  # noqa: S603 - this Python and modules of ours
        [sys.executable, "-m", "recolor.pipeline.torchrun", "recolor.training.worker", str(processes), str(staging)],
        env=os.environ | variables,
        process_group=0,  # a terminal sends Ctrl-C to its whole process group; here the parent alone handles it
    )


def _stop_torchrun(torchrun: subprocess.Popen[bytes]) -> None:
    """Stops torchrun and its processes, which also end by themselves once torchrun is gone."""
    torchrun.terminate()
    try:
        torchrun.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        torchrun.kill()
        torchrun.wait()


def _unexpected_end(reports: list[ErrorReport], folder: Path) -> str:
    """Describes what ended the training.

    A process without a report is named first, because it caused the errors of the others.
    """
    ended_file = folder / ENDED_FILE
    codes: dict[str, int] = json.loads(ended_file.read_text()) if ended_file.exists() else {}
    reported = {str(report.rank) for report in reports}
    silent = {rank: code for rank, code in codes.items() if rank not in reported}
    not_stopped = {rank: code for rank, code in silent.items() if code != -signal.SIGTERM}  # torchrun stops the others
    if silent:
        return ", ".join(f"process {rank} {_ending(code)}" for rank, code in (not_stopped or silent).items())
    if reports:
        return f"process {reports[0].rank} raised {reports[0].error}: {reports[0].message}"
    return "torchrun ended without saying why"


def _ending(code: int) -> str:
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL), by the system if its memory was full"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _file_store(path: Path, size: int) -> Any:
    return dist.FileStore(str(path), size)  # type: ignore[attr-defined]  # torch's type hints omit this store


def _torchrun_variable(name: str) -> int:
    return int(os.environ[name])
