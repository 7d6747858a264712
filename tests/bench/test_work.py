import pytest
import torch
from torch import nn

from recolor.bench.work import Traffic, count_work

FLOAT_BYTES = 4


class _Other(nn.Linear):
    """A class whose operations are not counted separately."""


def _backward(module, x):
    return lambda: module(x).sum().backward()


def test_a_convolution_is_two_operations_a_tap_and_twice_that_backward():
    forward = 2 * (2 * 8 * 10 * 12) * (3 * 3 * 3)  # outputs, taps
    conv, x = nn.Conv2d(3, 8, 3, padding=1), torch.randn(2, 3, 10, 12)
    assert count_work(lambda: conv(x), nn.Conv2d).flop == forward
    assert count_work(_backward(conv, x), nn.Conv2d).flop == 2 * forward  # the image needs no gradient
    assert count_work(_backward(conv, x.requires_grad_()), nn.Conv2d).flop == 3 * forward


def test_a_linear_layer_is_two_operations_a_weight_and_sample():
    forward = 2 * 16 * 5 * 7
    linear, x = nn.Linear(5, 7), torch.randn(16, 5)
    assert count_work(lambda: linear(x), nn.Linear).flop == forward
    assert count_work(_backward(linear, x.requires_grad_()), nn.Linear).flop == 3 * forward


def test_the_operations_of_one_class_are_counted_apart():
    linear, other, x = nn.Linear(5, 7), _Other(7, 3), torch.randn(16, 5)
    work = count_work(lambda: other(linear(x)).sum().backward(), _Other)
    assert work.own_flop == 3 * 2 * 16 * 7 * 3
    assert work.flop == work.own_flop + 2 * 2 * 16 * 5 * 7


@pytest.fixture
def x():
    return torch.randn(4, 6)


@pytest.mark.parametrize(
    ("operation", "tensors"),
    [
        (lambda x: x + x.clone(), 2 + 3),
        (lambda x: x.relu_(), 2),
        (lambda x: x.mul_(x), 3),
        (lambda x: torch._foreach_add_([x, x], 1.0), 4),
        (lambda x: torch.zeros(4, 6), 1),
        (torch.empty_like, 0),
        (lambda x: x.t().view(2, 3, 4)[0], 0),
        (lambda x: x.to(torch.bfloat16), 1.5),
        (lambda x: x.to(torch.float32), 0),
        (lambda x: torch.add(x, 1, out=torch.empty(4, 6)), 3),
        (lambda x: x[:1].expand(4, 6) + x, 0.25 + 2),
    ],
)
def test_an_operation_reads_its_arguments_and_writes_its_results(x, operation, tensors):
    with Traffic() as traffic:
        operation(x)
    assert traffic.traffic_bytes == tensors * 24 * FLOAT_BYTES


def test_a_convolution_moves_its_image_its_weights_and_its_result():
    conv, x = nn.Conv2d(3, 8, 3, padding=1, bias=False), torch.randn(2, 3, 10, 12)
    with Traffic() as traffic, torch.no_grad():
        conv(x)
    assert traffic.traffic_bytes == FLOAT_BYTES * (2 * 3 * 10 * 12 + 8 * 3 * 9 + 2 * 8 * 10 * 12)


def test_counting_changes_no_result():
    torch.manual_seed(3)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Conv2d(8, 2, 3))
    x = torch.randn(2, 3, 10, 12)
    module(x).square().sum().backward()
    plain = [p.grad.clone() for p in module.parameters()]
    module.zero_grad()
    count_work(lambda: module(x).square().sum().backward(), nn.Conv2d)
    torch.testing.assert_close([p.grad for p in module.parameters()], plain, rtol=0, atol=0)
