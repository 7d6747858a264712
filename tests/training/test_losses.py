from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from skimage.color import lab2rgb
from skimage.metrics import structural_similarity
from torch.nn import functional

from recolor.config.loading import load_config
from recolor.errors import WeightsError
from recolor.models.ab_bins import AbBins, class_weights
from recolor.stages import check_can_train
from recolor.training import train_refiner
from recolor.training.losses import (
    PhotographFeatures,
    distribution_loss,
    perceptual_loss,
    refinement_loss,
    regression_loss,
    ssim_loss,
)


@pytest.fixture(scope="module")
def bins():
    return AbBins()


def _dense_target(bins, ab):
    """The definition for each bin: a Gaussian over the 5 nearest centres."""
    squared = (ab[:, None] - bins.centres[None]).square().sum(-1)
    fifth = squared.sort(dim=1).values[:, 4:5]
    gaussian = torch.where(squared <= fifth, torch.exp(-squared / 50), 0)
    return gaussian / gaussian.sum(1, keepdim=True), squared.argmin(1)


def test_the_distribution_loss_is_the_weighted_cross_entropy_of_a_dense_target(bins):
    rng = torch.Generator().manual_seed(13)
    ab = torch.rand(2, 2, 5, 4, generator=rng) * 60 - 30
    logits = torch.randn(2, bins.count, 5, 4, generator=rng)
    weights = class_weights(torch.rand(bins.count, generator=rng, dtype=torch.float64).softmax(0), 0.5)
    target, nearest = _dense_target(bins, ab.permute(0, 2, 3, 1).reshape(-1, 2))
    log_p = functional.log_softmax(logits.permute(0, 2, 3, 1).reshape(-1, bins.count), dim=1)
    expected = (weights[nearest] * -(target * log_p).sum(1)).mean()
    torch.testing.assert_close(distribution_loss(logits, ab, bins, weights), expected, rtol=1e-5, atol=1e-5)


def test_the_best_logits_are_those_of_the_target(bins):
    ab = torch.tensor([17.0, 13.5]).view(1, 2, 1, 1).expand(1, 2, 2, 2)  # no two centres equally far
    target, _ = _dense_target(bins, ab.permute(0, 2, 3, 1).reshape(-1, 2))
    best = target.clamp(min=1e-9).log().T.reshape(1, bins.count, 2, 2)
    ones = torch.ones(bins.count)
    entropy = -(target * target.clamp(min=1e-9).log()).sum(1).mean()
    assert distribution_loss(best, ab, bins, ones).item() == pytest.approx(entropy.item(), abs=1e-4)
    assert distribution_loss(torch.zeros_like(best), ab, bins, ones) > entropy


def test_losses_on_ab_are_in_units_of_110():
    truth = torch.zeros(1, 2, 4, 4)
    assert refinement_loss(truth + 11, truth).item() == pytest.approx(0.1)
    assert regression_loss(truth + 11, truth).item() == pytest.approx(0.1 - 2.5 / 110)
    assert regression_loss(truth + 1, truth).item() == pytest.approx(0.5 * (1 / 110) ** 2 / (5 / 110))


def test_losses_of_bfloat16_predictions_are_float32(bins):
    ab = torch.zeros(1, 2, 2, 2)
    logits = torch.zeros(1, bins.count, 2, 2, dtype=torch.bfloat16)
    assert distribution_loss(logits, ab, bins, torch.ones(bins.count)).dtype == torch.float32
    assert refinement_loss(ab.bfloat16(), ab).dtype == torch.float32


@pytest.mark.parametrize("loss", ["distribution", "regression", "refinement", "annealed mean"])
def test_losses_and_colour_under_autocast_are_to_the_bit_what_they_are_without(bins, loss):
    rng = torch.Generator().manual_seed(18)
    ab = torch.rand(2, 2, 6, 8, generator=rng) * 120 - 60
    logits = torch.randn(2, bins.count, 6, 8, generator=rng) * 4
    weights = class_weights(torch.rand(bins.count, generator=rng, dtype=torch.float64).softmax(0), 0.5)
    predicted = torch.rand(2, 2, 6, 8, generator=rng) * 120 - 60

    def computed():
        return {
            "distribution": lambda: distribution_loss(logits, ab, bins, weights),
            "regression": lambda: regression_loss(predicted, ab),
            "refinement": lambda: refinement_loss(predicted, ab),
            "annealed mean": lambda: bins.annealed_mean(logits, 0.38),
        }[loss]()

    expected = computed()
    with torch.autocast("cpu", torch.bfloat16):
        found = computed()
        nearest, shares = bins.soft_encode(ab.permute(0, 2, 3, 1))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert shares.dtype == torch.float32
    assert nearest.dtype == torch.int64


