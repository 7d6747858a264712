from dataclasses import replace

import numpy as np
import pytest
import torch

from recolor.dataset.augment import make_batch
from recolor.dataset.dataset import ShardDataset
from recolor.errors import MissingStageError
from recolor.models.files import load_generator, load_refiner
from recolor.models.refiner import upsample_ab
from recolor.training import train_generator, train_refiner
from recolor.training.refiner import mixed_ab


def _val_batch(workspace, tiny):
    codes = torch.from_numpy(ShardDataset.open(workspace, "val").codes(np.arange(4)))
    return make_batch(codes, train=tiny.refiner.train, step=0, augment=False)


def test_a_refiner_is_trained_and_then_current(make_shards, tiny):
    workspace = make_shards()
    train_generator(workspace, tiny)
    assert train_refiner(workspace, tiny).counts == {"steps": 6, "images": 12}
    assert train_refiner(workspace, tiny).current


def test_a_refiner_beats_bilinear_upsampling_of_the_truth(make_shards, tiny):
    workspace = make_shards(train=24)
    train_generator(workspace, tiny)
    train = replace(tiny.refiner.train, steps=80, checkpoint_steps=80, validate_steps=80)
    train_refiner(workspace, replace(tiny, refiner=replace(tiny.refiner, train=train, predicted_fraction=0.0)))
    batch = _val_batch(workspace, tiny)
    refined = load_refiner(workspace.models / "refiner").refine_ab(batch.L, batch.ab_small)
    plain = upsample_ab(batch.ab_small)
    assert (refined - batch.ab).square().mean() < 0.8 * (plain - batch.ab).square().mean()


def test_another_generator_trains_the_refiner_again(make_shards, tiny):
    workspace = make_shards()
    train_generator(workspace, tiny)
    train_refiner(workspace, tiny)
    train_generator(workspace, replace(tiny, generator=replace(tiny.generator, temperature=0.9)))
    assert not train_refiner(workspace, tiny).current


@pytest.mark.parametrize(("fraction", "predicted"), [(0.0, 0), (0.5, 2), (1.0, 4)])
def test_the_configured_fraction_of_a_batch_is_predicted_by_the_generator(make_shards, tiny, fraction, predicted):
    workspace = make_shards()
    train_generator(workspace, tiny)
    generator = load_generator(workspace.models / "generator")
    batch = _val_batch(workspace, tiny)
    mixed = mixed_ab(generator, batch, fraction)
    torch.testing.assert_close(mixed[predicted:], batch.ab_small[predicted:], rtol=0, atol=0)
    torch.testing.assert_close(mixed[:predicted], generator.predict_ab(batch.L)[:predicted], rtol=1e-3, atol=1e-2)


def test_without_a_generator_the_stage_to_run_is_named(make_shards, tiny):
    with pytest.raises(MissingStageError, match="recolor train generator"):
        train_refiner(make_shards(), tiny)
