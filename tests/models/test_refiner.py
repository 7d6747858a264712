import pytest
import torch

from recolor.config.settings import RefinerModelConfig
from recolor.models.refiner import Refiner, upsample_ab


def _refiner():
    torch.manual_seed(10)
    return Refiner(RefinerModelConfig(encoder_weights="none", width=8, blocks=2))


@pytest.mark.parametrize("size", [(64, 64), (72, 104)])
def test_an_untrained_refiner_gives_the_upsampled_colours(size):
    model = _refiner().eval()
    ab_small = (torch.rand(2, 2, size[0] // 4, size[1] // 4) - 0.5) * 100
    with torch.no_grad():
        ab = model(torch.rand(2, 1, *size) * 100, ab_small)
    assert ab.shape == (2, 2, *size)
    torch.testing.assert_close(ab, upsample_ab(ab_small), rtol=0, atol=0)


def test_upsampling_keeps_a_constant_and_the_mean_of_a_ramp():
    flat = torch.full((1, 2, 8, 8), 12.5)
    torch.testing.assert_close(upsample_ab(flat), torch.full((1, 2, 32, 32), 12.5))
    ramp = torch.arange(8.0).view(1, 1, 1, 8).expand(1, 2, 8, 8)
    torch.testing.assert_close(upsample_ab(ramp).mean(), ramp.mean())


def test_every_parameter_learns():
    model = _refiner()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    model(torch.rand(2, 1, 64, 64) * 100, torch.randn(2, 2, 16, 16)).square().mean().backward()
    unlearnt = [name for name, parameter in model.named_parameters() if not parameter.grad.abs().sum() > 0]
    assert unlearnt == []


def test_colours_are_float32_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        assert _refiner()(torch.rand(1, 1, 64, 64) * 100, torch.randn(1, 2, 16, 16)).dtype == torch.float32
