import numpy as np
import pytest
from PIL import Image

from recolor.config.settings import Config, ShardConfig
from recolor.demo import render_landscape
from recolor.errors import InputError, MissingStageError
from recolor.manifests.io import read_table
from recolor.manifests.schemas import SHARD_INDEX
from recolor.pipeline.workspace import open_workspace
from recolor.shards.contact_sheet import TILE_PX, contact_sheet
from recolor.stages import CLEANING, run_each, shard


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    """A workspace with shards of twelve rendered landscapes, in two folders."""
    images, root = (tmp_path_factory.mktemp("sheet") / name for name in ("images", "workspace"))
    for seed in range(12):
        path = images / f"folder {seed % 2}" / f"{seed}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(render_landscape(seed, 384, 288)).save(path, quality=95)
    workspace, config = open_workspace(root), Config(shard=ShardConfig(max_shard_images=4))
    list(run_each(CLEANING, workspace, images, config))
    shard(workspace, images, config)
    return workspace, images


def tile(sheet, place):
    left, top = 8 + place % 8 * (TILE_PX + 8), 8 + place // 8 * (TILE_PX + 24)
    return np.asarray(sheet.crop((left, top, left + TILE_PX, top + TILE_PX)), float)


@pytest.mark.slow  # draws with matplotlib
def test_every_tile_is_the_centre_of_its_photograph(sharded):
    workspace, images = sharded
    index = read_table(SHARD_INDEX, workspace.shards / "index.parquet").to_pylist()
    sheet = contact_sheet(workspace, 100)
    assert sheet.size == (8 + 8 * (TILE_PX + 8), 8 + 2 * (TILE_PX + 24))
    for place, row in enumerate(index):
        square = (
            Image.open(images / row["path"]).crop((48, 0, 336, 288)).resize((TILE_PX, TILE_PX), Image.Resampling.BOX)
        )
        assert np.abs(tile(sheet, place) - np.asarray(square, float)).mean() < 4


def test_fewer_images_are_evenly_spaced_over_all(sharded):
    workspace, _ = sharded
    whole, few = contact_sheet(workspace, 12), contact_sheet(workspace, 3)
    for place, of_whole in enumerate((0, 6, 11)):
        assert (tile(few, place) == tile(whole, of_whole)).all()


def test_a_split_is_shown_alone(sharded):
    workspace, _ = sharded
    splits = read_table(SHARD_INDEX, workspace.shards / "index.parquet")["split"].to_pylist()
    sheet = contact_sheet(workspace, 100, "train")
    assert sheet.size[1] == 8 + -(-splits.count("train") // 8) * (TILE_PX + 24)
    with pytest.raises(InputError, match="no stored image is in the split 'none'"):
        contact_sheet(workspace, 100, "none")


def test_without_shards_the_stage_to_run_is_named(workspace):
    with pytest.raises(MissingStageError, match="recolor shards build"):
        contact_sheet(workspace, 10)
