import pickle

import numpy as np
import pytest
import torch
import torchvision
from skimage import data

from recolor.config.settings import EvaluateConfig
from recolor.errors import ConfigError, WeightsError
from recolor.evaluation.networks import inception_features, load_networks, lpips_distance

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def networks(alexnet_file, inception_file):
    settings = EvaluateConfig(lpips_weights=str(alexnet_file), inception_weights=str(inception_file))
    return load_networks(settings, CPU)


@pytest.fixture(scope="module")
def pair():
    truth = data.astronaut()[60:156, 160:288].copy()
    noise = np.random.default_rng(0).integers(-40, 41, truth.shape)
    return np.clip(truth.astype(int) + noise, 0, 255).astype(np.uint8), truth


@torch.no_grad()
def reference_lpips(state, lines, rgb, truth):
    """Zhang et al. 2018, eq. 1, in float64: unit features of AlexNet's five ReLUs, squared, weighted, averaged."""
    network = torchvision.models.alexnet(weights=None).features.double().eval()
    network.load_state_dict({name.removeprefix("features."): tensor for name, tensor in state.items()})
    shift, scale = (torch.tensor(v).double().view(1, 3, 1, 1) for v in ((-0.03, -0.088, -0.188), (0.458, 0.448, 0.45)))
    x = torch.from_numpy(np.stack([rgb, truth]).transpose(0, 3, 1, 2).astype(np.float64)) / 127.5 - 1
    x, distance, taps = (x - shift) / scale, 0.0, iter(lines)
    for layer in network[:12]:
        x = layer(x)
        if isinstance(layer, torch.nn.ReLU):
            unit = x / x.square().sum(dim=1, keepdim=True).sqrt().clamp_min(1e-10)
            distance += float(((unit[0] - unit[1]).square() * next(taps).double()[0]).sum(dim=0).mean())
    return distance


@pytest.mark.slow  # loads torchvision
def test_lpips_is_the_papers_formula(networks, alexnet_file, pair):
    state = torch.load(alexnet_file, weights_only=True)
    lines = [networks.lpips.state_dict()[f"lin{number}.model.1.weight"] for number in range(5)]
    measured = lpips_distance(networks, *pair)
    assert measured == pytest.approx(reference_lpips(state, lines, *pair), rel=1e-3)
    assert measured > 0.01


@pytest.mark.slow  # a large network
def test_lpips_of_equal_images_is_zero_and_small_images_have_one(networks, pair):
    assert lpips_distance(networks, pair[1], pair[1]) == 0.0
    small = lpips_distance(networks, pair[0][:11, :70], pair[1][:11, :70])
    assert np.isfinite(small)
    assert small > 0


def test_features_are_those_of_the_network_and_differ_between_images(networks, pair):
    coloured, truth = (inception_features(networks, rgb) for rgb in pair)
    assert coloured.shape == (2048,)
    assert np.isfinite(coloured).all()
    assert np.abs(coloured - truth).max() > 0
    tensor = torch.from_numpy(pair[1].transpose(2, 0, 1).copy())[None]
    np.testing.assert_array_equal(truth, networks.inception(tensor)[0][0].numpy())


def test_without_weights_nothing_is_measured(pair):
    networks = load_networks(EvaluateConfig(), CPU)
    assert lpips_distance(networks, *pair) is None
    assert inception_features(networks, pair[0]) is None


@pytest.mark.parametrize(
    ("setting", "source"),
    [("lpips_weights", "alexnet-owt-7be5be79.pth"), ("inception_weights", "inception-2015-12-05")],
)
def test_a_wrong_file_is_refused_with_where_the_right_one_is(tmp_path, setting, source):
    wrong = tmp_path / "wrong.pth"
    for content in (b"no weights", pickle.dumps([1, 2], protocol=2)):
        wrong.write_bytes(content)
        with pytest.raises(WeightsError, match=source):
            load_networks(EvaluateConfig(**{setting: str(wrong)}), CPU)
    torch.save({"features.0.weight": torch.zeros(2, 2)}, wrong)
    with pytest.raises(
        WeightsError, match=rf"{setting} = .*wrong.pth': these are not the weights of the network.*{source}"
    ):
        load_networks(EvaluateConfig(**{setting: str(wrong)}), CPU)
    with pytest.raises(WeightsError, match=rf"none.pth': there is no such file.*{source}"):
        load_networks(EvaluateConfig(**{setting: str(tmp_path / "none.pth")}), CPU)


def test_code_in_a_weights_file_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    file = tmp_path / "evil.pth"
    torch.save({"x": Evil()}, file)
    for setting in ("lpips_weights", "inception_weights"):
        with pytest.raises(WeightsError):
            load_networks(EvaluateConfig(**{setting: str(file)}), CPU)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("setting", "package"), [("lpips_weights", "torchmetrics"), ("inception_weights", "torch_fidelity")]
)
def test_a_package_that_is_missing_is_named_with_how_to_get_it(monkeypatch, tmp_path, setting, package):
    monkeypatch.setattr("recolor.evaluation.networks.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=rf"evaluate.{setting}: the package `{package}`.*recolor\[metrics\]"):
        load_networks(EvaluateConfig(**{setting: str(tmp_path / "x")}), CPU)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_gpu_measures_as_the_cpu_does(alexnet_file, inception_file, networks, pair):
    settings = EvaluateConfig(lpips_weights=str(alexnet_file), inception_weights=str(inception_file))
    on_gpu = load_networks(settings, torch.device("cuda"))
    assert lpips_distance(on_gpu, *pair) == pytest.approx(lpips_distance(networks, *pair), rel=1e-2)
    expected = inception_features(networks, pair[0])
    assert np.abs(inception_features(on_gpu, pair[0]) - expected).max() < 0.02 * np.abs(expected).max()
