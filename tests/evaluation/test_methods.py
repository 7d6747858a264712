from pathlib import Path

import pytest
import torch

from recolor.errors import ConfigError, MissingStageError
from recolor.evaluation.methods import Method, labels_of, load_models
from recolor.models.pretrained import models_folder

CPU = torch.device("cpu")


def test_labels_are_the_shortest_ends_that_tell_folders_apart():
    assert labels_of([Path("/x/data/models")]) == ["models"]
    assert labels_of([Path("/x/l1/data/models"), Path("/x/vivid/data/models")]) == [
        "l1/data/models",
        "vivid/data/models",
    ]
    assert labels_of([Path("/x/l1"), Path("/y/vivid")]) == ["l1", "vivid"]
    assert labels_of([models_folder(), Path("/x/models")]) == ["pretrained", "models"]


def test_models_and_controls_are_loaded_with_or_without_a_refiner(make_models):
    whole, alone, control = load_models(
        [make_models("whole"), make_models("alone", refiner=False)], [make_models("l1")], CPU
    )
    assert whole.whole == Method("whole", "refined", "model")
    assert alone.whole == Method("alone", "generator", "model")
    assert control.whole == Method("l1", "refined", "control")


def test_a_model_given_twice_and_a_folder_without_one_are_refused(make_models, tmp_path):
    folder = make_models("a")
    with pytest.raises(ConfigError, match="given twice"):
        load_models([folder], [folder], CPU)
    with pytest.raises(MissingStageError, match=r"no trained model there.*recolor train generator"):
        load_models([tmp_path / "none"], [], CPU)
