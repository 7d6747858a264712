"""One step of a training: its learning rate, the loss under autocast, the optimiser, the averaged weights."""

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recolor.augment import Batch
from recolor.config import TrainConfig
from recolor.train.checkpoint import Metric

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
        checkpoints: Folder of this training's checkpoints alone.
        key: Of this training.
    """

    name: str
    model: nn.Module
    loss: Loss
    config: TrainConfig
    checkpoints: Path
    key: str


@dataclass(slots=True)
class State:
    """What changes from step to step; `pending` holds steps' losses and gradient norms still on the device."""

    model: nn.Module
    ema: nn.Module
    optimizer: torch.optim.AdamW
    step: int = 0
    metrics: list[Metric] = field(default_factory=list)
    pending: list[tuple[int, Tensor]] = field(default_factory=list)


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
    """The state before the first step: the model as it is, an average that equals it, a fresh optimiser."""
    training.model.to(memory_format=torch.channels_last)
    ema = deepcopy(training.model).requires_grad_(False)
    return State(training.model, ema, _optimizer(training.model, training.config))


def one_step(training: Training, state: State, batch: Batch) -> None:
    """Takes one step; its loss and gradient norm stay on the device, in `state.pending`."""
    state.model.train()
    for group in state.optimizer.param_groups:
        group["lr"] = lr_at(state.step, training.config)
    loss = loss_of(training, state.model, batch)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]  # torch ships this one without types
    norm = nn.utils.clip_grad_norm_(state.model.parameters(), training.config.clip_norm)
    state.optimizer.step()
    _average(state.ema, state.model, ema_decay_at(state.step, training.config))
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


@torch.no_grad()
def _average(ema: nn.Module, model: nn.Module, decay: float) -> None:
    """Moves the averaged weights, and batch norm's statistics with them, a little towards the model's."""
    averaged, current = ema.state_dict(), model.state_dict()
    floats = [name for name, tensor in averaged.items() if tensor.is_floating_point()]
    torch._foreach_lerp_([averaged[name] for name in floats], [current[name] for name in floats], 1 - decay)
    for name in averaged.keys() - set(floats):
        averaged[name].copy_(current[name])
