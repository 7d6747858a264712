"""Benchmark of a training: its rate, waiting for data, and use of the device's limits."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import nn

from recolor.bench.feed import training_set
from recolor.bench.hot import HOT_STEPS, HotOperation, hottest
from recolor.bench.limits import Limits, measure_limits
from recolor.bench.report import Mode, ModelName, Profile, Report
from recolor.bench.timing import Timing, mark, seconds_between, synchronize, time_steps
from recolor.bench.work import Work, count_work
from recolor.config.settings import Config, DeviceName, TrainConfig
from recolor.dataset.augment import Batch, make_batch
from recolor.dataset.dataset import ShardDataset
from recolor.dataset.loader import batches
from recolor.models.device import resolve_device
from recolor.models.files import LoadedGenerator
from recolor.models.generator import Generator
from recolor.models.refiner import Refiner
from recolor.pipeline.progress import track
from recolor.pipeline.workspace import Workspace
from recolor.training.checks import check_compiler
from recolor.training.determinism import chosen_algorithms, prepare_cublas
from recolor.training.generator import generator_loss
from recolor.training.refiner import refiner_loss
from recolor.training.step import Loss, Training, fresh_state, one_step, uses_bfloat16

MODELS: dict[ModelName, type[nn.Module]] = {"generator": Generator, "refiner": Refiner}
RANDOM_IMAGES = 512
CPU_BATCH_IMAGES = 8  # default maximum on a CPU: enough to measure the rate in seconds per step
_MODES: dict[str, tuple[Mode, ...]] = {"cpu": ("eager",), "cuda": ("eager", "compiled")}
_STEPS = {"cpu": (2, 5), "cuda": (10, 50)}  # warm-up steps, timed steps


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Options of a benchmark; defaults of None or empty values depend on the device.

    Attributes:
        device: Name of the device; `auto` is CUDA if available.
        models: Models to measure. Default: both.
        modes: Modes to measure. Default: eager and, on CUDA, compiled.
        batch_images: Images per step. Default: as configured, on a CPU at most `CPU_BATCH_IMAGES`.
        warmup_steps: Number of steps before the timed ones. Default: 2 on a CPU, 10 on CUDA.
        steps: Number of timed steps. Default: 5 on a CPU, 50 on CUDA.
        trace: Whether to profile a few more steps to find the slowest operations.
    """

    device: DeviceName = "auto"
    models: tuple[ModelName, ...] = ()
    modes: tuple[Mode, ...] = ()
    batch_images: int | None = None
    warmup_steps: int | None = None
    steps: int | None = None
    trace: bool = False


@dataclass(frozen=True, slots=True)
class _Bench:
    """Inputs shared by all measurements."""

    config: Config
    options: Options
    device: torch.device
    dataset: ShardDataset
    limits: Mapping[torch.dtype, Limits]


@dataclass(frozen=True, slots=True)
class _Run:
    """Raw measurements of one training in one mode."""

    model: ModelName
    mode: Mode
    train: TrainConfig
    timing: Timing
    conversion_s: float
    peak_memory_bytes: int | None
    hot: tuple[HotOperation, ...]


def bench_training(workspace: Workspace, config: Config, options: Options) -> Report:
    """Measures training steps with the data loading of `recolor train`; discards the models.

    Uses one device, regardless of `train.devices`. Validation, checkpoints and the reading of losses are left out.

    Args:
        workspace: Workspace whose shards are read, if it has any; nothing is written to it.
        config: Settings of the models and their training.
        options: Options of the benchmark.

    Raises:
        ConfigError: CUDA was requested but is not available, torch cannot compile here, or the crop is larger than
            the images in the shards.
        DamagedError: A shard is missing or truncated.
        InputError: The train split is empty.
    """
    device = resolve_device(options.device)
    models, modes = options.models or tuple(MODELS), options.modes or _MODES[device.type]
    for name in models:
        prepare_cublas(_train_config(config, name), device)
    if "compiled" in modes:
        check_compiler(models[0], device)
    limits = _limits(dict.fromkeys(_dtype(_train_config(config, name), device) for name in models), device)
    with training_set(workspace, size_px=config.shard.size_px, images=RANDOM_IMAGES) as (dataset, data):
        profiles = tuple(_profiles(_Bench(config, options, device, dataset, limits), models, modes))
    return Report(torch=torch.__version__, data=data, limits=tuple(limits.values()), profiles=profiles)


def _limits(dtypes: Iterable[torch.dtype], device: torch.device) -> dict[torch.dtype, Limits]:
    with chosen_algorithms(TrainConfig(), device):
        return {dtype: measure_limits(device, dtype) for dtype in dtypes}


def _profiles(bench: _Bench, models: Iterable[ModelName], modes: Iterable[Mode]) -> Iterator[Profile]:
    work = {name: _work(bench, name) for name in models}
    for name, mode in track(runs := list(product(work, modes)), "bench", len(runs), "runs"):
        yield _profile(bench, _run(bench, name, mode), work[name])


