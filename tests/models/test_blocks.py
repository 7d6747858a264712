import pytest
import torch
from torch import nn
from torchvision.models import resnet

from recolor.models.blocks import Bottleneck


def _pair(in_channels, planes, stride):
    """Our bottleneck and torchvision's, with the same random weights and statistics."""

    def shortcut():
        if stride == 1 and in_channels == 4 * planes:
            return None
        return nn.Sequential(nn.Conv2d(in_channels, 4 * planes, 1, stride, bias=False), nn.BatchNorm2d(4 * planes))

    torch.manual_seed(3)
    ours = Bottleneck(in_channels, planes, stride, shortcut())
    for module in ours.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight)
            nn.init.normal_(module.running_mean)
    theirs = resnet.Bottleneck(in_channels, planes, stride, shortcut())
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize(("in_channels", "planes", "stride"), [(8, 8, 1), (32, 8, 1), (32, 16, 2)])
@pytest.mark.parametrize("training", [True, False])
def test_the_bottleneck_is_torchvisions(in_channels, planes, stride, training):
    ours, theirs = (block.train(training) for block in _pair(in_channels, planes, stride))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = torch.randn(2, in_channels, 12, 10)
    of_ours, of_theirs = (x.clone().requires_grad_() for _ in range(2))
    out, expected = ours(of_ours), theirs(of_theirs)
    torch.testing.assert_close(out, expected, rtol=0, atol=0)
    out.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(of_ours.grad, of_theirs.grad, rtol=0, atol=0)
