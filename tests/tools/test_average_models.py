import hashlib
import sys
from pathlib import Path

import pytest
import torch

from recolor.config.settings import RefinerModelConfig
from recolor.models.files import load_refiner, save_model
from recolor.models.identity import MODEL_FILE
from recolor.models.refiner import Refiner

SHAPE = RefinerModelConfig(encoder_weights="none", width=8, blocks=1)


@pytest.fixture
def average_models(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "tools"))
    return pytest.importorskip("average_models")


def _made(folder, seed):
    torch.manual_seed(seed)
    model = Refiner(SHAPE)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    folder.mkdir()
    save_model(folder, model, {"kind": "refiner", "model": {"width": 8, "blocks": 1}, "training": {"seed": seed}})
    return load_refiner(folder).model.state_dict()


def test_every_weight_is_the_weighted_mean_and_the_config_names_the_models(average_models, tmp_path, monkeypatch):
    one, two = _made(tmp_path / "one", 1), _made(tmp_path / "two", 2)
    words = [f"{tmp_path / 'one'}=1", f"{tmp_path / 'two'}=3", "--out", str(tmp_path / "mean")]
    monkeypatch.setattr(sys, "argv", ["average_models", *words])
    average_models.main()
    mean = load_refiner(tmp_path / "mean")
    for name, tensor in mean.model.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, 0.25 * one[name] + 0.75 * two[name])
        else:
            assert tensor == two[name]
    assert mean.details["training"] == {"seed": 2}
    sums = [hashlib.sha256((tmp_path / name / MODEL_FILE).read_bytes()).hexdigest() for name in ("one", "two")]
    assert mean.details["averaged"] == [{"sha256": sums[0], "weight": 0.25}, {"sha256": sums[1], "weight": 0.75}]