def _run(bench: _Bench, name: ModelName, mode: Mode) -> _Run:
    """Times the steps of a training; its memory is freed on return."""
    device, options = bench.device, bench.options
    warmup_steps, steps = _step_counts(options, device)
    train = _train(bench, name, mode, warmup_steps + steps + (HOT_STEPS if options.trace else 0))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    training = _new_training(name, bench.config, train, device)
    state = fresh_state(training)

    def step(batch: Batch) -> None:
        one_step(training, state, batch)

    with chosen_algorithms(train, device), closing(batches(bench.dataset, train, 0, device)) as feed:
        timing = time_steps(feed, step, device=device, warmup_steps=warmup_steps, steps=steps)
        peak_memory_bytes = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
        hot = hottest(feed, step, device) if options.trace else ()
    return _Run(name, mode, train, timing, _conversion_s(bench.dataset, train, device), peak_memory_bytes, hot)


def _profile(bench: _Bench, run: _Run, work: Work) -> Profile:
    limits = bench.limits[_dtype(run.train, bench.device)]
    images, step_s, data_s = run.train.batch_images, run.timing.step_s, run.timing.data_s
    return Profile(
        model=run.model,
        mode=run.mode,
        batch_images=images,
        configured_images=_train_config(bench.config, run.model).batch_images,
        crop_px=run.train.crop_px,
        step_s=step_s,
        images_per_s=images / step_s,
        data_share=data_s / step_s,
        waiting_share=max(0.0, data_s - run.conversion_s) / step_s,
        flop_per_image=work.flop / images,
        own_flop_per_image=work.own_flop / images,
        flop_per_s=work.flop / step_s,
        matrix_share=work.flop / step_s / limits.matrix_flop_per_s,
        bytes_per_image=work.traffic_bytes / images,
        bytes_per_s=work.traffic_bytes / step_s,
        copy_share=work.traffic_bytes / step_s / limits.copy_bytes_per_s,
        peak_memory_bytes=run.peak_memory_bytes,
        hot=run.hot,
    )


def _work(bench: _Bench, name: ModelName) -> Work:
    """Counts the work of the first step, in eager mode."""
    train = _train(bench, name, "eager", 1)
    training = _new_training(name, bench.config, train, bench.device)
    state = fresh_state(training)
    with chosen_algorithms(train, bench.device):
        (batch,) = batches(bench.dataset, train, 0, bench.device)
        return count_work(lambda: one_step(training, state, batch), own=MODELS[name])


def _conversion_s(dataset: ShardDataset, train: TrainConfig, device: torch.device) -> float:
    """Returns the seconds that the device takes to make a batch from images in its memory."""
    codes = torch.from_numpy(dataset.codes(np.arange(train.batch_images) % dataset.rows)).to(device)
    make_batch(codes, train=train, step=0, augment=True)
    synchronize(device)
    start = mark(device)
    for step in range(train.steps):
        make_batch(codes, train=train, step=step, augment=True)
    end = mark(device)
    synchronize(device)
    return seconds_between(start, end) / train.steps


def _train(bench: _Bench, name: ModelName, mode: Mode, steps: int) -> TrainConfig:
    train = _train_config(bench.config, name)
    most = CPU_BATCH_IMAGES if bench.device.type == "cpu" else train.batch_images
    images = bench.options.batch_images or min(train.batch_images, most)
    return replace(train, steps=steps, batch_images=images, compile=mode == "compiled")


def _step_counts(options: Options, device: torch.device) -> tuple[int, int]:
    warmup_steps, steps = _STEPS[device.type]
    return (
        warmup_steps if options.warmup_steps is None else options.warmup_steps,
        steps if options.steps is None else options.steps,
    )


def _dtype(train: TrainConfig, device: torch.device) -> torch.dtype:
    return torch.bfloat16 if uses_bfloat16(train, device) else torch.float32


def _train_config(config: Config, name: ModelName) -> TrainConfig:
    return config.generator.train if name == "generator" else config.refiner.train


def _new_training(name: ModelName, config: Config, train: TrainConfig, device: torch.device) -> Training:
    """Returns a training before its first step, with the real model, loss and settings.

    Encoders have random weights and all colours equal weights, which does not affect the time. The refiner's loss uses
    an untrained generator, whose predictions are part of the refiner's steps.
    """
    torch.manual_seed(train.seed)
    if name == "generator":
        generator = Generator(config.generator.model).to(device)
        weights = torch.ones_like(generator.bins.centres[:, 0])
        return _training(name, generator, generator_loss(config.generator, generator.bins, weights), train)
    refiner = Refiner(config.refiner.model).to(device)
    return _training(name, refiner, _refiner_loss(config, device), train)


def _training(name: ModelName, model: nn.Module, loss: Loss, train: TrainConfig) -> Training:
    return Training(name=name, model=model, loss=loss, config=train, checkpoints=Path(), key="")


def _refiner_loss(config: Config, device: torch.device) -> Loss:
    untrained = Generator(config.generator.model).to(device).to(memory_format=torch.channels_last)
    untrained.eval().requires_grad_(False)
    generator = LoadedGenerator(
        untrained, config.generator.model, config.generator.temperature, config.generator.saturation, {}
    )
    return refiner_loss(generator, replace(config.refiner, adversarial_weight=0.0))  # without a discriminator
