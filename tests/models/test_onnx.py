import runpy
import sys
from copy import deepcopy
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from skimage import data

from recolor.cli.main import cli
from recolor.color.lab import rgb_to_lab
from recolor.config.settings import GeneratorModelConfig, RefinerModelConfig
from recolor.errors import ConfigError, WeightsError
from recolor.models import encoder
from recolor.models import onnx as ours
from recolor.models.files import bins_json, load_generator, load_refiner, save_model
from recolor.models.generator import Generator
from recolor.models.pretrained import models_folder
from recolor.models.refiner import Refiner

# Imported where they are used: they take seconds, which every process that collects the tests would pay.
_MISSING = [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(_MISSING), reason="the extra `onnx` is not installed")


@pytest.fixture(autouse=True, scope="module")
def _one_thread_and_few_blocks():
    """One block per layer instead of ResNet101's: the exporter is slow for each block."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder, "BLOCKS", (1, 2, 1))
        yield
    torch.set_num_threads(threads)


def _randomised(model):
    """Random weights and statistics, because some initial ones are zero."""
    for name, tensor in model.state_dict().items():
        if name.endswith("running_mean"):
            tensor.normal_(std=0.1)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif name.endswith((".conv2.weight", "bn3.weight")):
            tensor.normal_(std=0.05)
    torch.nn.init.normal_(model.head.weight, std=0.05)
    return model


def _save_generator(folder, **changes):
    shape = {"encoder_weights": "none", "encoder_depth": 1, "width": 16, "blocks": 1, **changes}
    torch.manual_seed(3)
    folder.mkdir(parents=True)
    details = {"kind": "generator", "model": shape, "temperature": 0.38, "saturation": 1.5, "image_px": 256}
    model = _randomised(Generator(GeneratorModelConfig(**shape)))
    save_model(folder, model, {**details, "ab_bins": bins_json()})
    return load_generator(folder)


def _save_refiner(folder):
    shape = {"encoder_weights": "none", "width": 8, "blocks": 1}
    torch.manual_seed(4)
    folder.mkdir(parents=True)
    refiner = _randomised(Refiner(RefinerModelConfig(**shape)))
    save_model(folder, refiner, {"kind": "refiner", "model": shape, "image_px": 256})
    return load_refiner(folder)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    _save_generator(folder / "generator")
    _save_refiner(folder / "refiner")
    return folder


@pytest.fixture(scope="module")
def verb(models, tmp_path_factory):
    """What `recolor export onnx` printed, and its files: an export takes seconds, so one serves all tests."""
    out, files = tmp_path_factory.mktemp("exported") / "new" / "folder", []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            ours, "export_onnx", lambda *given, export=ours.export_onnx: files.extend(export(*given)) or files
        )
        result = CliRunner().invoke(cli, ["export", "onnx", "--model", str(models), str(out)])
    assert result.exit_code == 0, result.output
    return result.output, files


@pytest.fixture(scope="module")
def exported(verb):
    return verb[1]


def _run(path, **inputs):
    import onnxruntime  # noqa: PLC0415

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {name: np.asarray(value, np.float32) for name, value in inputs.items()})[0]


def _photographs(height, width):
    """L [2,1,height,width] of two photographs."""
    crops = [image[:height, :width] for image in (data.astronaut(), data.coffee()[:, 80:])]
    return torch.tensor(np.stack([rgb_to_lab(crop)[..., 0] for crop in crops]))[:, None]


def _batches():
    random = torch.Generator().manual_seed(5)
    noise = [100 * torch.rand(n, 1, h, w, generator=random) for n, h, w in ((1, 64, 64), (3, 40, 72), (1, 256, 136))]
    return [
        *noise,
        _photographs(256, 344),
        _photographs(72, 64),
        torch.zeros(1, 1, 64, 64),
        torch.full_like(noise[0], 100),
    ]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("batch", _batches(), ids=lambda batch: "x".join(map(str, batch.shape)))
def test_both_networks_give_torchs_colours(models, exported, batch):
    generator, refiner = load_generator(models / "generator"), load_refiner(models / "refiner")
    ab_small = generator.predict_ab(batch)
    np.testing.assert_allclose(_run(exported[0].path, L=batch), ab_small, rtol=0, atol=1e-3)
    found = _run(exported[1].path, L=batch, ab_small=ab_small)
    assert ab_small.std() > 1 or batch.std() == 0
    np.testing.assert_allclose(found, refiner.refine_ab(batch, ab_small), rtol=0, atol=1e-3)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("temperature", [0.2, 0.38, 1.0])
def test_the_temperature_is_an_input_that_may_be_left_out(models, exported, temperature):
    L = _photographs(64, 64)
    given = _run(exported[0].path, L=L, temperature=temperature)
    expected = 1.5 * load_generator(models / "generator").model.predict_ab(L, temperature)
    np.testing.assert_allclose(given, expected, rtol=0, atol=1e-3)
    assert (np.abs(given - _run(exported[0].path, L=L)).max() > 0.1) == (temperature != 0.38)


@pytest.mark.slow
@pytest.mark.long
def test_a_regression_at_half_scale_can_be_exported(tmp_path):
    loaded = _save_generator(tmp_path / "generator", head="regression", scale=2, blocks=2)
    L = _photographs(9 * loaded.multiple_px, 256)
    given = _exported(loaded, tmp_path / "g.onnx", L, ["L"])
    np.testing.assert_allclose(given, loaded.predict_ab(L), rtol=0, atol=1e-3)


@pytest.mark.slow
@pytest.mark.long
def test_the_generator_of_the_package_can_be_exported(tmp_path):
    loaded = load_generator(models_folder() / "generator")
    L = _photographs(9 * loaded.multiple_px, 256)
    given = _exported(loaded, tmp_path / "g.onnx", L, ["L", "temperature"])
    np.testing.assert_allclose(given, loaded.predict_ab(L), rtol=0, atol=1e-3)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("widening", [1.0, 1.5])
def test_a_generator_on_three_layers_is_as_exact_as_torch_when_exported(tmp_path, widening):
    """With random weights, torch's own rounding of the sharpened distribution is above 0.001 ab units."""
    loaded = _save_generator(tmp_path / "generator", encoder_depth=3, widening=widening)
    L = _photographs(9 * loaded.multiple_px, 256)
    exact = deepcopy(loaded.model).double()
    probabilities = (exact(L.double()) / loaded.temperature).softmax(1)
    ab = loaded.saturation * torch.einsum("nqhw,qc->nchw", probabilities, exact.bins.centres).numpy()
    given = _exported(loaded, tmp_path / "g.onnx", L, ["L", "temperature"])
    rounding = np.abs(loaded.predict_ab(L).numpy() - ab).max()
    assert 0 < np.abs(given - ab).max() <= 2 * rounding < 0.01


