"""One step of a training: its learning rate, the loss under autocast, the optimiser, the averaged weights."""

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recolor.config.settings import TrainConfig
from recolor.dataset.augment import Batch
from recolor.training.batch_norm import with_global_batch_norm
from recolor.training.distributed import replicated
from recolor.training.metrics import Metric

_FINAL_LR_FRACTION = 0.01
_EMA_WARMUP_STEPS = 10

Loss = Callable[[nn.Module, Batch], Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """What is to be trained.

    Attributes:
        name: Of the model, for the progress bar and messages.
        model: With its first weights, on its device.
        loss: Of a batch under the given model, a float32 scalar.
        config: How.
        checkpoints: Folder of this training's checkpoints alone: `data/models/<name>/checkpoints/<start of key>`.
        key: Of this training.
        settings: What the key is made of, by dotted names: tells what another training's checkpoint differs in.
    """

    name: str
    model: nn.Module
    loss: Loss
    config: TrainConfig
    checkpoints: Path
    key: str
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Of the model: `data/models/<name>`."""
        return self.checkpoints.parents[1]


@dataclass(frozen=True, slots=True)
class Paired:
    """The tensors of the averaged model beside the model's, in one order.

    Attributes:
        averaged, current: Weights, and batch norm's statistics.
        counters, counts: Integers, such as how many batches a batch norm has seen.
    """

    averaged: list[Tensor]
    current: list[Tensor]
    counters: list[Tensor]
    counts: list[Tensor]


@dataclass(slots=True)
class State:
    """What changes from step to step.

    Attributes:
        model: In training mode.
        replica: The same model, as the loss calls it: several processes average its gradients.
        ema: The averaged model, in evaluation mode; of a finished training, what is exported.
        optimizer: Of the model's parameters.
        parameters: The model's. They and `paired` are listed once: to list them at each step takes as long as to
            average them.
        paired: The tensors of `ema` and `model`.
        step: Steps done.
        metrics: What was measured so far.
        pending: Steps' losses and gradient norms still on the device.
        done: Whether the training was finished before.
    """

    model: nn.Module
    replica: nn.Module
    ema: nn.Module
    optimizer: torch.optim.AdamW
    parameters: list[nn.Parameter]
    paired: Paired
    step: int = 0
    metrics: list[Metric] = field(default_factory=list)
    pending: list[tuple[int, Tensor]] = field(default_factory=list)
    done: bool = False


def lr_at(step: int, config: TrainConfig) -> float:
    """The learning rate of a step (the first is 0): linear warm-up, then cosine to 1% of the peak."""
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - 1 - config.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return config.lr * (_FINAL_LR_FRACTION + (1 - _FINAL_LR_FRACTION) * cosine)


def ema_decay_at(step: int, config: TrainConfig) -> float:
    """The averaging's decay: lower in the first steps, so that the first random weights are soon forgotten."""
    return min(config.ema_decay, (1 + step) / (_EMA_WARMUP_STEPS + step))


def uses_bfloat16(config: TrainConfig, device: torch.device) -> bool:
    """Whether the forward pass runs under bfloat16 autocast."""
    return config.amp == "bfloat16" or (config.amp == "auto" and _multiplies_bfloat16(device))


def fresh_state(training: Training) -> State:
    """The state before the first step: the model as it is, an average that equals it, a fresh optimiser.

    With `compile`, the model's first step compiles it, in place: the names of its tensors stay. The averaged model is
    not compiled: it only runs for validation.
    """
    model = with_global_batch_norm(training.model).to(memory_format=torch.channels_last).train()
    ema = deepcopy(model).requires_grad_(False).eval()
    if training.config.compile:
        model.compile()
    optimizer = _optimizer(model, training.config)
    return State(model, replicated(model), ema, optimizer, list(model.parameters()), _paired(ema, model))


def one_step(training: Training, state: State, batch: Batch) -> None:
    """Takes one step; its loss and gradient norm stay on the device, in `state.pending`."""
    for group in state.optimizer.param_groups:
        group["lr"] = lr_at(state.step, training.config)
    loss = loss_of(training, state.replica, batch)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]  # torch ships this one without types
    norm = nn.utils.clip_grad_norm_(state.parameters, training.config.clip_norm)
    state.optimizer.step()
    _average(state.paired, ema_decay_at(state.step, training.config))
    state.pending.append((state.step, torch.stack([loss.detach(), norm])))
    state.step += 1


def loss_of(training: Training, model: nn.Module, batch: Batch) -> Tensor:
    """The loss of a batch under a model: a float32 scalar, the forward pass under autocast where it is used."""
    device = batch.L.device
    with torch.autocast(device.type, torch.bfloat16, enabled=uses_bfloat16(training.config, device)):
        return training.loss(model, batch)


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is fast: elsewhere it is emulated, slower than float32. Older torch cannot tell of a CPU."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict[str, bool])()
    return device.type == "cuda" or any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def _optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    parameters = list(model.parameters())
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, fused=True)


def _paired(ema: nn.Module, model: nn.Module) -> Paired:
    averaged, current = ema.state_dict(), model.state_dict()
    floats = [name for name, tensor in averaged.items() if tensor.is_floating_point()]
    integers = [name for name in averaged if name not in set(floats)]
    return Paired(*([state[name] for name in names] for names in (floats, integers) for state in (averaged, current)))


@torch.no_grad()
def _average(paired: Paired, decay: float) -> None:
    """Moves the averaged weights, and batch norm's statistics with them, a little towards the model's."""
    torch._foreach_lerp_(paired.averaged, paired.current, 1 - decay)
    if paired.counters:
        torch._foreach_copy_(paired.counters, paired.counts)
