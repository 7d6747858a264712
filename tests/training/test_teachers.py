import json
import shutil
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from recolor.config.settings import GeneratorConfig, GeneratorModelConfig
from recolor.dataset.augment import Batch
from recolor.errors import ConfigError, WeightsError
from recolor.models.ab_bins import AbBins, class_weights
from recolor.models.files import bins_json, load_generator, save_model
from recolor.models.generator import Generator
from recolor.training import train_generator
from recolor.training.generator import generator_loss
from recolor.training.losses import distillation_loss, distribution_loss
from recolor.training.teachers import load_teachers, teaching

SHAPE = {"encoder_weights": "none", "encoder_depth": 1, "width": 8, "blocks": 1}
BINS = AbBins()
COLOURS = torch.rand(BINS.count, generator=torch.Generator().manual_seed(3), dtype=torch.float64).softmax(0)


def make_teacher(folder, *, seed=5, rebalance=0.9, image_px=64, **shape):
    torch.manual_seed(seed)
    shape = SHAPE | shape
    model = Generator(GeneratorModelConfig(**shape))
    torch.nn.init.normal_(model.head.weight, std=0.02)
    details = {"kind": "generator", "model": shape, "temperature": 0.5, "ab_bins": bins_json(), "image_px": image_px}
    known = {"ab_distribution": COLOURS.tolist(), "training": {"rebalance": rebalance}}
    (folder / "generator").mkdir(parents=True)
    save_model(folder / "generator", model, details | known)
    return str(folder)


def settings(*teachers, **changes):
    return GeneratorConfig(model=GeneratorModelConfig(**SHAPE), teachers=teachers, rebalance=0.9, **changes)


@pytest.fixture(name="L")
def lightness():
    return torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(8)) * 100


def test_the_distribution_of_two_teachers_is_the_mean_of_theirs(tmp_path, L):
    teachers = [
        make_teacher(tmp_path / name, seed=seed, width=width) for name, seed, width in (("a", 1, 8), ("b", 2, 16))
    ]
    weights = class_weights(COLOURS, 0.9)
    found = teaching(load_teachers(settings(*teachers)), weights, 64)(L)
    one, two = (load_generator(tmp_path / name / "generator").predict(L).softmax(1) for name in "ab")
    assert (one - two).abs().max() > 0.01
    torch.testing.assert_close(found, (one + two) / 2)


def test_a_teacher_with_another_rebalance_teaches_the_same_true_distribution(tmp_path, L):
    teacher = make_teacher(tmp_path / "a", rebalance=0.5)
    weights, own = class_weights(COLOURS, 0.9), class_weights(COLOURS, 0.5)
    found = teaching(load_teachers(settings(teacher)), weights, 64)(L)
    predicted = load_generator(tmp_path / "a" / "generator").predict(L).softmax(1)
    true_of_found, true_of_teacher = found / weights.view(1, -1, 1, 1), predicted / own.view(1, -1, 1, 1)
    torch.testing.assert_close(functional.normalize(true_of_found, p=1), functional.normalize(true_of_teacher, p=1))


def test_a_teacher_sees_pictures_at_the_size_at_which_it_was_trained(tmp_path, L):
    teachers = load_teachers(settings(make_teacher(tmp_path / "a", image_px=96)))
    weights = class_weights(COLOURS, 0.9)
    found = teaching(teachers, weights, 128)(L)  # at three quarters of the size: 48 of 64 px
    smaller = functional.interpolate(L, (48, 48), mode="bilinear", antialias=True)
    predicted = load_generator(tmp_path / "a" / "generator").predict(smaller).softmax(1)
    assert found.shape == (2, BINS.count, 16, 16)
    torch.testing.assert_close(found, functional.interpolate(predicted, (16, 16), mode="bilinear"))
    torch.testing.assert_close(found.sum(1), torch.ones(2, 16, 16))


def test_without_teachers_nothing_is_taught():
    assert teaching(load_teachers(settings()), class_weights(COLOURS, 0.9), 64) is None


def test_the_loss_is_smallest_at_the_distribution_of_the_teachers():
    target = torch.randn(1, BINS.count, 2, 3).softmax(1)
    least = distillation_loss(target.log(), target).item()
    assert least == pytest.approx(-(target * target.log()).sum(1).mean().item(), abs=1e-5)
    assert distillation_loss(target.log() + 0.1 * torch.randn_like(target), target).item() > least


def test_teachers_count_in_training_by_their_weight_and_never_in_validation(tmp_path, L):
    config = settings(make_teacher(tmp_path / "a"), teacher_weight=0.25)
    weights = class_weights(COLOURS, 0.9)
    teach = teaching(load_teachers(config), weights, 64)
    torch.manual_seed(4)
    model, ab = Generator(config.model), torch.rand(2, 2, 64, 64) * 40 - 20
    batch = Batch(L=L, ab=ab, ab_small=functional.avg_pool2d(ab, 4), positions=torch.arange(2).numpy(), images=2)
    loss = generator_loss(config, BINS, weights, teach)
    true = distribution_loss(model(L), batch.ab_small, BINS, weights)
    taught = distillation_loss(model(L), teach(L))
    torch.testing.assert_close(loss(model.train(), batch), 0.75 * true + 0.25 * taught)
    model.eval()
    torch.testing.assert_close(loss(model, batch), distribution_loss(model(L), batch.ab_small, BINS, weights))


def test_teachers_that_do_not_fit_are_refused_by_name(tmp_path):
    regression = make_teacher(tmp_path / "regression", head="regression")
    with pytest.raises(WeightsError, match=r"teachers = '.*regression'.*no distribution"):
        load_teachers(settings(regression))
    coarse = make_teacher(tmp_path / "coarse", scale=2)
    with pytest.raises(ConfigError, match=r"teachers = '.*coarse'.*scale is 2"):
        load_teachers(settings(coarse))
    config = settings(make_teacher(tmp_path / "a"))
    with pytest.raises(ConfigError, match="only a distribution can be learnt"):
        load_teachers(replace(config, model=replace(config.model, head="regression")))
    with pytest.raises(WeightsError, match=r"generator.teachers = '.*nowhere': there is no"):
        load_teachers(settings(str(tmp_path / "nowhere")))


def test_a_training_depends_on_the_content_of_its_teachers_and_not_on_their_paths(make_shards, tiny, tmp_path):
    def taught(folder):
        return replace(tiny, generator=replace(tiny.generator, teachers=(folder,)))

    workspace, first = make_shards(), make_teacher(tmp_path / "first")
    train_generator(workspace, taught(first))
    text = (workspace.models / "generator" / "config.json").read_text()
    training = json.loads(text)["training"]
    assert training["teacher_weight"] == tiny.generator.teacher_weight
    assert training["inputs"]["teacher_0"].startswith("file ")
    assert str(tmp_path) not in text
    shutil.copytree(first, tmp_path / "copy")
    assert train_generator(workspace, taught(str(tmp_path / "copy"))).current
    assert not train_generator(workspace, taught(make_teacher(tmp_path / "other", seed=6))).current
    assert not train_generator(workspace, taught(make_teacher(tmp_path / "rebalanced", rebalance=0.5))).current


def test_a_training_does_not_learn_from_the_model_that_it_replaces(make_shards, tiny):
    workspace = make_shards()
    config = replace(tiny, generator=replace(tiny.generator, teachers=(str(workspace.models),)))
    with pytest.raises(ConfigError, match=r"generator.teachers.*export models"):
        train_generator(workspace, config)
