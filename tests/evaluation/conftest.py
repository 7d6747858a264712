"""A workspace before evaluation: shards of photographs, and two small untrained models."""

import shutil

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from skimage import data
from skimage.transform import resize

from recolor.color.lab import encode_lab, rgb_to_lab
from recolor.config.settings import GeneratorModelConfig, RefinerModelConfig
from recolor.manifests.io import write_manifest
from recolor.manifests.schemas import SHARD_INDEX, TRAINING_METRICS
from recolor.models.files import bins_json, save_model
from recolor.models.generator import Generator
from recolor.models.identity import model_content
from recolor.models.refiner import Refiner
from recolor.pipeline.cache import Part, require_record, run_part
from recolor.pipeline.workspace import open_workspace
from recolor.shards.format import VERSION, index_path
from recolor.training.metrics import metrics_table

SIZE_PX = 64
PATHS = ["a.jpg", "sub/<b>&amp;\nnew.jpg", "c.jpg", "d.jpg", "e.jpg", "f.jpg", "ü.jpg", "h.jpg", "i.jpg"]
SPLITS = ["train", "test", "test", "val", "train", "test", "test", "test", "test"]


@pytest.fixture(autouse=True)
def _one_thread():
    """One thread: small convolutions are faster on it than on two busy cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def _written(tmp_path_factory):
    workspace = open_workspace(tmp_path_factory.mktemp("evaluable") / "workspace")
    _write_shards(workspace, SPLITS)
    _write_models(workspace)
    return workspace


@pytest.fixture
def evaluable(_written, tmp_path):
    """9 images; 6 are in the test split."""
    return open_workspace(shutil.copytree(_written.root, tmp_path / "workspace"))


@pytest.fixture
def without_test_split(evaluable):
    _write_shards(evaluable, ["val" if split == "test" else split for split in SPLITS])
    _write_models(evaluable)
    return evaluable


def _squares(count):
    """Crops of colour photographs, float32 Lab [N, S, S, 3]."""
    photographs = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    chosen = [photographs[number % 4][10 * number :][:256, :256] for number in range(count)]
    small = [resize(photograph, (SIZE_PX, SIZE_PX), anti_aliasing=True) for photograph in chosen]
    return rgb_to_lab((np.stack(small) * 255).round().astype(np.uint8))


@pytest.fixture(scope="session")
def alexnet_file(tmp_path_factory):
    """AlexNet with random weights, as torchvision's file holds it."""
    import torchvision  # noqa: PLC0415  (takes seconds, and few tests need it)

    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "alexnet.pth"
    state = torchvision.models.alexnet(weights=None).state_dict()
    torch.save({name: tensor for name, tensor in state.items() if name.startswith("features.")}, path)
    return path


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory):
    """FID's Inception with random weights and batch norm statistics of data."""
    # Imports torchvision, which takes seconds, and few tests need it.
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3  # noqa: PLC0415

    torch.manual_seed(4)
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    original = FeatureExtractorInceptionV3.load_state_dict
    FeatureExtractorInceptionV3.load_state_dict = lambda *_: None
    torch.save({}, path)
    try:
        network = FeatureExtractorInceptionV3("random", ["2048"], str(path))
    finally:
        FeatureExtractorInceptionV3.load_state_dict = original
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture
def photographs(tmp_path):
    """A folder of colour photographs of several sizes and shapes, one of them in a subfolder."""
    folder = tmp_path / "photographs"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(data.astronaut()).save(folder / "a.png")
    Image.fromarray(data.chelsea()).save(folder / "sub" / "b.jpg", quality=95)
    Image.fromarray(data.coffee()[:300, :200]).save(folder / "c.png")
    Image.fromarray(data.rocket()[100:148, 200:280]).save(folder / "small.png")
    return folder


