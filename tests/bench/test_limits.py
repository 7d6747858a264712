import pytest
import torch

from recolor.bench.limits import measure_limits


def test_a_device_has_a_name_and_rates(small_limits):
    limits = measure_limits(torch.device("cpu"), torch.float32)
    assert limits.device
    assert (limits.threads, limits.dtype) == (1, "float32")
    assert limits.matrix_flop_per_s == limits.float32_flop_per_s > 0
    assert limits.convolution_flop_per_s > 0
    assert limits.copy_bytes_per_s > 0


def test_bfloat16_has_a_matrix_rate_of_its_own(small_limits):
    limits = measure_limits(torch.device("cpu"), torch.bfloat16)
    assert limits.dtype == "bfloat16"
    assert limits.matrix_flop_per_s != limits.float32_flop_per_s


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_multiplies_bfloat16_faster_than_float32():
    limits = measure_limits(torch.device("cuda"), torch.bfloat16)
    assert limits.threads == 0
    assert limits.matrix_flop_per_s > 2 * limits.float32_flop_per_s
    assert limits.convolution_flop_per_s < limits.matrix_flop_per_s
