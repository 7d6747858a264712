import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recolor.hamming import pairs_within


def brute_force(queries, hashes, distance):
    near = np.bitwise_count(queries[:, None] ^ hashes[None, :]) <= distance
    return [tuple(pair) for pair in np.argwhere(near).tolist()]


def clustered(count, seed):
    """Hashes at all small distances from each other."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
    for row in range(count // 3, count):
        flips = rng.choice(64, rng.integers(0, 18), replace=False).astype(np.uint64)
        hashes[row] = hashes[row % (count // 3 + 1)] ^ np.bitwise_or.reduce(np.uint64(1) << flips, initial=np.uint64(0))
    return hashes


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 16), st.integers(0, 2**32 - 1), st.integers(1, 120), st.integers(1, 120))
def test_every_pair_is_found_and_no_other(distance, seed, count, queries):
    hashes = clustered(count + queries, seed)
    first, second = pairs_within(hashes[:queries], hashes[queries:], distance)
    assert list(zip(first.tolist(), second.tolist())) == brute_force(hashes[:queries], hashes[queries:], distance)


@pytest.mark.parametrize("distance", [0, 3, 4, 8, 10])
def test_a_pair_at_just_the_distance_is_found_wherever_the_bits_are(distance):
    rng = np.random.default_rng(distance)
    for _ in range(200):
        bits = rng.choice(64, distance + 1, replace=False).astype(np.uint64)
        base = rng.integers(0, 2**64, 1, dtype=np.uint64)
        at, beyond = (
            base ^ np.bitwise_or.reduce(np.uint64(1) << chosen, initial=np.uint64(0)) for chosen in (bits[1:], bits)
        )
        assert len(pairs_within(base, at, distance)[0]) == 1
        assert len(pairs_within(base, beyond, distance)[0]) == 0


def test_nothing_pairs_with_nothing():
    none, one = np.zeros(0, np.uint64), np.zeros(1, np.uint64)
    assert len(pairs_within(none, one, 5)[0]) == len(pairs_within(one, none, 5)[0]) == 0


def test_many_candidates_are_compared_in_blocks(monkeypatch):
    hashes = clustered(400, 1)
    whole = pairs_within(hashes, hashes, 10)
    monkeypatch.setattr("recolor.hamming._BLOCK_CANDIDATES", 7)
    parts = pairs_within(hashes, hashes, 10)
    assert all((a == b).all() for a, b in zip(whole, parts, strict=True))
