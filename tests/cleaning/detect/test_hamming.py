import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recolor.cleaning.detect import hamming
from recolor.cleaning.detect.hamming import near_pairs, pairs_within


def listed(pairs):
    return sorted((a, b) for left, right in pairs for a, b in zip(left.tolist(), right.tolist(), strict=True))


def brute_force(queries, hashes, distance):
    near = np.bitwise_count(queries[:, None] ^ hashes[None, :]) <= distance
    return [tuple(pair) for pair in np.argwhere(near).tolist()]


def flipped(base, bits):
    return base ^ np.bitwise_or.reduce(np.uint64(1) << np.asarray(bits, np.uint64), initial=np.uint64(0))


def clustered(count, seed):
    """Hashes at all small distances from each other."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
    for row in range(count // 3, count):
        hashes[row] = flipped(hashes[row % (count // 3 + 1)], rng.choice(64, rng.integers(0, 18), replace=False))
    return hashes


def burst(count, seed, most=3):
    """Hashes all within a few bits of one."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 2**64, dtype=np.uint64)
    return np.array([flipped(base, rng.choice(64, rng.integers(0, most + 1))) for _ in range(count)])


@settings(max_examples=60)
@given(st.integers(0, 16), st.integers(0, 2**32 - 1), st.integers(0, 240))
def test_every_pair_is_found_once_and_no_other(distance, seed, count):
    hashes = clustered(count, seed)
    expected = [(a, b) for a, b in brute_force(hashes, hashes, distance) if a < b]
    assert listed(near_pairs(hashes, distance)) == expected


@settings(max_examples=60)
@given(st.integers(0, 16), st.integers(0, 2**32 - 1), st.integers(0, 120), st.integers(0, 120))
def test_every_pair_of_a_query_and_a_hash_is_found_once_and_no_other(distance, seed, count, queries):
    hashes = clustered(count + queries, seed)
    found = listed(pairs_within(hashes[:queries], hashes[queries:], distance))
    assert found == brute_force(hashes[:queries], hashes[queries:], distance)


def in_order(pairs):
    return [(a, b) for left, right in pairs for a, b in zip(left.tolist(), right.tolist(), strict=True)]


@pytest.mark.parametrize("ahead", [0, 50, 1 << 20])
@pytest.mark.parametrize("distance", [2, 10])
def test_on_several_cores_the_same_pairs_come_in_the_same_order(monkeypatch, distance, ahead):
    hashes = np.concatenate([clustered(900, 1), burst(100, 2)])
    queries = hashes[::3]
    alone = in_order(near_pairs(hashes, distance)), in_order(pairs_within(queries, hashes, distance))
    monkeypatch.setattr(hamming, "worker_count", lambda _: 3)
    monkeypatch.setattr(hamming, "_WORTH_THREADS", 0)
    monkeypatch.setattr(hamming, "_AHEAD", ahead)
    assert (in_order(near_pairs(hashes, distance)), in_order(pairs_within(queries, hashes, distance))) == alone


def test_a_search_on_several_cores_can_be_given_up(monkeypatch):
    monkeypatch.setattr(hamming, "worker_count", lambda _: 3)
    monkeypatch.setattr(hamming, "_WORTH_THREADS", 0)
    before = threading.active_count()
    pairs = near_pairs(burst(2000, 3), 8)
    next(pairs)
    pairs.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("distance", [0, 3, 8, 16])
def test_bursts_and_equal_hashes_pair_as_in_brute_force(distance):
    hashes = np.concatenate([burst(200, 1), burst(200, 2, most=9), np.full(60, 7, np.uint64), clustered(300, 3)])
    expected = [(a, b) for a, b in brute_force(hashes, hashes, distance) if a < b]
    assert listed(near_pairs(hashes, distance)) == expected


@pytest.mark.parametrize("distance", [0, 3, 4, 8, 10])
def test_a_pair_at_just_the_distance_is_found_wherever_the_bits_are(distance):
    rng = np.random.default_rng(distance)
    for _ in range(200):
        bits = rng.choice(64, distance + 1, replace=False)
        base = rng.integers(0, 2**64, dtype=np.uint64)
        at, beyond = (np.array([base, flipped(base, chosen)]) for chosen in (bits[1:], bits))
        assert listed(near_pairs(at, distance)) == [(0, 1)]
        assert listed(near_pairs(beyond, distance)) == []


