"""The cleaning benchmark's own arithmetic, and the pictures that it names."""

import csv
import sys
from pathlib import Path

import cleaning
import numpy as np
import pytest
from bootstrap import RESAMPLES, auc, estimate, recall_at, resample, share
from planting import PLANTS

from recolor.demo.copies import jpeg

TOOLS = Path(__file__).parents[2] / "tools"
DATA = Path(__file__).parents[2] / "../shared/data"


def judged(name):
    with (TOOLS / name).open() as file:
        return list(csv.DictReader(file))


def test_figures_are_those_of_the_pictures_that_a_resample_repeats():
    rng = np.random.default_rng(0)
    names = [f"photograph {at}" for at in range(20)]
    of_good, of_bad = rng.choice(names, 150), rng.choice(names, 60)
    good, bad = np.round(rng.normal(1, 1, 150), 1), np.round(rng.normal(0, 1, 60), 1)
    draws = resample(names)
    good_weights, bad_weights = draws.of(list(of_good)), draws.of(list(of_bad))
    area, recall = auc(bad, bad_weights, good, good_weights), recall_at(bad, bad_weights, good, good_weights, 0.05)
    for at in (0, 1, 500):
        goods = np.sort(np.repeat(good, good_weights[at].astype(int)))
        bads = np.repeat(bad, bad_weights[at].astype(int))
        above = goods[:, None] - bads
        assert area[at] == pytest.approx(np.mean((above > 0) + 0.5 * (above == 0)))
        limit = goods[int(np.ceil(0.05 * len(goods) - 1e-6)) - 1]
        assert recall[at] == pytest.approx(np.mean(bads < limit))


def test_the_first_row_of_the_weights_is_the_sample_itself():
    draws = resample(["a", "b", "c", "d"])
    figure = share(np.array([True, False, True, True]), draws.of(["a", "b", "c", "d"]))
    assert len(figure) == 1 + RESAMPLES
    assert estimate(figure).value == 0.75
    assert estimate(figure).low < 0.75 < estimate(figure).high


def test_every_defect_can_be_planted_into_a_small_photograph():
    rgb = np.random.default_rng(0).integers(0, 256, (120, 180, 3), np.uint8)
    for issue, kinds in PLANTS.items():
        for kind, change in kinds.items():
            made = change(jpeg(rgb, 95), rgb, np.random.default_rng(0))
            assert isinstance(made, bytes), (issue, kind)


def test_planting_the_same_photograph_gives_the_same_bytes():
    rgb = np.random.default_rng(0).integers(0, 256, (120, 180, 3), np.uint8)
    for kind, change in PLANTS["exposure"].items():
        one, other = (change(b"", rgb, np.random.default_rng(7)) for _ in range(2))
        assert one == other, kind


def test_no_picture_is_both_bad_and_of_a_kind_of_scene():
    bad = {(row["set"], row["file"]) for row in judged("bad.csv")}
    assert not bad & {(row["set"], row["file"]) for row in judged("scenes.csv")}


@pytest.mark.skipif(not (DATA / "photos_more").is_dir(), reason="../shared/data/photos_more is not there")
def test_every_judged_picture_is_there():
    rows = judged("scenes.csv") + judged("bad.csv")
    missing = [row["file"] for row in rows if not (DATA / row["set"] / "files" / row["file"]).is_file()]
    assert missing == []


def test_a_missing_folder_of_sets_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["cleaning.py", "--data", str(tmp_path / "nowhere")])
    with pytest.raises(SystemExit, match=r"nowhere.*there is no such folder"):
        cleaning.main()
