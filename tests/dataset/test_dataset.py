import os
import pickle

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.utils.data import DataLoader

from recolor.color.lab import decode_lab
from recolor.dataset.dataset import ShardDataset
from recolor.errors import ConfigError, DamagedError, InputError, MissingStageError
from recolor.manifests.io import write_manifest
from recolor.manifests.schemas import SHARD_INDEX
from recolor.pipeline.cache import Part, run_part
from recolor.pipeline.workspace import open_workspace
from recolor.shards.format import STAGE, VERSION, index_path

SIZE_PX = 80


def random_codes(count, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, 3, SIZE_PX, SIZE_PX), np.uint8)


def write_shards(workspace, shards):
    """Writes shards and their index in the documented format; every fifth image is in val."""
    rows = []
    for number, array in enumerate(shards):
        path = workspace.shards / f"shard-{number:05d}-00000000.npy"
        part = Part(workspace, STAGE, VERSION, number, {}, (path,))
        run_part(part, lambda staging, n=path.name, a=array: np.save(staging / n, a) or {"images": len(a)})
        rows += [(f"{number}/{row}.jpg", f"{number:032d}{row:032d}", path.name, row) for row in range(len(array))]
    splits = ["val" if place % 5 == 4 else "train" for place in range(len(rows))]
    columns = [*zip(*rows, strict=True), splits, [100] * len(rows), [100] * len(rows)]
    names = ["path", "sha256", "shard", "row", "split", "width_px", "height_px"]
    table = pa.table(dict(zip(names, columns, strict=True)), schema=SHARD_INDEX.arrow)
    index = Part(workspace, STAGE, VERSION, None, {}, (index_path(workspace),))
    run_part(index, lambda staging: write_manifest(SHARD_INDEX, table, staging / "index.parquet") or {})


@pytest.fixture(scope="module")
def arrays():
    return [random_codes(count, seed) for seed, count in enumerate((9, 4, 7))]


@pytest.fixture
def stored(arrays, tmp_path):
    workspace = open_workspace(tmp_path / "workspace")
    write_shards(workspace, arrays)
    return workspace


def test_a_split_has_its_own_rows_in_the_order_of_the_index(stored, arrays):
    everything = np.concatenate(arrays)
    train, val = ShardDataset.open(stored, "train"), ShardDataset.open(stored, "val")
    assert (train.rows, val.rows) == (16, 4)
    places = np.arange(20)
    np.testing.assert_array_equal(train.codes(np.arange(16)), everything[places % 5 != 4])
    np.testing.assert_array_equal(val.codes(np.array([3, 0, 0])), everything[places % 5 == 4][[3, 0, 0]])
    assert val.paths(np.array([1, 0])) == ["1/0.jpg", "0/4.jpg"]
    assert train.size_bytes == 16 * 3 * SIZE_PX * SIZE_PX


def test_codes_are_a_copy_that_may_be_written_to(stored, arrays):
    train = ShardDataset.open(stored, "train")
    train.codes(np.array([0]))[:] = 0
    np.testing.assert_array_equal(train.codes(np.array([0]))[0], arrays[0][0])


def test_codes_are_copied_into_the_given_array(stored, arrays):
    train = ShardDataset.open(stored, "train")
    room = train.empty(5)
    assert (room.shape, room.dtype) == ((5, 3, SIZE_PX, SIZE_PX), np.uint8)
    rows = np.array([15, 0, 7, 7, 3])
    assert train.codes(rows, out=room) is room
    np.testing.assert_array_equal(room, train.codes(rows))
    part = room[1:3]
    train.codes(np.array([2, 1]), out=part)
    np.testing.assert_array_equal(room[1:3], arrays[0][[2, 1]])
    np.testing.assert_array_equal(room[3:], train.codes(rows)[3:])


def test_an_output_array_of_another_length_is_refused(stored):
    train = ShardDataset.open(stored, "train")
    with pytest.raises(ValueError, match="zip"):
        train.codes(np.arange(3), out=train.empty(4))


def test_float16_shards_are_read_as_such(tmp_path):
    lab = np.random.default_rng(8).normal(0, 30, (5, 3, SIZE_PX, SIZE_PX)).astype(np.float16)
    workspace = open_workspace(tmp_path / "workspace")
    write_shards(workspace, [lab])
    train = ShardDataset.open(workspace, "train")
    assert train.empty(1).dtype == np.float16
    np.testing.assert_array_equal(train.codes(np.array([3, 1])), lab[[3, 1]])
    assert train.size_bytes == 4 * 3 * SIZE_PX * SIZE_PX * 2


