import os

import pytest
import torch
from torch.utils import deterministic

from recolor.config.settings import TrainConfig
from recolor.errors import ConfigError
from recolor.training.determinism import chosen_algorithms, prepare_cublas

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def _flags():
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.benchmark,
        deterministic.fill_uninitialized_memory,
    )


@pytest.mark.parametrize(
    ("device", "asked_for", "expected"),
    [
        (CPU, False, (True, False)),
        (CPU, True, (True, False)),
        (CUDA, True, (True, False)),
        (CUDA, False, (False, True)),
    ],
)
def test_algorithms_are_chosen_and_the_previous_ones_restored(device, asked_for, expected):
    before = _flags()
    with chosen_algorithms(TrainConfig(deterministic=asked_for), device):
        assert _flags() == (*expected, False)
    assert _flags() == before


def test_previous_algorithms_are_restored_after_an_error():
    before = _flags()
    with pytest.raises(KeyboardInterrupt), chosen_algorithms(TrainConfig(), CUDA):
        raise KeyboardInterrupt
    assert _flags() == before


def test_deterministic_mode_set_by_the_program_is_kept():
    torch.use_deterministic_algorithms(True)
    try:
        with chosen_algorithms(TrainConfig(), CUDA):
            assert _flags() == (True, False, False)
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_cublas_is_prepared_before_cuda_is_used(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    prepare_cublas(TrainConfig(deterministic=True), CPU)
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    for asked_for in (False, True):
        prepare_cublas(TrainConfig(deterministic=asked_for), CUDA)
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    prepare_cublas(TrainConfig(deterministic=True), CUDA)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


@pytest.mark.parametrize(("value", "initialised"), [(None, True), (":0:0", False)])
def test_where_cublas_cannot_be_prepared_determinism_is_refused(monkeypatch, value, initialised):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: initialised)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    if value is not None:
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", value)
    with pytest.raises(ConfigError, match=rf"CUBLAS_WORKSPACE_CONFIG=:4096:8 .* it is {value or 'not set'}\."):
        prepare_cublas(TrainConfig(deterministic=True), CUDA)
    prepare_cublas(TrainConfig(deterministic=False), CUDA)
