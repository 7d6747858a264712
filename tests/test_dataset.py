import os
import threading
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import lab2xyz, xyz2lab

from recolor import dataset as module
from recolor.config import TrainConfig
from recolor.dataset import (
    ShardDataset,
    batch_rows,
    batches,
    draw_augmentation,
    fits_in_memory,
    make_batch,
    prefetched,
)
from recolor.errors import ConfigError, DamagedError, InputError, MissingStageError
from recolor.lab import decode_lab, encode_lab, rgb_to_lab
from recolor.manifest import write_manifest
from recolor.schemas import SHARD_INDEX
from recolor.shard_format import STAGE, VERSION, index_path
from recolor.stage import Part, run_part
from recolor.workspace import open_workspace

SIZE_PX = 80
TRAIN = TrainConfig(steps=12, warmup_steps=1, batch_images=6, crop_px=64, seed=5, exposure=0.2)
CPU = torch.device("cpu")


def random_codes(count, seed, size_px=SIZE_PX):
    """Codes of random sRGB colours, so that they are in the gamut: uint8 [count, 3, S, S]."""
    rgb = np.random.default_rng(seed).integers(0, 256, (count, size_px, size_px, 3), np.uint8)
    return np.ascontiguousarray(encode_lab(rgb_to_lab(rgb)).transpose(0, 3, 1, 2))


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


def test_an_empty_split_is_refused_and_says_what_to_do(stored):
    with pytest.raises(InputError, match=r"'test'.*select\.test_fraction"):
        ShardDataset.open(stored, "test")


def test_without_shards_the_stage_to_run_is_named(tmp_path):
    with pytest.raises(MissingStageError, match="recolor shard"):
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
    with pytest.raises(DamagedError, match="8 images, and the index says 4"):
        ShardDataset.open(stored, "train")


