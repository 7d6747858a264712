import numpy as np

from recolor.bench.feed import training_set, write_random_shards
from recolor.pipeline.workspace import Workspace


def test_without_shards_random_codes_are_read_and_then_gone(tmp_path):
    with training_set(Workspace(tmp_path / "none"), size_px=64, images=5) as (dataset, words):
        codes = dataset.codes(np.arange(5))
        assert codes.shape == (5, 3, 64, 64)
        assert codes.dtype == np.uint8
        assert codes.std() > 70  # uniform over 0..255: 73.9
        assert words == "5 squares of 64 px with random codes"
    assert not (tmp_path / "none").exists()


def test_the_shards_of_a_workspace_are_read_and_nothing_is_written(workspace):
    write_random_shards(workspace, size_px=64, images=7)
    before = sorted(workspace.root.rglob("*"))
    with training_set(workspace, size_px=128, images=5) as (dataset, words):
        assert dataset.rows == 7
        assert str(workspace.shards) in words
    assert sorted(workspace.root.rglob("*")) == before
