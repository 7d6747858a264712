import json
from dataclasses import replace

import pytest
import torch

from recolor.config.settings import GeneratorModelConfig, RefinerModelConfig
from recolor.errors import WeightsError
from recolor.models.ab_bins import ab_bin_centres
from recolor.models.files import (
    bins_json,
    copy_model,
    load_generator,
    load_refiner,
    load_start,
    save_model,
)
from recolor.models.generator import Generator, contrast_chroma
from recolor.models.identity import start_folder
from recolor.models.refiner import Refiner

SHAPE = {"encoder_weights": "file", "encoder_depth": 1, "head": "distribution", "width": 8, "blocks": 1}


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(11)
    model = Generator(GeneratorModelConfig(**SHAPE))
    torch.nn.init.normal_(model.head.weight)
    save_model(
        tmp_path, model, {"kind": "generator", "model": SHAPE, "temperature": 0.5, "ab_bins": bins_json(), "note": "x"}
    )
    return tmp_path


def _change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_generator_comes_back_as_it_was(folder):
    torch.manual_seed(11)
    model = Generator(GeneratorModelConfig(**SHAPE)).eval()
    torch.nn.init.normal_(model.head.weight)
    loaded = load_generator(folder)
    assert loaded.config == GeneratorModelConfig(**SHAPE)
    assert loaded.temperature == 0.5
    assert loaded.details["note"] == "x"
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    torch.testing.assert_close(loaded.model.state_dict(), model.state_dict(), rtol=0, atol=0)
    L = torch.rand(1, 1, 64, 64) * 100
    torch.testing.assert_close(loaded.predict_ab(L), model.predict_ab(L, 0.5), rtol=1e-4, atol=1e-3)


def test_a_generator_s_saturation_is_a_factor_of_its_colour(folder):
    L = torch.rand(1, 1, 64, 64) * 100
    plain = load_generator(folder).predict_ab(L)
    _change_config(folder, saturation=1.5)
    assert plain.abs().max() > 1
    torch.testing.assert_close(load_generator(folder).predict_ab(L), 1.5 * plain)


def test_a_contrast_of_chroma_is_that_of_the_predicted_colour(folder):
    L = torch.rand(2, 1, 64, 64) * 100
    plain = load_generator(folder).predict_ab(L)
    _change_config(folder, saturation=2)
    doubled = load_generator(folder)
    torch.testing.assert_close(doubled.predict_ab(L), 2 * plain)
    torch.testing.assert_close(doubled.predict_ab(L, chroma_contrast=1.5), 2 * contrast_chroma(plain, 1.5))


