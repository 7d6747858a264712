from dataclasses import replace

import numpy as np
import pytest
import torch

from recolor.colorize.look import LOOKS, Look
from recolor.dataset.augment import Batch, make_batch
from recolor.dataset.dataset import ShardDataset
from recolor.errors import MissingStageError
from recolor.models.files import load_generator, load_refiner
from recolor.models.refiner import Refiner, upsample_ab
from recolor.training import train_generator, train_refiner
from recolor.training.losses import ssim_loss
from recolor.training.parts import refiner_part
from recolor.training.refiner import mixed_ab, refiner_loss


def _val_batch(workspace, tiny):
    codes = torch.from_numpy(ShardDataset.open(workspace, "val").codes(np.arange(4)))
    return make_batch(codes, train=tiny.refiner.train, step=0, augment=False)


@pytest.mark.slow  # a training that learns something
def test_a_refiner_is_trained_and_then_current_until_the_generator_is_another(trained, tiny):
    assert train_refiner(trained, tiny).counts == {"steps": 6, "images": 12}
    assert train_refiner(trained, tiny).current
    train_generator(trained, replace(tiny, generator=replace(tiny.generator, temperature=0.9)))
    assert not train_refiner(trained, tiny).current


@pytest.mark.slow  # a training that learns something
def test_a_refiner_beats_bilinear_upsampling_of_the_truth(trained, tiny):
    workspace = trained
    train = replace(tiny.refiner.train, steps=50, checkpoint_steps=50, validate_steps=50)
    train_refiner(workspace, replace(tiny, refiner=replace(tiny.refiner, train=train, predicted_fraction=0.0)))
    batch = _val_batch(workspace, tiny)
    refined = load_refiner(workspace.models / "refiner").refine_ab(batch.L, batch.ab_small)
    plain = upsample_ab(batch.ab_small)
    assert (refined - batch.ab).square().mean() < 0.8 * (plain - batch.ab).square().mean()


@pytest.mark.parametrize(("fraction", "predicted"), [(0.0, 0), (0.5, 2), (1.0, 4)])
def test_the_configured_fraction_of_a_batch_is_predicted_by_the_generator(trained, tiny, fraction, predicted):
    generator = load_generator(trained.models / "generator")
    batch = _val_batch(trained, tiny)
    mixed = mixed_ab(generator, batch, fraction)
    torch.testing.assert_close(mixed[predicted:], batch.ab_small[predicted:], rtol=0, atol=0)
    torch.testing.assert_close(mixed[:predicted], generator.predict_ab(batch.L)[:predicted], rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(("first", "processes"), [(0, 1), (0, 2), (1, 2), (3, 4)])
def test_predicted_colours_have_each_look_in_turn_in_every_process(trained, tiny, first, processes):
    generator = load_generator(trained.models / "generator")
    batch = _val_batch(trained, tiny)
    rows = np.arange(first, 4, processes)  # the share of one process
    share = Batch(batch.L[rows], batch.ab[rows], batch.ab_small[rows], rows, 4)
    mixed = mixed_ab(generator, share, 0.75, ("careful", "vivid"))
    for ab, row in zip(mixed, rows, strict=True):
        look = Look.named(("careful", "vivid")[row % 2])
        read = {"rebalanced": look.rebalanced, "chroma_contrast": look.chroma_contrast}
        expected = batch.ab_small[row] if row == 3 else generator.predict_ab(batch.L, look.temperature, **read)[row]
        torch.testing.assert_close(ab, expected, rtol=1e-3, atol=1e-2)


def test_a_refiner_is_trained_again_when_a_look_that_it_has_seen_is_another(trained, tiny, monkeypatch):
    def key(*looks, fraction=0.5):
        config = replace(tiny, refiner=replace(tiny.refiner, predicted_looks=looks, predicted_fraction=fraction))
        return refiner_part(trained, config).key

    unseen = key("careful", fraction=0.0)

    before = key("natural"), key("natural", "careful")
    assert len(set(before)) == 2
    pale = replace(LOOKS["careful"], saturation=0.5)
    monkeypatch.setattr("recolor.colorize.look.LOOKS", {**LOOKS, "careful": pale})
    assert (key("natural"), key("natural", "careful")) == before  # a saturation is applied after the refiner
    monkeypatch.setattr("recolor.colorize.look.LOOKS", {**LOOKS, "careful": replace(pale, temperature=0.9)})
    assert key("natural") == before[0]
    assert key("natural", "careful") != before[1]
    assert key("careful", fraction=0.0) == unseen


def test_the_ssim_loss_counts_by_its_weight(trained, tiny):
    generator, batch = load_generator(trained.models / "generator"), _val_batch(trained, tiny)
    model = Refiner(tiny.refiner.model).eval()
    torch.nn.init.normal_(model.head.weight, std=0.1)
    config = replace(tiny.refiner, predicted_fraction=0.0)
    with torch.no_grad():
        plain = refiner_loss(generator, config)(model, batch)
        weighted = refiner_loss(generator, replace(config, ssim_weight=0.3))(model, batch)
        expected = plain + 0.3 * ssim_loss(batch.L, model(batch.L, batch.ab_small), batch.ab)
    assert ssim_loss(batch.L, model(batch.L, batch.ab_small), batch.ab) > 0.01
    torch.testing.assert_close(weighted, expected)


@pytest.mark.slow  # a training that learns something
def test_with_a_weight_of_ssim_the_refined_colours_have_a_higher_ssim(trained, tiny):
    train = replace(tiny.refiner.train, steps=50, checkpoint_steps=50, validate_steps=50)
    batch = _val_batch(trained, tiny)
    losses = []
    for weight in (0.0, 3.0):
        changed = replace(tiny.refiner, train=train, predicted_fraction=1.0, ssim_weight=weight)
        train_refiner(trained, replace(tiny, refiner=changed))
        ab_small = load_generator(trained.models / "generator").predict_ab(batch.L)
        refined = load_refiner(trained.models / "refiner").refine_ab(batch.L, ab_small)
        losses.append(ssim_loss(batch.L, refined, batch.ab).item())
    assert losses[1] < losses[0]


def test_without_a_generator_the_stage_to_run_is_named(make_shards, tiny):
    with pytest.raises(MissingStageError, match="recolor train generator"):
        train_refiner(make_shards(), tiny)
