import logging
import threading
import time
from contextlib import closing, suppress
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recolor.config.settings import TrainConfig
from recolor.dataset import loader as feeding
from recolor.dataset.augment import make_batch
from recolor.dataset.dataset import ShardDataset
from recolor.dataset.loader import (
    Slot,
    batches,
    fill_slot,
    is_resident,
    make_loader,
    prefetched,
    streamed_codes,
)
from recolor.dataset.sampler import Share, batch_rows
from recolor.errors import ConfigError, DamagedError, InputError, MissingStageError

SIZE_PX = 80
TRAIN = TrainConfig(steps=12, warmup_steps=1, batch_images=6, crop_px=64, seed=5, exposure=0.2)
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def random_dataset(counts, seed=0, size_px=SIZE_PX):
    """Shards of random images, all in one split."""
    rng = np.random.default_rng(seed)
    shards = tuple(rng.integers(0, 256, (count, 3, size_px, size_px), np.uint8) for count in counts)
    shard_of = np.repeat(np.arange(len(counts)), counts)
    row_of = np.concatenate([np.arange(count) for count in counts])
    names = tuple(f"{row}.jpg" for row in range(len(row_of)))
    files = tuple(f"{number}.npy" for number in range(len(counts)))
    return ShardDataset.from_arrays(shards, shard_of, row_of, names, files)


@pytest.fixture(scope="module")
def dataset():
    return random_dataset((9, 3, 4))


def rows_of(step):
    return batch_rows(16, 6, TRAIN.seed, step)


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.equal(mine.L, other.L)
        assert torch.equal(mine.ab, other.ab)
        assert torch.equal(mine.ab_small, other.ab_small)
        np.testing.assert_array_equal(mine.positions, other.positions)


def prefetch_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def order_of(loader, dataset):
    """The rows of a loader's batches, found by their lightness."""
    rows = {dataset[row].L.numpy().tobytes(): row for row in range(len(dataset))}
    return [[rows[L.numpy().tobytes()] for L in batch.L] for batch in loader]


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_the_order_depends_on_the_seed_alone(dataset, workers):
    torch.manual_seed(workers)  # has no influence
    loader = make_loader(dataset, batch_size=6, seed=3, num_workers=workers)
    if workers:  # not forked: a fork of a process in which tests ran Prefect cannot end well
        loader.multiprocessing_context = "spawn"
    first, second = order_of(loader, dataset), order_of(loader, dataset)
    assert [sorted(chain(*order)) for order in (first, second)] == [list(range(16))] * 2
    assert first != second
    here = make_loader(dataset, batch_size=6, seed=3)
    assert [order_of(here, dataset), order_of(here, dataset)] == [first, second]
    assert order_of(make_loader(dataset, batch_size=6, seed=4), dataset) != first


def test_without_shuffling_the_order_is_that_of_the_index(dataset):
    loader = make_loader(dataset, batch_size=6, shuffle=False)
    assert list(chain(*order_of(loader, dataset))) == list(range(16))
    assert [len(L) for L, _ in make_loader(dataset, batch_size=6, drop_last=True)] == [6, 6]


def test_a_batch_unpacks_to_lightness_and_colour(dataset):
    L, ab = next(iter(make_loader(dataset, batch_size=5, shuffle=False)))
    assert (L.shape, ab.shape) == ((5, 1, SIZE_PX, SIZE_PX), (5, 2, SIZE_PX, SIZE_PX))
    assert torch.equal(L[4], dataset[4].L)
    assert torch.equal(ab[4], dataset[4].ab)


def test_a_loader_of_a_folder_that_has_no_shards_raises_the_typed_error(tmp_path):
    with pytest.raises(MissingStageError, match="recolor shards build"):
        make_loader(tmp_path / "data" / "shards", batch_size=4)
    with pytest.raises(InputError, match="data/shards"):
        make_loader(tmp_path, batch_size=4)


def test_an_empty_batch_is_refused(dataset):
    with pytest.raises(ConfigError, match="batch_size = 0"):
        make_loader(dataset, batch_size=0)


def test_batches_are_the_made_batches_of_their_rows(dataset):
    made = [
        make_batch(torch.from_numpy(dataset.codes(rows_of(step))), train=TRAIN, step=step, augment=True)
        for step in range(TRAIN.steps)
    ]
    assert_same(list(batches(dataset, TRAIN, 0, CPU)), made)


def test_resuming_sees_what_would_have_come(dataset):
    whole, resumed = list(batches(dataset, TRAIN, 0, CPU)), list(batches(dataset, TRAIN, 7, CPU))
    assert len(resumed) == 5
    assert_same(resumed, whole[7:])
    assert list(batches(dataset, TRAIN, TRAIN.steps, CPU)) == []


