from dataclasses import replace

import pytest
import torch

from recolor.config.settings import RefinerModelConfig
from recolor.models.files import load_refiner
from recolor.models.refiner import Refiner
from recolor.training import train_refiner
from recolor.training.discriminator import AdversarialTraining, Discriminator, adversarial_loss, discriminator_loss


@pytest.fixture
def adversarial():
    torch.manual_seed(2)
    return AdversarialTraining(Refiner(RefinerModelConfig(encoder_weights="none", width=8, blocks=1)), width=8)


def batch(count=2, side=64):
    torch.manual_seed(5)
    return (
        torch.rand(count, 1, side, side) * 100,
        torch.randn(count, 2, side // 4, side // 4),
        torch.randn(count, 2, side, side),
    )


def test_each_network_gets_gradients_only_from_its_own_loss(adversarial):
    scores = adversarial(*batch())
    adversarial_loss(scores.refined).backward()
    assert all(parameter.grad is None for parameter in adversarial.critic.parameters())
    assert adversarial.refiner.head.weight.grad.abs().max() > 0
    adversarial.zero_grad()
    scores = adversarial(*batch())
    discriminator_loss(scores.photographs, scores.colourings).backward()
    assert all(parameter.grad is None for parameter in adversarial.refiner.parameters())
    assert all(parameter.grad.abs().max() > 0 for parameter in adversarial.critic.parameters())


def test_both_scores_of_a_colouring_are_equal(adversarial):
    scores = adversarial(*batch())
    torch.testing.assert_close(scores.refined, scores.colourings)
    assert scores.refined.shape == (2, 1, 7, 7)


def test_a_score_depends_on_46_by_46_pixels():
    critic = Discriminator(8)
    for module in critic.modules():  # group norm depends on the whole image
        if isinstance(module, torch.nn.Sequential):
            for at, layer in enumerate(module):
                if isinstance(layer, torch.nn.GroupNorm):
                    module[at] = torch.nn.Identity()
    L, ab = torch.zeros(1, 1, 128, 128), torch.randn(1, 2, 128, 128, requires_grad=True)
    critic(L, ab)[0, 0, 7, 7].backward()
    rows = ab.grad.abs().sum((0, 1, 3)).nonzero()
    assert int(rows.max() - rows.min()) + 1 == 46


def test_the_hinge_loss_is_2_for_scores_of_0_and_0_for_confident_scores():
    nothing = torch.zeros(1, 1, 3, 3)
    assert discriminator_loss(nothing, nothing) == 2
    assert discriminator_loss(nothing + 1, nothing - 1) == 0
    assert adversarial_loss(nothing + 3) == -3


def test_a_discriminator_learns_to_distinguish_colour_from_grey():
    torch.manual_seed(1)
    critic = Discriminator(8)
    optimizer = torch.optim.Adam(critic.parameters(), lr=3e-3)
    L, _, ab = batch(4)
    for _ in range(40):
        loss = discriminator_loss(critic(L, 40 * ab), critic(L, 0 * ab))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.2


@pytest.mark.slow  # a training of two networks
def test_a_short_adversarial_training_at_the_end_leaves_a_refiner_alone(trained, tiny, tmp_path):
    workspace = trained
    train_refiner(workspace, tiny)
    start = load_refiner(workspace.models / "refiner").model.state_dict()
    (workspace.models / "refiner").rename(tmp_path / "refiner")
    config = replace(tiny, refiner=replace(tiny.refiner, adversarial_weight=0.1, start_from=str(tmp_path)))
    assert train_refiner(workspace, config).built
    end = load_refiner(workspace.models / "refiner").model.state_dict()
    assert start.keys() == end.keys()
    assert any(not torch.equal(start[name], end[name]) for name in start)
    first = (workspace.models / "refiner" / "model.safetensors").read_bytes()
    assert train_refiner(workspace, config).current
    (workspace.models / "refiner").rename(tmp_path / "once")
    (workspace.models / "runs").rename(tmp_path / "runs")  # else the same training is taken from its run
    assert train_refiner(workspace, config).built
    assert (workspace.models / "refiner" / "model.safetensors").read_bytes() == first