@given(st.integers(1, 60), st.integers(1, 40), st.integers(-(2**63), 2**63 - 1))
def test_every_row_comes_once_an_epoch(count, batch_images, seed):
    steps = -(-3 * count // batch_images)
    stream = np.concatenate([batch_rows(count, batch_images, seed, step) for step in range(steps)])
    assert stream.dtype == np.int64
    assert len(stream) == steps * batch_images
    for epoch in range(3):
        assert sorted(stream[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_the_order_does_not_depend_on_the_batch_size():
    small = np.concatenate([batch_rows(50, 4, 1, step) for step in range(30)])
    large = np.concatenate([batch_rows(50, 12, 1, step) for step in range(10)])
    np.testing.assert_array_equal(small, large)


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {tuple(batch_rows(40, 40, seed, epoch)) for seed in (-1, 0, 1, 2**40) for epoch in range(5)}
    assert len(orders) == 20


def test_the_rows_of_a_step_do_not_depend_on_what_was_asked_before():
    expected = batch_rows(1000, 32, 3, 77)
    module._permutation.cache_clear()
    for step in (500, 3, 78):
        batch_rows(1000, 32, 3, step)
    np.testing.assert_array_equal(batch_rows(1000, 32, 3, 77), expected)


def test_the_order_is_the_same_in_every_version():
    assert batch_rows(8, 8, 0, 0).tolist() == [3, 6, 4, 0, 7, 5, 2, 1]


def test_no_rows_are_refused():
    with pytest.raises(InputError):
        batch_rows(0, 4, 0, 0)


def reference_batch(codes, train, step):
    """The same in float64, image by image, through XYZ, with loops."""
    drawn = draw_augmentation(len(codes), train, step)
    size, room = train.crop_px, codes.shape[-1] - train.crop_px
    for position, image in enumerate(codes):
        top, left = int(drawn.top[position] * (room + 1)), int(drawn.left[position] * (room + 1))
        crop = image[:, top : top + size, left : left + size].transpose(1, 2, 0)
        if drawn.flip[position]:
            crop = crop[:, ::-1]
        lab = xyz2lab(lab2xyz(decode_lab(crop).astype(np.float64)) * float(drawn.light[position]))
        lab[..., 0] = lab[..., 0].clip(0, 100)
        yield lab


def block_means(ab):
    small = np.empty((ab.shape[0] // 4, ab.shape[1] // 4, 2))
    for row in range(small.shape[0]):
        for column in range(small.shape[1]):
            small[row, column] = ab[4 * row : 4 * row + 4, 4 * column : 4 * column + 4].mean((0, 1))
    return small


@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB:UserWarning")  # codes round to just outside of the gamut
def test_an_augmented_batch_is_the_slow_reference_to_a_thousandth():
    codes = random_codes(6, seed=21)
    batch = make_batch(torch.from_numpy(codes), train=TRAIN, step=3, augment=True)
    assert batch.L.shape == (6, 1, 64, 64)
    assert batch.ab.shape == (6, 2, 64, 64)
    assert batch.ab_small.shape == (6, 2, 16, 16)
    assert {tensor.dtype for tensor in (batch.L, batch.ab, batch.ab_small)} == {torch.float32}
    for position, lab in enumerate(reference_batch(codes, TRAIN, 3)):
        ours = torch.cat((batch.L[position], batch.ab[position])).permute(1, 2, 0).numpy()
        assert np.linalg.norm(ours - lab, axis=-1)[in_gamut(lab)].max() <= 1e-3
        np.testing.assert_allclose(
            batch.ab_small[position].permute(1, 2, 0).numpy(), block_means(ours[..., 1:]), atol=1e-3
        )


def in_gamut(lab):
    """Where z is not negative: there skimage clips, and light has no say."""
    return (lab[..., 0] + 16) / 116 - lab[..., 2] / 200 > 0.001


def test_without_augmentation_the_centre_is_cut_whatever_the_step():
    codes = random_codes(2, seed=22)
    batch = make_batch(torch.from_numpy(codes), train=TRAIN, step=0, augment=False)
    exact = decode_lab(codes[:, :, 8:72, 8:72].transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(torch.cat((batch.L, batch.ab), 1).numpy(), exact, atol=1e-5)
    again = make_batch(torch.from_numpy(codes), train=replace(TRAIN, seed=9), step=7, augment=False)
    assert torch.equal(batch.ab, again.ab)


def test_float16_lab_gives_the_batch_that_its_codes_give():
    codes = random_codes(4, seed=23)
    lab = decode_lab(codes.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2).astype(np.float16)
    ours = make_batch(torch.from_numpy(lab), train=TRAIN, step=1, augment=True)
    expected = make_batch(torch.from_numpy(codes), train=TRAIN, step=1, augment=True)
    torch.testing.assert_close(ours.L, expected.L, atol=0.06, rtol=0)
    torch.testing.assert_close(ours.ab, expected.ab, atol=0.08, rtol=0)


def test_a_batch_is_a_function_of_seed_and_step():
    codes = torch.from_numpy(random_codes(6, seed=24))

    def batch(**changes):
        step = changes.pop("step", 3)
        return make_batch(codes, train=replace(TRAIN, **changes), step=step, augment=True).ab

    assert torch.equal(batch(), batch())
    assert not torch.equal(batch(), batch(step=4))
    assert not torch.equal(batch(), batch(seed=6))


def test_what_happens_to_an_image_depends_on_its_position_and_not_on_how_many_follow():
    few, many = draw_augmentation(4, TRAIN, 8), draw_augmentation(32, TRAIN, 8)
    for name in ("top", "left", "flip", "light"):
        np.testing.assert_array_equal(getattr(few, name), getattr(many, name)[:4])


def test_augmentation_covers_its_range_and_no_more():
    drawn = [draw_augmentation(64, TRAIN, step) for step in range(100)]
    light = np.concatenate([one.light for one in drawn])
    assert 0.8 <= light.min() < 0.81
    assert 1.19 < light.max() <= 1.2
    assert np.concatenate([one.flip for one in drawn]).mean() == pytest.approx(0.5, abs=0.03)
    room = SIZE_PX - TRAIN.crop_px
    tops = {int(top * (room + 1)) for one in drawn for top in one.top}
    assert tops == set(range(room + 1))


def test_what_is_switched_off_stays_off():
    plain = replace(TRAIN, flip=False, exposure=0.0, crop_px=SIZE_PX)
    codes = torch.from_numpy(random_codes(6, seed=25))
    for step in range(4):
        ours = make_batch(codes, train=plain, step=step, augment=True)
        expected = make_batch(codes, train=plain, step=step, augment=False)
        assert torch.equal(ours.L, expected.L)
        assert torch.equal(ours.ab, expected.ab)


def test_hues_stay_when_light_changes():
    rgb = np.random.default_rng(26).integers(90, 160, (4, SIZE_PX, SIZE_PX, 3), np.uint8)
    codes = torch.from_numpy(encode_lab(rgb_to_lab(rgb)).transpose(0, 3, 1, 2).copy())
    still = replace(TRAIN, crop_px=SIZE_PX, flip=False)
    lit = make_batch(codes, train=still, step=0, augment=True)
    dark = make_batch(codes, train=replace(still, exposure=0.0), step=0, augment=True)
    torch.testing.assert_close(lit.ab / (lit.L + 16), dark.ab / (dark.L + 16), atol=1e-4, rtol=0)
    assert not torch.equal(lit.L, dark.L)


def test_a_crop_larger_than_the_shards_is_refused_with_what_is_allowed():
    codes = torch.from_numpy(random_codes(1, seed=27))
    with pytest.raises(ConfigError, match=r"crop_px = 96.*80 px"):
        make_batch(codes, train=replace(TRAIN, crop_px=96), step=0, augment=True)


def test_batches_are_the_made_batches_of_their_rows(stored):
    train = ShardDataset.open(stored, "train")
    made = list(batches(train, TRAIN, 0, CPU))
    assert len(made) == TRAIN.steps
    for step, batch in enumerate(made):
        codes = torch.from_numpy(train.codes(batch_rows(16, 6, TRAIN.seed, step)))
        assert torch.equal(batch.ab, make_batch(codes, train=TRAIN, step=step, augment=True).ab)


def test_resuming_sees_what_would_have_come(stored):
    train = ShardDataset.open(stored, "train")
    whole, resumed = list(batches(train, TRAIN, 0, CPU)), list(batches(train, TRAIN, 7, CPU))
    assert len(resumed) == 5
    for first, second in zip(whole[7:], resumed, strict=True):
        assert torch.equal(first.L, second.L)
        assert torch.equal(first.ab_small, second.ab_small)


def test_a_batch_may_be_larger_than_the_split(stored):
    val = ShardDataset.open(stored, "val")
    (first, *_) = batches(val, replace(TRAIN, batch_images=10), 0, CPU)
    assert first.L.shape[0] == 10


def test_half_of_the_free_device_memory_is_the_rule(stored, monkeypatch):
    train, cuda = ShardDataset.open(stored, "train"), torch.device("cuda")
    assert not fits_in_memory(train, CPU)
    for free_bytes, fits in ((2 * train.size_bytes, True), (2 * train.size_bytes - 1, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free_bytes: (free, 2 * free))
        assert fits_in_memory(train, cuda) is fits


def test_resident_codes_give_the_same_batches(stored, monkeypatch):
    train = ShardDataset.open(stored, "train")
    expected = list(batches(train, TRAIN, 0, CPU))
    monkeypatch.setattr(module, "fits_in_memory", lambda *_: True)
    monkeypatch.setattr(module, "_UPLOAD_ROWS", 5)
    for ours, theirs in zip(batches(train, TRAIN, 0, CPU), expected, strict=True):
        assert torch.equal(ours.ab, theirs.ab)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("fits", [True, False])
def test_batches_on_cuda_are_those_of_the_cpu(stored, monkeypatch, fits):
    train = ShardDataset.open(stored, "train")
    monkeypatch.setattr(module, "fits_in_memory", lambda *_: fits)
    ours = [batch.ab.cpu() for batch in batches(train, TRAIN, 0, torch.device("cuda"))]
    monkeypatch.undo()
    for mine, theirs in zip(ours, batches(train, TRAIN, 0, CPU), strict=True):
        torch.testing.assert_close(mine, theirs.ab, atol=1e-3, rtol=0)


def prefetch_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


@given(st.integers(0, 20), st.integers(1, 5))
def test_prefetched_results_come_in_order_and_no_more_than_asked_for_ahead(count, ahead):
    made = []
    for position, value in enumerate(prefetched(lambda step: made.append(step) or step * step, range(count), ahead)):
        assert value == position * position
        assert len(made) <= position + 1 + ahead
    assert made == list(range(count))
    assert not prefetch_threads()


def test_an_exception_of_the_thread_reaches_the_consumer_at_its_step():
    def make(step):
        if step == 4:
            raise DamagedError("a shard went missing")
        return step

    results = prefetched(make, range(10))
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(DamagedError, match="a shard went missing"):
        next(results)
    assert not prefetch_threads()


def test_the_thread_ends_when_the_consumer_stops():
    endless = prefetched(lambda step: step, iter(int, 1))
    assert [next(endless) for _ in range(3)] == [0, 0, 0]
    assert prefetch_threads()
    endless.close()
    assert not prefetch_threads()