@pytest.mark.parametrize("of", [2, 3, 6])
def test_all_shares_together_are_the_batch_of_one_process(dataset, of):
    whole = list(batches(dataset, TRAIN, 3, CPU))
    for rank in range(of):
        ours = list(batches(dataset, TRAIN, 3, CPU, Share(rank, of)))
        assert len(ours) == len(whole)
        for mine, all_of_it in zip(ours, whole, strict=True):
            np.testing.assert_array_equal(mine.positions, np.arange(rank, 6, of))
            assert torch.equal(mine.L, all_of_it.L[rank::of])
            assert torch.equal(mine.ab, all_of_it.ab[rank::of])
            assert torch.equal(mine.ab_small, all_of_it.ab_small[rank::of])


@pytest.mark.parametrize("torch_threads", [1, 3])
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("slots", [1, 2, 7, 40])
def test_batches_do_not_depend_on_threads_or_slots(dataset, monkeypatch, torch_threads, threads, slots):
    expected, before = list(batches(dataset, TRAIN, 0, CPU)), torch.get_num_threads()
    monkeypatch.setattr(feeding, "SLOTS", slots)
    monkeypatch.setattr(feeding, "THREADS", threads)
    torch.set_num_threads(torch_threads)
    try:
        assert_same(list(batches(dataset, TRAIN, 0, CPU)), expected)
    finally:
        torch.set_num_threads(before)


def test_resident_codes_give_the_same_batches(dataset, monkeypatch, caplog):
    expected = list(batches(dataset, TRAIN, 0, CPU, Share(1, 2)))
    monkeypatch.setattr(feeding, "is_resident", lambda *_: True)
    monkeypatch.setattr(feeding, "_UPLOAD_IMAGES", 5)
    with caplog.at_level(logging.INFO, "recolor.dataset.loader"):
        assert_same(list(batches(dataset, TRAIN, 0, CPU, Share(1, 2))), expected)
    assert f"{dataset.size_bytes:,} bytes" in caplog.text


def test_batches_may_be_kept(dataset):
    kept, copies = [], []
    for batch in batches(dataset, replace(TRAIN, exposure=0.0), 0, CPU):
        kept.append(batch)
        copies.append(replace(batch, L=batch.L.clone(), ab=batch.ab.clone(), ab_small=batch.ab_small.clone()))
    assert_same(kept, copies)


def test_a_batch_may_be_larger_than_the_split(dataset):
    with closing(batches(dataset, replace(TRAIN, batch_images=40), 0, CPU)) as feed:
        assert next(feed).L.shape[0] == 40


def test_unequal_shares_are_refused_at_once(dataset):
    with pytest.raises(ConfigError, match="multiples of 4"):
        batches(dataset, TRAIN, 0, CPU, Share(0, 4))


def free_memory(monkeypatch, free_bytes):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free_bytes, 10 * free_bytes))


def test_a_split_stays_in_device_memory_if_it_takes_at_most_half_of_what_is_free(dataset, monkeypatch):
    for free_bytes, fits in ((2 * dataset.size_bytes, True), (2 * dataset.size_bytes - 1, False)):
        free_memory(monkeypatch, free_bytes)
        assert is_resident(dataset, "auto", CUDA) is fits
        assert not is_resident(dataset, "off", CUDA)
    assert not is_resident(dataset, "auto", CPU)
    assert not is_resident(dataset, "off", CPU)


def test_on_request_it_stays_there_if_it_fits_at_all(dataset, monkeypatch):
    free_memory(monkeypatch, dataset.size_bytes)
    assert is_resident(dataset, "on", CUDA)
    free_memory(monkeypatch, dataset.size_bytes - 1)
    needed = rf"takes {dataset.size_bytes:,} bytes, and {dataset.size_bytes - 1:,} are free.*shard\.size_px"
    with pytest.raises(ConfigError, match=needed):
        batches(dataset, replace(TRAIN, resident="on"), 0, CUDA)


def test_device_memory_is_refused_where_there_is_none_and_before_any_batch(dataset):
    with pytest.raises(ConfigError, match=r"resident = 'on'.*'cpu'.*Allowed here: 'auto', 'off'"):
        batches(dataset, replace(TRAIN, resident="on"), 0, CPU)


@given(st.integers(0, 20), st.integers(1, 5))
def test_results_come_in_order_and_at_most_one_per_slot_is_prefetched(count, slots):
    made = []

    def fill(step, slot):
        made.append(step)
        return step * step

    for position, value in enumerate(prefetched(fill, range(slots), range(count))):
        assert value == position * position
        assert len(made) <= position + slots
    assert sorted(made) == list(range(count))
    assert not prefetch_threads()


@given(st.integers(0, 20), st.integers(1, 5))
def test_a_slot_is_the_consumers_until_the_next_is_asked_for(count, slots):
    def fill(step, slot):
        slot[0] = step
        return slot

    for step, slot in enumerate(prefetched(fill, [[None] for _ in range(slots)], range(count))):
        for _ in range(3):
            assert slot == [step]
            time.sleep(0)  # lets the threads run


def test_a_slot_is_as_it_was_however_long_it_is_held(dataset):
    feed = streamed_codes(dataset, rows_of, range(20), 6, CPU)
    for step, codes in enumerate(feed):
        time.sleep(0.005)  # the threads have filled all free slots by now
        np.testing.assert_array_equal(codes.numpy(), dataset.codes(rows_of(step)))


