import json

import pytest
import torch

from recolor.evaluation.facts import train_overlap_in_folder, train_overlap_in_split
from recolor.evaluation.methods import load_models

CPU = torch.device("cpu")


def test_what_is_known_of_what_a_model_has_seen_is_said(make_models):
    ours, others, silent = load_models(
        [make_models("ours", shards="s1"), make_models("others", shards="s2"), make_models("silent")], [], CPU
    )
    assert "It was not trained on any of the measured images" in train_overlap_in_split([ours], "s1", "test")[0]
    assert "was trained on these images" in train_overlap_in_split([ours], "s1", "train")[0]
    for model in (others, silent):
        (sentence,) = train_overlap_in_split([model], "s1", "test")
        assert sentence.startswith("Recolor cannot know whether this model was trained on these images")
    assert train_overlap_in_folder([ours]) == (
        "Recolor cannot know whether this model was trained on these photographs.",
    )


def test_a_refiner_of_other_shards_than_its_generator_counts_too(make_models):
    mixed = make_models("mixed", shards="s1")
    other = make_models("other", shards="s2")
    (mixed / "refiner" / "config.json").write_bytes((other / "refiner" / "config.json").read_bytes())
    (model,) = load_models([mixed], [], CPU)
    assert model.trained_on == ("s1", "s2")
    assert "cannot know" in train_overlap_in_split([model], "s1", "test")[0]


@pytest.mark.parametrize("part", ["generator", "refiner"])
def test_a_model_that_started_from_another_s_weights_may_have_seen_anything(make_models, part):
    folder = make_models("ours", shards="s1")
    path = folder / part / "config.json"
    details = json.loads(path.read_text())
    details["training"]["inputs"]["start_from"] = "file 00"
    path.write_text(json.dumps(details))
    (model,) = load_models([folder], [], CPU)
    for split in ("train", "test"):
        assert (
            "cannot know whether this model was trained on these images"
            in train_overlap_in_split([model], "s1", split)[0]
        )


def test_sentences_name_the_model_if_there_are_several(make_models):
    models = load_models([make_models("ours", shards="s1"), make_models("others", shards="s2")], [], CPU)
    ours, others = train_overlap_in_split(models, "s1", "test")
    assert ours.startswith("The model 'ours' was trained on the train split")
    assert others.startswith("Recolor cannot know whether the model 'others' was trained")
    assert "whether the model 'ours' was" in train_overlap_in_folder(models)[0]