def _colours(seed):
    rng = torch.Generator().manual_seed(seed)
    L = 20 + 60 * torch.rand(2, 1, 24, 37, generator=rng)
    truth = 30 * torch.randn(2, 2, 24, 37, generator=rng)
    return L, truth + 12 * torch.randn(truth.shape, generator=rng), truth


@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB")  # colours outside of the gamut are clipped in both
@pytest.mark.parametrize("seed", range(5))
def test_the_ssim_loss_is_one_less_the_mean_of_scikit_images(seed):
    L, ab, truth = _colours(seed)
    own, wanted = (lab2rgb(torch.cat((L, colour), 1).double().numpy(), channel_axis=1) for colour in (ab, truth))
    of_each = [
        structural_similarity(
            a, b, channel_axis=0, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for a, b in zip(own, wanted, strict=True)
    ]
    assert ssim_loss(L, ab, truth).item() == pytest.approx(1 - np.mean(of_each), abs=1e-5)


def test_the_ssim_loss_is_zero_for_the_truth_and_falls_towards_it_under_autocast_too():
    L, ab, truth = _colours(5)
    ab.requires_grad_()
    assert ssim_loss(L, truth, truth).item() == pytest.approx(0, abs=1e-6)
    loss = ssim_loss(L, ab, truth)
    loss.backward()
    assert torch.isfinite(ab.grad).all()
    assert ssim_loss(L, ab.detach() - ab.grad / ab.grad.norm(), truth) < loss
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(ssim_loss(L, ab, truth), loss, rtol=0, atol=0)


@pytest.mark.parametrize("colour", [0.0, 300.0, -300.0])
@pytest.mark.parametrize("lightness", [0.0, 50.0, 100.0])
def test_gradients_of_the_ssim_loss_are_finite_for_uniform_and_impossible_colours(lightness, colour):
    L, ab = torch.full((1, 1, 16, 16), lightness), torch.full((1, 2, 16, 16), colour, requires_grad=True)
    ssim_loss(L, ab, torch.zeros(1, 2, 16, 16)).backward()
    assert torch.isfinite(ab.grad).all()


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(7)
    return torchvision.models.resnet101(weights=None).eval()


@pytest.fixture(scope="module")
def weights(resnet, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet101.pth"
    torch.save(resnet.state_dict(), path)
    return str(path)


def test_the_features_are_those_of_torchvisions_network_on_normalised_srgb(resnet, weights):
    rgb = torch.rand(2, 3, 64, 96)
    x = torchvision.transforms.functional.normalize(rgb, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.no_grad():
        first = resnet.layer1(resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(x)))))
        expected = [first, resnet.layer2(first)]
        torch.testing.assert_close(PhotographFeatures(weights)(rgb), expected, rtol=1e-4, atol=1e-4)


def test_the_perceptual_loss_is_zero_for_the_truth_and_falls_towards_it(weights):
    features = PhotographFeatures(weights)
    L, truth = 30 + 40 * torch.rand(1, 1, 64, 64), 20 * torch.randn(1, 2, 64, 64)
    ab = (0.5 * truth).requires_grad_()
    assert perceptual_loss(features, L, truth, truth) == 0
    loss = perceptual_loss(features, L, ab, truth)
    loss.backward()
    assert torch.isfinite(ab.grad).all()
    assert 0 < perceptual_loss(features, L, ab.detach() - 1e-1 * ab.grad / ab.grad.norm(), truth) < loss
    assert all(parameter.grad is None for parameter in features.parameters())


@pytest.mark.slow  # two trainings
def test_a_refiner_is_trained_with_a_perceptual_loss_and_again_when_its_network_is_another(
    trained, tiny, weights, tmp_path
):
    workspace, copy = trained, tmp_path / "copy.pth"
    state = torch.load(weights, weights_only=True)
    state = {name: tensor for name, tensor in state.items() if not name.startswith(("layer4", "fc"))}  # never used
    torch.save(state, copy)
    train_refiner(workspace, tiny)
    plain = (workspace.models / "refiner" / "model.safetensors").read_bytes()
    config = replace(tiny, refiner=replace(tiny.refiner, perceptual_weight=1.0, perceptual_weights=str(copy)))
    assert train_refiner(workspace, config).built
    assert (workspace.models / "refiner" / "model.safetensors").read_bytes() != plain
    assert str(tmp_path) not in (workspace.models / "refiner" / "config.json").read_text()
    assert train_refiner(workspace, config).current
    torch.save({**state, "bn1.bias": state["bn1.bias"] + 1}, copy)
    assert not train_refiner(workspace, config).current


def test_a_perceptual_network_that_is_not_there_is_refused_before_any_work(tmp_path):
    gone = ["refiner.perceptual_weight=1", f"refiner.perceptual_weights={tmp_path / 'gone.pth'}"]
    with pytest.raises(WeightsError, match=r"refiner\.perceptual_weights: .*gone\.pth"):
        check_can_train({"train-refiner"}, load_config("demo", None, gone))