@pytest.mark.parametrize("count", [10, 90_000, 1_000_000, 8_000_000, 2**32])
@pytest.mark.parametrize("key_bits", [8, 13, 20, 32])
def test_near_pairs_agree_in_every_plan_s_blocks(count, key_bits):
    """The pigeonhole: as many blocks as the distance and the matching ones, which fit into a key."""
    for distance in range(17):
        plan = hamming._plan(count, distance, key_bits, choice_cost=10.0)
        widths = np.diff(plan.edges)
        assert len(widths) == distance + plan.matching
        assert 0 < plan.edges[-1] <= 64
        assert widths.min() > 0
        assert np.sort(widths)[-plan.matching :].sum() <= key_bits


@pytest.mark.parametrize("max_difference", [0, 3, 500])
@pytest.mark.parametrize("distance", [4, 10])
def test_labels_leave_out_only_pairs_beyond_their_difference(max_difference, distance):
    hashes = np.concatenate([clustered(1200, 5), burst(100, 6), np.full(50, 7, np.uint64)])
    rng = np.random.default_rng(7)
    rng.shuffle(hashes)
    labels = np.sort(rng.choice([0, 1, 30, 60, 400, 60_000], len(hashes)) + rng.integers(0, 9, len(hashes)))
    found = listed(near_pairs(hashes, distance, labels.astype(np.uint64), max_difference))
    near = [(a, b) for a, b in brute_force(hashes, hashes, distance) if a < b]
    assert len(found) == len(set(found))
    assert {(a, b) for a, b in near if labels[b] - labels[a] <= max_difference} <= set(found) <= set(near)
    assert len(found) < len(near)


@pytest.mark.parametrize("counts", [(0, 5), (5, 0), (1, 1), (3, 2000), (2000, 3)])
def test_pairs_within_of_few_or_no_hashes(counts):
    rng = np.random.default_rng(8)
    queries, hashes = (rng.integers(0, 2**10, count, dtype=np.uint64) for count in counts)
    assert listed(pairs_within(queries, hashes, 3)) == brute_force(queries, hashes, 3)


def test_equal_hashes_are_compared_with_all_queries_in_bounded_memory():
    """All 100 million pairs would take 1.6 GB."""
    tracemalloc.start()
    search = pairs_within(np.full(10_000, 3, np.uint64), np.full(10_000, 3, np.uint64), 6)
    some = [len(next(search)[0]) for _ in range(20)]
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(some) >= 20 * 60_000
    assert peak_bytes < 30e6


def test_thousands_of_hashes_are_compared_in_tiles_as_in_one(monkeypatch):
    hashes = np.concatenate([clustered(3000, 1), burst(150, 2)])
    whole = listed(near_pairs(hashes, 10))
    across = listed(pairs_within(hashes[:900], hashes[900:], 10))
    monkeypatch.setattr(hamming, "_TILE", 77)
    assert listed(near_pairs(hashes, 10)) == whole
    assert listed(pairs_within(hashes[:900], hashes[900:], 10)) == across
    assert len(whole) > 5000
    assert len(across) > 500


def test_planted_pairs_among_many_are_found():
    """More hashes than a tile: each planted pair, and hardly another."""
    rng = np.random.default_rng(4)
    hashes = rng.integers(0, 2**64, 70_000, dtype=np.uint64)
    planted = [(row, row + 35_000) for row in range(0, 35_000, 50)]
    for one, other in planted:
        hashes[other] = flipped(hashes[one], rng.choice(64, 8, replace=False))
    found = listed(near_pairs(hashes, 8))
    assert set(planted) <= set(found)
    assert all(np.bitwise_count(hashes[a] ^ hashes[b]) <= 8 for a, b in found)
    assert len(found) < len(planted) + 50


def test_the_first_pairs_of_a_long_burst_come_in_bounded_memory():
    """All 50 million pairs would take 800 MB."""
    hashes = np.full(10_000, 3, np.uint64)
    tracemalloc.start()
    search = near_pairs(hashes, 8)
    some = [len(next(search)[0]) for _ in range(20)]
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(some) >= 20 * 60_000
    assert peak_bytes < 30e6