def test_an_empty_split_is_refused_and_says_what_to_do(stored):
    with pytest.raises(InputError, match=r"'test'.*select\.test_fraction"):
        ShardDataset.open(stored, "test")


def test_without_shards_the_stage_to_run_is_named(tmp_path):
    with pytest.raises(MissingStageError, match="recolor shards build"):
        ShardDataset.open(open_workspace(tmp_path), "train")


def test_a_missing_shard_is_refused_and_named(stored):
    (stored.shards / "shard-00001-00000000.npy").unlink()
    with pytest.raises(DamagedError, match="shard-00001-00000000"):
        ShardDataset.open(stored, "train")


def test_a_cut_shard_is_refused_and_named(stored):
    os.truncate(stored.shards / "shard-00002-00000000.npy", 50_000)
    with pytest.raises(DamagedError, match="shard-00002-00000000"):
        ShardDataset.open(stored, "train")


def test_a_shard_with_more_images_than_the_index_says_is_refused(stored, arrays):
    path = stored.shards / "shard-00001-00000000.npy"
    larger = np.concatenate([arrays[1], arrays[1]])
    run_part(
        Part(stored, STAGE, VERSION, "larger", {}, (path,)),
        lambda staging: np.save(staging / path.name, larger) or {"images": 8},
    )
    with pytest.raises(DamagedError, match="8 images, but the index says 4"):
        ShardDataset.open(stored, "train")


def test_an_item_is_the_decoded_code_exactly(stored, arrays):
    dataset = ShardDataset(stored.shards, split="val")
    assert len(dataset) == 4
    L, ab = dataset[1]
    lab = decode_lab(arrays[1][0].transpose(1, 2, 0)).transpose(2, 0, 1)  # the tenth of all images
    assert (L.dtype, ab.dtype) == (torch.float32, torch.float32)
    assert (L.shape, ab.shape) == ((1, SIZE_PX, SIZE_PX), (2, SIZE_PX, SIZE_PX))
    np.testing.assert_array_equal(dataset.codes(np.array([1]))[0], arrays[1][0])
    np.testing.assert_array_equal(torch.cat((L, ab)).numpy(), lab)


def test_float16_items_are_their_values(tmp_path):
    lab = np.random.default_rng(8).normal(0, 30, (5, 3, SIZE_PX, SIZE_PX)).astype(np.float16)
    workspace = open_workspace(tmp_path / "workspace")
    write_shards(workspace, [lab])
    L, ab = ShardDataset(str(workspace.shards))[2]
    np.testing.assert_array_equal(torch.cat((L, ab)).numpy(), lab[2].astype(np.float32))


def test_items_are_copies_and_end_where_the_split_ends(stored):
    dataset = ShardDataset(stored.shards)
    dataset[0].L.zero_()
    assert dataset[0].L.any()
    assert torch.equal(dataset[-1].ab, dataset[15].ab)
    assert len([image for image in dataset]) == 16  # noqa: C416 - iterates by index
    for outside in (16, -17):
        with pytest.raises(IndexError, match=r"of 16"):
            dataset[outside]


def test_a_dataset_in_another_process_opens_its_shards_again(stored):
    dataset = ShardDataset(stored.shards, "val")
    sent = pickle.dumps(dataset)
    assert len(sent) < 1000
    again = pickle.loads(sent)
    assert (again.split, again.names) == ("val", dataset.names)
    assert torch.equal(again[3].L, dataset[3].L)


def test_a_dataset_of_arrays_is_sent_whole(arrays):
    dataset = ShardDataset.from_arrays((arrays[0],), np.zeros(9, np.int64), np.arange(9), tuple("abcdefghi"), ("x",))
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[8].ab, dataset[8].ab)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_torchs_loader_stacks_the_images_of_a_split_in_their_order(stored, workers):
    dataset = ShardDataset(stored.shards, "train")
    # Not forked: a fork of a process in which tests ran Prefect cannot end well.
    context = "spawn" if workers else None
    loaded = list(DataLoader(dataset, batch_size=6, num_workers=workers, multiprocessing_context=context))
    assert [len(L) for L, _ in loaded] == [6, 6, 4]
    assert torch.equal(torch.cat([L for L, _ in loaded]), torch.stack([image.L for image in dataset]))
    assert torch.equal(torch.cat([ab for _, ab in loaded]), torch.stack([image.ab for image in dataset]))


def test_a_split_that_does_not_exist_is_refused(stored):
    with pytest.raises(ConfigError, match=r"'valid'.*Allowed: 'train', 'val', 'test'"):
        ShardDataset(stored.shards, "valid")


def test_a_folder_that_is_not_of_a_workspace_is_refused(stored):
    with pytest.raises(InputError, match="data/shards"):
        ShardDataset(stored.root)