def test_slots_are_used_again(dataset):
    places = [codes.data_ptr() for codes in streamed_codes(dataset, rows_of, range(20), 6, CPU)]
    assert len(set(places)) == feeding.SLOTS
    assert places[: feeding.SLOTS] * 5 == places


class Copying:
    """A fake CUDA event whose copy finishes on request."""

    def __init__(self):
        self.waited_for, self.ended = threading.Event(), threading.Event()

    def synchronize(self):
        self.waited_for.set()
        assert self.ended.wait(20)


def test_a_slot_is_not_filled_before_the_copy_out_of_it_has_finished(dataset):
    slot = Slot(torch.zeros((6, 3, SIZE_PX, SIZE_PX), dtype=torch.uint8), Copying())
    filling = threading.Thread(target=fill_slot, args=(dataset, np.arange(4), slot))
    filling.start()
    assert slot.copied.waited_for.wait(20)
    assert not slot.codes.any()
    slot.copied.ended.set()
    filling.join(20)
    np.testing.assert_array_equal(slot.codes[:4].numpy(), dataset.codes(np.arange(4)))
    assert not slot.codes[4:].any()


def test_an_exception_of_a_thread_reaches_the_consumer_at_its_step():
    def fill(step, slot):
        if step == 4:
            raise DamagedError("a shard went missing")
        return step

    results = prefetched(fill, range(3), range(10))
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(DamagedError, match="a shard went missing"):
        next(results)
    assert not prefetch_threads()


def test_what_cannot_be_gathered_stops_the_batches_at_its_step(dataset, monkeypatch):
    gather = ShardDataset.codes

    def broken(self, rows, out=None):
        if np.array_equal(rows, rows_of(5)):
            raise DamagedError("a shard went missing")
        return gather(self, rows, out)

    monkeypatch.setattr(ShardDataset, "codes", broken)
    feed = batches(dataset, TRAIN, 2, CPU)
    assert [next(feed).L.shape[0] for _ in range(3)] == [6, 6, 6]
    with pytest.raises(DamagedError, match="a shard went missing"):
        next(feed)
    assert not prefetch_threads()


def test_the_threads_end_when_the_consumer_stops(dataset):
    feed = batches(dataset, TRAIN, 0, CPU)
    next(feed)
    assert 1 <= len(prefetch_threads()) <= feeding.THREADS
    feed.close()
    assert not prefetch_threads()
    for _ in batches(dataset, TRAIN, 0, CPU):
        assert prefetch_threads()
        break
    assert not prefetch_threads()


def test_the_threads_end_when_the_consumer_raises(dataset):
    def consume():
        for _ in batches(dataset, TRAIN, 0, CPU):
            assert prefetch_threads()
            raise ZeroDivisionError

    with suppress(ZeroDivisionError):
        consume()
    assert not prefetch_threads()


def test_batches_that_are_not_requested_start_no_thread(dataset):
    feed = batches(dataset, TRAIN, 0, CPU)
    assert not prefetch_threads()
    feed.close()


@needs_cuda
@pytest.mark.parametrize("resident", ["on", "off"])
def test_batches_on_cuda_are_those_of_the_cpu(dataset, resident):
    ours = list(batches(dataset, replace(TRAIN, resident=resident), 0, CUDA))
    for mine, theirs in zip(ours, batches(dataset, TRAIN, 0, CPU), strict=True):
        torch.testing.assert_close(mine.L.cpu(), theirs.L, atol=1e-3, rtol=0)
        torch.testing.assert_close(mine.ab.cpu(), theirs.ab, atol=1e-3, rtol=0)
        torch.testing.assert_close(mine.ab_small.cpu(), theirs.ab_small, atol=1e-3, rtol=0)


@needs_cuda
def test_codes_arrive_on_cuda_unchanged_during_long_work(monkeypatch):
    large = random_dataset((300, 212), size_px=256)
    work = torch.randn(4096, 4096, device=CUDA)

    def rows_of(step):
        return batch_rows(large.rows, 128, 0, step)

    kept = []
    for codes in streamed_codes(large, rows_of, range(40), 128, CUDA):
        work = torch.tanh(work @ work)  # still running when the next copies start
        kept.append(codes.float().mean((2, 3)))
    for step, means in enumerate(kept):
        expected = large.codes(rows_of(step)).mean((2, 3))
        np.testing.assert_allclose(means.cpu().numpy(), expected, rtol=1e-5)


@needs_cuda
@pytest.mark.parametrize("resident", ["on", "off"])
def test_feeding_cuda_never_makes_the_host_wait(dataset, resident):
    with closing(batches(dataset, replace(TRAIN, resident=resident), 0, CUDA)) as feed:
        next(feed)
        torch.cuda.set_sync_debug_mode("error")
        try:
            assert len([batch.L.shape for batch in feed]) == TRAIN.steps - 1
        finally:
            torch.cuda.set_sync_debug_mode("default")