def test_a_refiner_comes_back_as_it_was(tmp_path):
    config = RefinerModelConfig(encoder_weights="none", width=8, blocks=1)
    model = Refiner(config).eval()
    torch.nn.init.normal_(model.head.weight)
    shape = {"encoder_weights": "none", "width": 8, "blocks": 1}
    save_model(tmp_path, model, {"kind": "refiner", "model": shape})
    loaded = load_refiner(tmp_path)
    assert loaded.config == config
    L, ab_small = torch.rand(1, 1, 64, 64) * 100, torch.randn(1, 2, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(loaded.refine_ab(L, ab_small), model(L, ab_small), rtol=1e-4, atol=1e-3)


def test_saving_twice_gives_the_same_bytes(folder, tmp_path_factory):
    again = tmp_path_factory.mktemp("again")
    loaded = load_generator(folder)
    save_model(again, loaded.model, {name: loaded.details[name] for name in loaded.details if name != "format_version"})
    for name in ("model.safetensors", "config.json"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=name):
        load_generator(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format_version": 2}, "format version 1"),
        ({"kind": "refiner"}, "this is a refiner, but a generator is needed"),
        ({"ab_bins": [[0.0, 0.0]]}, "ab_bins"),
        ({"temperature": None}, "temperature"),
        ({"saturation": "much"}, "saturation"),
        ({"saturation": True}, "saturation"),
        ({"saturation": -1}, "saturation"),
        ({"temperature": 0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"saturation": float("inf")}, "saturation"),
        ({"model": {"width": -1}}, "width = -1"),
        ({"model": {"wdith": 8}}, "unknown setting"),
        ({"model": 3}, "not a model's shape"),
        ({"model": {**SHAPE, "width": 16}}, "no readable weights"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(folder, changes, said):
    _change_config(folder, **changes)
    with pytest.raises(WeightsError, match=said):
        load_generator(folder)


def test_cut_weights_are_refused(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="no readable weights"):
        load_generator(folder)


def test_without_rebalancing_colours_are_those_of_the_true_distribution(folder):
    L = torch.rand(1, 1, 64, 64) * 100
    trained = load_generator(folder)
    distribution = torch.rand(len(ab_bin_centres()), dtype=torch.float64)
    distribution /= distribution.sum()
    details = {**trained.details, "ab_distribution": distribution.tolist(), "training": {"rebalance": 0.5}}
    rebalanced = replace(trained, details=details)
    with torch.no_grad():
        probabilities = trained.model(L).double().softmax(1)  # of colours whose loss had these weights
    true = probabilities / (1 / (0.5 * distribution + 0.5 / len(distribution))).view(1, -1, 1, 1)
    true /= true.sum(1, keepdim=True)
    mean = torch.einsum("nqhw,qc->nchw", true, torch.tensor(ab_bin_centres(), dtype=torch.float64))
    torch.testing.assert_close(rebalanced.predict_ab(L, 1.0, rebalanced=False).double(), mean, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(rebalanced.predict_ab(L), trained.predict_ab(L), rtol=0, atol=0)
    torch.testing.assert_close(trained.predict_ab(L, rebalanced=False), trained.predict_ab(L), rtol=0, atol=0)


@pytest.mark.parametrize("float16", [False, True])
def test_a_copy_predicts_what_its_model_does(folder, tmp_path_factory, float16):
    copy = tmp_path_factory.mktemp("copy")
    softened = load_generator(folder)
    softened.model.head.weight *= 0.02  # where two colours are equally likely, any rounding decides
    save_model(folder, softened.model, softened.details)
    copy_model(folder, copy, float16=float16)
    model, copied = load_generator(folder), load_generator(copy)
    L = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(12)) * 100
    tolerance = 0.1 if float16 else 0.0
    torch.testing.assert_close(copied.predict_ab(L), model.predict_ab(L), rtol=0, atol=tolerance)
    assert copied.predict_ab(L).dtype == torch.float32
    assert copied.details == model.details
    sizes = [(path / "model.safetensors").stat().st_size for path in (folder, copy)]
    assert sizes[1] < 0.6 * sizes[0] if float16 else sizes[1] == sizes[0]


def test_a_weight_beyond_float16_is_not_made_infinite(folder, tmp_path_factory):
    model = load_generator(folder)
    model.model.head.weight[0, 0] = 1e5
    save_model(folder, model.model, model.details)
    with pytest.raises(WeightsError, match=r"head\.weight does not fit float16"):
        copy_model(folder, tmp_path_factory.mktemp("copy"), float16=True)


def test_a_training_starts_from_the_weights_that_it_was_given(folder, tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    folder.rename(models / "generator")
    model = Generator(GeneratorModelConfig(**{**SHAPE, "scale": 2}))
    load_start(model, str(models), "generator")
    trained = load_generator(models / "generator").model.state_dict()
    torch.testing.assert_close(model.state_dict(), trained, rtol=0, atol=0)


@pytest.mark.parametrize("start_from", ["pretrained", "nowhere"])
def test_weights_that_do_not_fit_or_are_not_there_are_named(start_from):
    model = Generator(GeneratorModelConfig(**SHAPE))
    with pytest.raises(WeightsError, match=f"generator.start_from = '{start_from}'"):
        load_start(model, start_from, "generator")


def test_the_shipped_weights_are_a_start_for_models_of_their_shape():
    for kind, load, make in (("generator", load_generator, Generator), ("refiner", load_refiner, Refiner)):
        shipped = load(start_folder("pretrained", kind))
        model = make(shipped.config)
        load_start(model, "pretrained", kind)
        torch.testing.assert_close(model.state_dict(), shipped.model.state_dict(), rtol=0, atol=0)