def _exported(loaded, file, L, inputs):
    """Writes the generator as an ONNX file and returns the ab that it gives for L."""
    import onnx  # noqa: PLC0415

    file.write_bytes(ours.generator_to_onnx(loaded))
    assert [value.name for value in onnx.load(file).graph.input] == inputs
    return _run(file, L=L)


@pytest.mark.slow
@pytest.mark.long
def test_a_file_is_whole_valid_and_says_what_it_is(exported):
    import onnx  # noqa: PLC0415

    for file, kind in zip(exported, ("generator", "refiner")):
        model = onnx.load(file.path, load_external_data=False)
        onnx.checker.check_model(model, full_check=True)
        assert {entry.domain: entry.version for entry in model.opset_import} == {"": ours.OPSET}
        said = {entry.key: entry.value for entry in model.metadata_props}
        assert (said["kind"], said["image_px"], said["multiple_px"]) == (kind, "256", "8")
        assert said.get("temperature") == ("0.38" if kind == "generator" else None)
        assert [dim.dim_param for dim in model.graph.input[0].type.tensor_type.shape.dim] == ["batch", "", "8*h", "8*w"]
        assert file.path.stat().st_size == file.size_bytes
        assert 0 < file.difference <= 1e-3
    assert {path.name for path in exported[0].path.parent.iterdir()} == {"generator.onnx", "refiner.onnx"}


@pytest.mark.slow
@pytest.mark.long
def test_a_file_has_no_facts_about_the_machine_that_made_it(exported):
    for file in exported:
        assert b".py" not in file.path.read_bytes()


@pytest.mark.slow
@pytest.mark.long
def test_an_export_that_differs_from_torch_is_refused_and_not_written(models, exported, tmp_path, monkeypatch):
    """The weights are changed between export and check, by an invisible amount."""

    def export(loaded):
        loaded.model.head.weight.mul_(1.01)
        return exported[0].path.read_bytes()

    monkeypatch.setattr(ours, "generator_to_onnx", export)
    monkeypatch.setattr(ours, "refiner_to_onnx", lambda loaded: exported[1].path.read_bytes())
    with pytest.raises(WeightsError, match=r"generator\.onnx: differs from torch by .* nothing was written"):
        ours.export_onnx(models, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_before_any_work(monkeypatch, tmp_path, name):
    monkeypatch.setattr(ours, "find_spec", lambda asked: None if asked == name else object())
    with pytest.raises(ConfigError, match=rf"not installed: {name}\. Run `pip install '\.\[onnx\]'`"):
        ours.export_onnx(tmp_path / "no models", tmp_path / "out")


def test_missing_models_name_what_makes_them(tmp_path):
    with pytest.raises(WeightsError, match="recolor train generator"):
        ours.export_onnx(tmp_path, tmp_path / "out")


def test_the_module_loads_without_the_extra(monkeypatch):
    """Only an export needs the packages."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    assert "export_onnx" in runpy.run_path(ours.__file__)


@pytest.mark.slow
@pytest.mark.long
def test_the_verb_names_the_files_and_says_how_exact_they_are(verb):
    output, files = verb
    assert all(file.path.name in output for file in files)
    assert "ab units" in output


@pytest.mark.slow
@pytest.mark.long
def test_another_export_of_the_generator_has_the_same_bytes(models, exported):
    assert ours.generator_to_onnx(load_generator(models / "generator")) == exported[0].path.read_bytes()


@pytest.mark.slow
@pytest.mark.long
def test_another_export_of_the_refiner_has_the_same_bytes(models, exported):
    assert ours.refiner_to_onnx(load_refiner(models / "refiner")) == exported[1].path.read_bytes()
