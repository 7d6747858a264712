"""Encoders of timm: features, weights of files and packages, and errors that name what there is."""

import urllib.request
from importlib.util import find_spec
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file

from recolor.config.settings import GeneratorModelConfig, RefinerModelConfig
from recolor.errors import WeightsError
from recolor.models import backbones
from recolor.models.backbones import Backbone, check_backbone, check_backbone_hub, make_encoder
from recolor.models.encoder import Encoder, grey_from_lightness
from recolor.models.files import bins_json, load_generator, save_model
from recolor.models.generator import Generator
from recolor.models.refiner import Refiner
from recolor.models.weights import check_encoder_weights, load_encoder_weights

pytestmark = pytest.mark.skipif(find_spec("timm") is None, reason="needs the extra `encoders`")


@pytest.fixture(scope="module")
def timm():
    import timm  # noqa: PLC0415 - takes seconds, which every process that collects the tests would pay

    return timm


@pytest.fixture(scope="module")
def resnet18(timm):
    torch.manual_seed(1)
    return timm.create_model("resnet18")


@pytest.fixture(name="L")
def _lightness():
    return torch.rand(2, 1, 64, 96, generator=torch.Generator().manual_seed(0)) * 100


def test_resnet101_is_our_own():
    assert isinstance(make_encoder("resnet101", 4), Encoder)
    assert make_encoder("resnet101", 4).channels == (256, 512, 1024, 2048)


def test_a_name_of_neither_kind_is_timms():
    assert isinstance(make_encoder("resnet18", 1), Backbone)


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "mobilenetv3_small_050", "tf_efficientnet_lite3"])
def test_features_are_at_strides_of_4_to_32(name, L):
    encoder = Backbone(name, 4).eval()
    sizes = [(2, channels, 64 // stride, 96 // stride) for channels, stride in zip(encoder.channels, (4, 8, 16, 32))]
    assert [tuple(x.shape) for x in encoder(L)] == sizes


def test_features_that_end_in_channels_are_turned():
    encoder = Backbone("swin_tiny_patch4_window7_224", 2).eval()
    assert [tuple(x.shape[1:]) for x in encoder(torch.zeros(1, 1, 224, 224))] == [(96, 56, 56), (192, 28, 28)]


def test_weights_of_a_file_give_timms_features_of_a_grey_picture(timm, resnet18, tmp_path, L):
    save_file(resnet18.state_dict(), tmp_path / "resnet18.safetensors")
    encoder = Backbone("resnet18", 3).eval()
    load_encoder_weights(encoder, str(tmp_path / "resnet18.safetensors"))
    reference = timm.create_model("resnet18", features_only=True, out_indices=(1, 2, 3)).eval()
    reference.load_state_dict(resnet18.state_dict(), strict=False)
    grey = (grey_from_lightness(L) - encoder.grey_mean) / encoder.grey_std
    for ours, theirs in zip(encoder(L), reference(grey.expand(-1, 3, -1, -1)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_file_of_another_network_is_refused_with_its_path(resnet18, tmp_path):
    torch.save(resnet18.state_dict(), tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other\.pth: not the state dict of timm's resnet34"):
        check_encoder_weights(str(tmp_path / "other.pth"), "resnet34", 2)


@pytest.fixture
def no_hub(monkeypatch, tmp_path):
    def refuse(request, timeout):
        raise URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))


def test_a_hub_that_is_out_of_reach_is_said_at_once_with_the_alternatives(no_hub):
    with pytest.raises(WeightsError, match=r"timm/resnet18\S* cannot be downloaded .*no route.*PATH .*`none`"):
        check_backbone_hub("resnet18")


def test_what_timm_does_not_have_is_refused_with_the_nearest():
    with pytest.raises(WeightsError, match=r"encoder = 'resnt18'.*Nearest: .*resnet18"):
        check_backbone("resnt18", 2)
    with pytest.raises(WeightsError, match=r"features at strides \[16, 16, 16\], needed are \[4, 8\]"):
        check_backbone("vit_tiny_patch16_224", 2)


def test_without_timm_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(backbones, "find_spec", lambda _: None)
    with pytest.raises(
        WeightsError, match=r"`timm` is not installed.*recolor\[encoders\].*resnet101, efficientnet_lite0"
    ):
        Generator(GeneratorModelConfig(encoder="resnet18"))


def test_a_generator_on_any_encoder_is_saved_and_loaded(tmp_path, L):
    torch.manual_seed(0)
    shape = {"encoder": "resnet18", "encoder_weights": "none", "encoder_depth": 4, "width": 8, "blocks": 1}
    generator = Generator(GeneratorModelConfig(**shape)).eval()
    torch.nn.init.normal_(generator.head.weight)
    save_model(tmp_path, generator, {"kind": "generator", "model": shape, "temperature": 0.4, "ab_bins": bins_json()})
    torch.testing.assert_close(load_generator(tmp_path).model(L), generator(L), rtol=1e-3, atol=1e-3)
    assert generator(L).shape[-2:] == (16, 24)


def test_a_refiner_stands_on_any_encoder(L):
    refiner = Refiner(RefinerModelConfig(encoder="resnet18", width=8, blocks=1))
    assert refiner(L, torch.zeros(2, 2, 16, 24)).shape == (2, 2, 64, 96)
