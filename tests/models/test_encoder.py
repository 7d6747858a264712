import numpy as np
import pytest
import torch
from skimage.color import rgb2lab
from torchvision.models import resnet101

from recolor.models.encoder import CHANNELS, GREY_MEAN, GREY_STD, Encoder, grey_from_lightness
from recolor.models.weights import load_encoder_weights


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(1)
    model = resnet101(weights=None).eval()
    for module in model.modules():  # not the initial statistics and scales, so that an unused one is noticed
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.0)
    return model


def _reference_features(resnet, x):
    x = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(x))))
    features = []
    for layer in (resnet.layer1, resnet.layer2, resnet.layer3):
        x = layer(x)
        features.append(x)
    return features


@pytest.mark.slow  # two large networks
def test_features_are_those_of_torchvision_for_the_same_grey_in_every_channel(resnet, tmp_path):
    torch.save(resnet.state_dict(), tmp_path / "resnet.pth")
    encoder = Encoder(depth=3).eval()
    load_encoder_weights(encoder, str(tmp_path / "resnet.pth"))
    L = torch.rand(2, 1, 64, 96, generator=torch.Generator().manual_seed(2)) * 100
    rgb = ((grey_from_lightness(L) - GREY_MEAN) / GREY_STD).expand(-1, 3, -1, -1)
    with torch.no_grad():
        for mine, theirs in zip(encoder(L), _reference_features(resnet, rgb), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3 * theirs.abs().max().item())


def test_the_stem_is_the_sum_of_the_rgb_stem(resnet, tmp_path):
    torch.save(resnet.state_dict(), tmp_path / "resnet.pth")
    encoder = Encoder(depth=1)
    load_encoder_weights(encoder, str(tmp_path / "resnet.pth"))
    torch.testing.assert_close(encoder.conv1.weight, resnet.conv1.weight.sum(1, keepdim=True), rtol=0, atol=0)


def test_grey_from_lightness_undoes_skimage_for_every_grey():
    grey = np.arange(256) / 255
    L = rgb2lab(np.repeat(grey[:, None], 3, axis=1)[None])[0, :, 0]
    found = grey_from_lightness(torch.tensor(L, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(found, grey, atol=2e-4)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("size", [(64, 64), (72, 104)])
def test_feature_sizes_are_a_quarter_an_eighth_and_a_sixteenth(depth, size):
    features = Encoder(depth).eval()(torch.zeros(1, 1, *size))
    expected = [(CHANNELS[i], -(-size[0] // 2 ** (i + 2)), -(-size[1] // 2 ** (i + 2))) for i in range(depth)]
    assert [tuple(feature.shape[1:]) for feature in features] == expected
