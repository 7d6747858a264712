from copy import deepcopy
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from recolor.models import efficientnet
from recolor.models.backbones import make_encoder
from recolor.models.depthwise import Float32Depthwise, is_depthwise, train_depthwise_in_float32

needs_timm = pytest.mark.skipif(find_spec("timm") is None, reason="needs the extra `encoders`")


def layers(stride):
    torch.manual_seed(0)
    plain = nn.Conv2d(24, 24, 5, stride, padding=2, groups=24, bias=False)
    return nn.ModuleList([plain, efficientnet._SameConv2d(24, 24, 5, stride, groups=24)])


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("number", [0, 1])
def test_a_depthwise_convolution_is_trained_in_float32_where_the_others_are_in_bfloat16(stride, number):
    original = layers(stride)[number]
    train_depthwise_in_float32(changed := layers(stride))
    layer = changed[number]
    x = torch.randn(2, 24, 13, 13).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x)
        wide = nn.Conv2d(24, 8, 1)(x)
    assert out.dtype == wide.dtype == torch.bfloat16
    exact = original(x.float())
    assert torch.equal(out, exact.bfloat16())
    (weight,) = torch.autograd.grad(out.float().sum(), layer.weight)
    assert torch.allclose(weight, torch.autograd.grad(exact.sum(), original.weight)[0], rtol=1e-5, atol=1e-4)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert layer(x).dtype == torch.bfloat16


def test_only_depthwise_convolutions_change_and_no_parameter_does():
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 3, groups=4))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    train_depthwise_in_float32(network)
    assert [isinstance(layer, Float32Depthwise) for layer in network] == [False, True, False]
    torch.testing.assert_close(dict(network.state_dict()), before, rtol=0, atol=0)
    assert type(network[0]) is nn.Conv2d  # with one channel in and out, groups = 1 is no depthwise convolution


def test_a_copy_has_weights_of_its_own():
    network = layers(1)
    train_depthwise_in_float32(network)
    copy = deepcopy(network)
    with torch.no_grad():
        copy[0].weight.zero_()
    x = torch.rand(1, 24, 9, 9)
    assert copy[0](x).abs().max() == 0
    assert network[0](x).abs().max() > 0


@needs_timm
@pytest.mark.parametrize("name", ["efficientnet_lite0", "mobilenetv3_small_100", "convnext_atto"])
def test_every_encoder_trains_its_depthwise_convolutions_in_float32(name):
    found = [module for module in make_encoder(name, 4).modules() if is_depthwise(module)]
    assert found
    assert all(isinstance(module, Float32Depthwise) for module in found)
