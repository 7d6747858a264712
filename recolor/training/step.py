"""One training step: learning rate, loss under autocast, optimiser, averaged weights (EMA)."""

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
from recolor.training.distributed import data_parallel
from recolor.training.metrics import Metric

_FINAL_LR_FRACTION = 0.01
_EMA_WARMUP_STEPS = 10
_ENCODER = "encoder"  # the name of the submodule, in generator and refiner

Loss = Callable[[nn.Module, Batch], Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """The definition of a training.

    Attributes:
        name: Name of the model, for the progress bar and messages.
        model: The model with its initial weights, on its device.
        loss: Returns the loss of a batch under a model, a float32 scalar.
        config: Settings of the training.
        checkpoints: Folder of this training's checkpoints: `data/models/<name>/checkpoints/<start of key>`.
        key: Key of the training.
        settings: Settings and inputs that make up the key, by dotted names. They are compared with those of a
            checkpoint from another training.
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
        """Folder of the model: `data/models/<name>`."""
        return self.checkpoints.parents[1]


@dataclass(frozen=True, slots=True)
class PairedTensors:
    """The tensors of the averaged model and of the model, in the same order.

    Attributes:
        averaged, current: Weights and batch norm statistics of the averaged model and of the model.
        averaged_integers, current_integers: Integers, such as batch norm's number of batches.
    """

    averaged: list[Tensor]
    current: list[Tensor]
    averaged_integers: list[Tensor]
    current_integers: list[Tensor]


@dataclass(slots=True)
class State:
    """The state of a training, which each step changes.

    Attributes:
        model: The model, in training mode.
        replica: The same model as the loss calls it, wrapped in DistributedDataParallel if there is a process group.
        ema: The averaged model, in evaluation mode; after the end of the training, the exported model.
        optimizer: Optimiser of the model's parameters.
        parameters: Parameters of the model. They and `paired` are listed once, because listing them in each step
            takes as long as averaging them.
        paired: The tensors of `ema` and `model`.
        step: Number of steps done.
        metrics: Metrics so far.
        pending: Losses and gradient norms that are still on the device, with their steps.
        done: Whether the training was already finished.
    """

    model: nn.Module
    replica: nn.Module
    ema: nn.Module
    optimizer: torch.optim.AdamW
    parameters: list[nn.Parameter]
    paired: PairedTensors
    step: int = 0
    metrics: list[Metric] = field(default_factory=list)
    pending: list[tuple[int, Tensor]] = field(default_factory=list)
    done: bool = False


def lr_at(step: int, config: TrainConfig) -> float:
    """Returns the learning rate of a step.

    The first step is 0. The rate warms up linearly, then decays to 1% of the peak along a cosine.
    """
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - 1 - config.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return config.lr * (_FINAL_LR_FRACTION + (1 - _FINAL_LR_FRACTION) * cosine)


def ema_decay_at(step: int, config: TrainConfig) -> float:
    """Returns the EMA decay of a step.

    It is lower in the first steps, so that the initial weights soon lose influence.
    """
    return min(config.ema_decay, (1 + step) / (_EMA_WARMUP_STEPS + step))


def uses_bfloat16(config: TrainConfig, device: torch.device) -> bool:
    """Returns whether the forward pass runs under bfloat16 autocast."""
    return config.amp == "bfloat16" or (config.amp == "auto" and _has_fast_bfloat16(device))


def fresh_state(training: Training) -> State:
    """Returns the state before the first step; the averaged model is a copy of the model.

    With `compile`, the first step compiles the model in place; the names of its tensors do not change. The averaged
    model is not compiled, because it only runs for validation.
    """
    model = with_global_batch_norm(training.model).to(memory_format=torch.channels_last).train()
    if training.config.encoder_lr_fraction == 0:
        _freeze_encoder(model)
    ema = deepcopy(model).requires_grad_(False).eval()
    if training.config.compile:
        model.compile()
    optimizer = _optimizer(model, training.config)
    return State(model, data_parallel(model), ema, optimizer, list(model.parameters()), _paired(ema, model))


def one_step(training: Training, state: State, batch: Batch) -> None:
    """Does one training step; its loss and gradient norm stay on the device, in `state.pending`."""
    for group in state.optimizer.param_groups:
        group["lr"] = group["lr_fraction"] * lr_at(state.step, training.config)
    loss = loss_of(training, state.replica, batch)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]  # no type hints in torch
    norm = nn.utils.clip_grad_norm_(state.parameters, training.config.clip_norm)
    state.optimizer.step()
    _average(state.paired, ema_decay_at(state.step, training.config))
    state.pending.append((state.step, torch.stack([loss.detach(), norm])))
    state.step += 1


def loss_of(training: Training, model: nn.Module, batch: Batch) -> Tensor:
    """Returns the loss of a batch, a float32 scalar, with autocast according to `amp`."""
    device = batch.L.device
    with torch.autocast(device.type, torch.bfloat16, enabled=uses_bfloat16(training.config, device)):
        return training.loss(model, batch)


def _has_fast_bfloat16(device: torch.device) -> bool:
    """Returns whether the device has bfloat16 instructions.

    Without them bfloat16 is emulated and slower than float32. Older torch does not report them for a CPU: then
    False.
    """
    capabilities = getattr(torch.cpu, "get_capabilities", dict[str, bool])()
    return device.type == "cuda" or any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def _freeze_encoder(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if name.rpartition(".")[2] == _ENCODER:
            module.requires_grad_(False).eval()


def _optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    encoder = {name for name, _ in named if _ENCODER in name.split(".") and config.encoder_lr_fraction != 1}
    groups: list[dict[str, Any]] = [
        {
            "params": [p for name, p in named if (p.ndim >= 2) == decays and (name in encoder) == in_encoder],
            "weight_decay": config.weight_decay if decays else 0.0,
            "lr_fraction": config.encoder_lr_fraction if in_encoder else 1.0,
        }
        for in_encoder in (False, True)
        for decays in (True, False)
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=config.lr, fused=True)


def _paired(ema: nn.Module, model: nn.Module) -> PairedTensors:
    averaged, current = ema.state_dict(), model.state_dict()
    floats = [name for name, tensor in averaged.items() if tensor.is_floating_point()]
    integers = [name for name in averaged if name not in set(floats)]
    return PairedTensors(
        *([state[name] for name in names] for names in (floats, integers) for state in (averaged, current))
    )


@torch.no_grad()
def _average(paired: PairedTensors, decay: float) -> None:
    """Updates the averaged weights and batch norm statistics (EMA)."""
    torch._foreach_lerp_(paired.averaged, paired.current, 1 - decay)
    if paired.averaged_integers:
        torch._foreach_copy_(paired.averaged_integers, paired.current_integers)