@pytest.fixture
def make_models(tmp_path):
    """Writes models into a folder of that name, without the other outputs of a training."""

    def make(name, seed=0, *, refiner=True, shards=None):
        folder = tmp_path / name
        for part, model in (("generator", _generator(seed)), ("refiner", _refiner(seed)))[: 1 + refiner]:
            (folder / part).mkdir(parents=True)
            details = {"training": {"inputs": {"shards": shards}}, "image_px": SIZE_PX}
            save_model(folder / part, model, {**_details(part, 0.38), **details})
        return folder

    return make


@pytest.fixture
def replace_model():
    return _write_models


@pytest.fixture
def replace_shards():
    return _write_shards


def _write_shards(workspace, splits):
    codes = encode_lab(_squares(len(PATHS))).transpose(0, 3, 1, 2)
    name = "shard-00000-0.npy"
    counts = {"images": len(PATHS), **{split: splits.count(split) for split in ("train", "val", "test")}}

    def write_shard(folder):
        np.save(folder / name, np.ascontiguousarray(codes))
        return counts

    def write_index(folder):
        write_manifest(SHARD_INDEX, _index(name, splits), folder / "index.parquet")
        return counts

    run_part(Part(workspace, "shard", VERSION, None, {}, (workspace.shards / name,)), write_shard)
    run_part(Part(workspace, "shard", VERSION, splits, {}, (workspace.shards / "index.parquet",)), write_index)


def _index(shard, splits):
    rows = [
        (path, "0" * 64, shard, row, split, SIZE_PX, SIZE_PX)
        for row, (path, split) in enumerate(zip(PATHS, splits, strict=True))
    ]
    names = SHARD_INDEX.arrow.names
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=SHARD_INDEX.arrow)


def _generator(seed):
    """Gives heads random weights, because zeros would colour all images the same."""
    torch.manual_seed(seed)
    model = Generator(GeneratorModelConfig(encoder_weights="none", encoder_depth=1, width=8, blocks=1)).eval()
    torch.nn.init.normal_(model.head.weight, std=0.5)
    return model


def _refiner(seed):
    torch.manual_seed(seed)
    model = Refiner(RefinerModelConfig(encoder_weights="none", width=8, blocks=1)).eval()
    torch.nn.init.normal_(model.head.weight, std=0.01)
    return model


def _write_models(workspace, generator=0, refiner=0, temperature=0.38):
    """Writes both models as training does: the records name the shards and the generator they depend on."""
    shards = require_record(index_path(workspace), "shards build").content
    _write_model(workspace, "generator", _generator(generator), {"shards": shards}, temperature)
    made = require_record(workspace.models / "generator" / "model.safetensors", "train generator")
    inputs = {"shards": shards, "generator": model_content(made)}
    _write_model(workspace, "refiner", _refiner(refiner), inputs, temperature)


def _write_model(workspace, name, model, inputs, temperature):
    names = ("model.safetensors", "config.json", "metrics.parquet", "loss_curve.png")
    outputs = tuple(workspace.models / name / file for file in names)
    settings = [name, next(model.parameters()).sum().item(), temperature]
    run_part(
        Part(workspace, f"train-{name}", 1, settings, inputs, outputs),
        lambda folder: _model_files(folder, name, model, temperature, inputs),
    )


def _model_files(folder, name, model, temperature, inputs):
    save_model(folder, model, {**_details(name, temperature), "training": {"train": {"lr": 0.001}, "inputs": inputs}})
    metrics = [(step, "train", 4.0 / step, 1e-3) for step in range(1, 9)] + [(8, "val", 0.7, 1e-3)]
    write_manifest(TRAINING_METRICS, metrics_table(metrics), folder / "metrics.parquet")
    Image.new("L", (70, 40), 255).save(folder / "loss_curve.png")
    return {}


def _details(name, temperature):
    shape = {"encoder_weights": "none", "width": 8, "blocks": 1}
    if name == "refiner":
        return {"kind": name, "model": shape}
    model = {**shape, "encoder_depth": 1}
    return {"kind": name, "model": model, "temperature": temperature, "ab_bins": bins_json()}
