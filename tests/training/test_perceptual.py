from dataclasses import replace

import pytest
import torch
import torchvision

from recolor.config.loading import load_config
from recolor.errors import WeightsError
from recolor.stages import check_can_train
from recolor.training import train_generator, train_refiner
from recolor.training.perceptual import PhotographFeatures, perceptual_loss


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


def test_the_loss_is_zero_for_the_truth_and_falls_towards_it(weights):
    features = PhotographFeatures(weights)
    L, truth = 30 + 40 * torch.rand(1, 1, 64, 64), 20 * torch.randn(1, 2, 64, 64)
    ab = (0.5 * truth).requires_grad_()
    assert perceptual_loss(features, L, truth, truth) == 0
    loss = perceptual_loss(features, L, ab, truth)
    loss.backward()
    assert torch.isfinite(ab.grad).all()
    assert 0 < perceptual_loss(features, L, ab.detach() - 1e-1 * ab.grad / ab.grad.norm(), truth) < loss
    assert all(parameter.grad is None for parameter in features.parameters())


def test_a_refiner_is_trained_with_it_and_again_when_the_network_is_another(make_shards, tiny, weights, tmp_path):
    workspace, copy = make_shards(), tmp_path / "copy.pth"
    state = torch.load(weights, weights_only=True)
    torch.save(state, copy)
    train_generator(workspace, tiny)
    train_refiner(workspace, tiny)
    plain = (workspace.models / "refiner" / "model.safetensors").read_bytes()
    config = replace(tiny, refiner=replace(tiny.refiner, perceptual_weight=1.0, perceptual_weights=str(copy)))
    assert train_refiner(workspace, config).built
    assert (workspace.models / "refiner" / "model.safetensors").read_bytes() != plain
    assert str(tmp_path) not in (workspace.models / "refiner" / "config.json").read_text()
    assert train_refiner(workspace, config).current
    torch.save({**state, "bn1.bias": state["bn1.bias"] + 1}, copy)
    assert not train_refiner(workspace, config).current


def test_a_network_that_is_not_there_is_refused_before_any_work(tmp_path):
    gone = ["refiner.perceptual_weight=1", f"refiner.perceptual_weights={tmp_path / 'gone.pth'}"]
    with pytest.raises(WeightsError, match=r"refiner\.perceptual_weights: .*gone\.pth"):
        check_can_train({"train-refiner"}, load_config("demo", None, gone))
