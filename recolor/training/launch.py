"""Training by one process or by several: this process does it, or starts the others and waits for their end.

Several are started by torchrun (see `recolor.pipeline.torchrun`), and meet on the loopback interface. The folder that
the outputs are built in holds their job, and what they leave for this process.
"""

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from recolor.config.loading import overlay
from recolor.config.settings import Config, ExecutionConfig, GeneratorConfig, RefinerConfig
from recolor.models.device import resolve_device
from recolor.models.encoder import Encoder
from recolor.models.weights import IMAGENET, load_encoder_weights
from recolor.pipeline.cache import Counts, Outcome, Part, run_part
from recolor.pipeline.parallel import worker_count
from recolor.pipeline.torchrun import PARENT
from recolor.pipeline.workspace import Workspace
from recolor.training.checkpoint import checkpoint_paths
from recolor.training.last_words import failure

StageName = Literal["generator", "refiner"]

COUNTS_FILE = "counts.json"
_JOB_FILE = "job.json"
_GRACE_S = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingStage:
    """A training as a stage.

    Attributes:
        name: Of the model.
        settings: The stage's own, of all settings.
        part: The unit of work: what it is keyed by and what it makes.
        build: Trains, and writes the outputs into a folder, unless another process of the same training does.
        checkpoints: The folder of its checkpoints.
    """

    name: StageName
    settings: Callable[[Config], GeneratorConfig | RefinerConfig]
    part: Callable[[Workspace, Config], Part]
    build: Callable[[Part, Config, Path], Counts]
    checkpoints: Callable[[Part, Config], Path]


@dataclass(frozen=True, slots=True)
class Job:
    """What several processes are to do.

    Attributes:
        stage: Which model they train.
        workspace: Root of the workspace, whose lock their parent holds.
        config: All settings.
        log_level: From which level on the first of them logs.
    """

    stage: StageName
    workspace: str
    config: Config
    log_level: int


def run_training(stage: TrainingStage, workspace: Workspace, config: Config) -> Outcome:
    """Trains, in as many processes as there are devices, unless it is done; goes on from the last checkpoint.

    Raises:
        ConfigError: CUDA, or more devices than there are, was asked for; nothing was started.
        RecolorError: What the training raises, in whichever process.
    """
    settings = stage.settings(config)
    resolve_device(settings.train.device, settings.train.devices)
    part = stage.part(workspace, config)

    def build(staging: Path) -> Counts:
        if settings.train.devices == 1:
            return stage.build(part, config, staging)
        if _needs_imagenet(settings):  # downloaded once, before several processes ask for it
            load_encoder_weights(Encoder(depth=1), IMAGENET)
        job = Job(stage.name, str(workspace.root), config, logging.getLogger().getEffectiveLevel())
        return _train_in_processes(job, settings.train.devices, staging, stage.checkpoints(part, config))

    return run_part(part, build)


def _needs_imagenet(settings: GeneratorConfig | RefinerConfig) -> bool:
    if isinstance(settings, RefinerConfig) and settings.perceptual_weight and settings.perceptual_weights == IMAGENET:
        return True
    return settings.model.encoder_weights == IMAGENET and not settings.start_from


def write_job(job: Job, folder: Path) -> None:
    """Puts a job into a folder."""
    (folder / _JOB_FILE).write_text(json.dumps(asdict(job)))


def read_job(folder: Path) -> Job:
    """The job that a folder holds."""
    values = json.loads((folder / _JOB_FILE).read_text())
    return Job(**{**values, "config": overlay(Config(), values["config"])})


def _train_in_processes(job: Job, processes: int, staging: Path, checkpoints: Path) -> Counts:
    """Has the processes do a job; Ctrl-C, or the end of this process, ends them all.

    Raises:
        RecolorError: What one of them raised, or how one ended.
    """
    write_job(job, staging)
    torchrun = _start(processes, staging)
    try:
        code = torchrun.wait()
    finally:
        _end(torchrun)
    if code:
        raise failure(job.stage, staging, next(reversed(checkpoint_paths(checkpoints)), None))
    counts: dict[str, int] = json.loads((staging / COUNTS_FILE).read_text())
    return counts


def _start(processes: int, staging: Path) -> subprocess.Popen[bytes]:
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    threads = max(1, worker_count(ExecutionConfig()) // processes)
    ours = {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads)),
        "GLOO_SOCKET_IFNAME": loopback,
        "NCCL_SOCKET_IFNAME": f"={loopback}",
        PARENT: str(os.getpid()),
    }
    return subprocess.Popen(  # noqa: S603 - this Python and modules of ours
        [sys.executable, "-m", "recolor.pipeline.torchrun", "recolor.training.worker", str(processes), str(staging)],
        env=os.environ | ours,
        process_group=0,  # Ctrl-C reaches all of a terminal's processes: the parent decides
    )


def _end(torchrun: subprocess.Popen[bytes]) -> None:
    """Ends torchrun and, through it, its processes. Should it hang: they end when they see that it is gone."""
    torchrun.terminate()
    try:
        torchrun.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        torchrun.kill()
        torchrun.wait()
