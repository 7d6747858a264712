import json
from pathlib import Path

import pytest
import torch

from recolor.errors import ConfigError, MissingStageError
from recolor.evaluation.methods import Way, labels_of, load_models
from recolor.evaluation.seen import seen_in_folder, seen_in_split
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
    assert whole.whole == Way("whole", "refined", "model")
    assert alone.whole == Way("alone", "generator", "model")
    assert control.whole == Way("l1", "refined", "control")


def test_a_model_given_twice_and_a_folder_without_one_are_refused(make_models, tmp_path):
    folder = make_models("a")
    with pytest.raises(ConfigError, match="given twice"):
        load_models([folder], [folder], CPU)
    with pytest.raises(MissingStageError, match=r"no trained model there.*recolor train generator"):
        load_models([tmp_path / "none"], [], CPU)


def test_what_is_known_of_what_a_model_has_seen_is_said(make_models):
    ours, others, silent = load_models(
        [make_models("ours", shards="s1"), make_models("others", shards="s2"), make_models("silent")], [], CPU
    )
    assert "on none of the images measured" in seen_in_split([ours], "s1", "test")[0]
    assert "was trained on these images" in seen_in_split([ours], "s1", "train")[0]
    for model in (others, silent):
        (sentence,) = seen_in_split([model], "s1", "test")
        assert sentence.startswith(f"Recolor cannot know whether {model.label} was trained on these images")
    assert seen_in_folder([ours]) == ("Recolor cannot know whether ours was trained on these photographs.",)


def test_a_refiner_of_other_shards_than_its_generator_counts_too(make_models):
    mixed = make_models("mixed", shards="s1")
    other = make_models("other", shards="s2")
    (mixed / "refiner" / "config.json").write_bytes((other / "refiner" / "config.json").read_bytes())
    (model,) = load_models([mixed], [], CPU)
    assert model.trained_on == ("s1", "s2")
    assert "cannot know" in seen_in_split([model], "s1", "test")[0]


@pytest.mark.parametrize("part", ["generator", "refiner"])
def test_a_model_that_started_from_another_s_weights_may_have_seen_anything(make_models, part):
    folder = make_models("ours", shards="s1")
    path = folder / part / "config.json"
    details = json.loads(path.read_text())
    details["training"]["inputs"]["start_from"] = "file 00"
    path.write_text(json.dumps(details))
    (model,) = load_models([folder], [], CPU)
    for split in ("train", "test"):
        assert "cannot know whether ours was trained on these images" in seen_in_split([model], "s1", split)[0]
