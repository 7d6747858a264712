"""All pairs of 64-bit hashes within a Hamming distance, exactly.

Multi-index hashing (Norouzi, Punjani, Fleet 2014) with the general pigeonhole principle (Qin et al. 2018): of four
16-bit chunks with radii that add up to distance - 3, at least one is within its radius. Each chunk is a table; all
flips of up to its radius are looked up in it, and what is found is compared in full.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Indices = NDArray[np.int64]

_CHUNKS = 4
_CHUNK_BITS = 16
_BLOCK_CANDIDATES = 1 << 22  # compared at once: bounds the memory to some 100 MB


def pairs_within(queries: Hashes, hashes: Hashes, distance: int) -> tuple[Indices, Indices]:
    """Finds every pair of a query and a hash that differ in at most `distance` bits.

    Args:
        queries: uint64 [Q].
        hashes: uint64 [N]; best without repetition: equal hashes all pair with each other.
        distance: 0..16.

    Returns:
        Indices of the queries and of the hashes, int64 [pairs] each, sorted, each pair once.
    """
    empty = np.zeros(0, np.int64)
    if not len(queries) or not len(hashes):
        return empty, empty
    found = [
        query * len(hashes) + hash_
        for chunk, radius in enumerate(_radii(distance))
        for query, hash_ in _chunk_pairs(queries, hashes, chunk, radius, distance)
    ]
    pairs = np.unique(np.concatenate([empty, *found]))
    return pairs // len(hashes), pairs % len(hashes)


def _radii(distance: int) -> list[int]:
    """Radius of each chunk; fewer chunks are searched if the distance is under their number less one."""
    if distance < _CHUNKS:
        return [0] * (distance + 1)
    each, more = divmod(distance - _CHUNKS + 1, _CHUNKS)
    return [each + (chunk < more) for chunk in range(_CHUNKS)]


def _chunk_pairs(
    queries: Hashes, hashes: Hashes, chunk: int, radius: int, distance: int
) -> Iterator[tuple[Indices, Indices]]:
    """The pairs that this chunk finds: within the radius here, within the distance in all."""
    values = _chunk_values(hashes, chunk)
    order = np.argsort(values, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(values, minlength=1 << _CHUNK_BITS))])
    wanted = _chunk_values(queries, chunk)
    for flip in _flips(radius):
        bucket = wanted ^ flip
        first, count = starts[bucket], starts[bucket + 1] - starts[bucket]
        for rows in _blocks(count):
            query = np.repeat(np.arange(rows.start, rows.stop), count[rows])
            offset = np.arange(len(query)) - np.repeat(np.cumsum(count[rows]) - count[rows], count[rows])
            hash_ = order[np.repeat(first[rows], count[rows]) + offset]
            near = np.bitwise_count(queries[query] ^ hashes[hash_]) <= distance
            yield query[near], hash_[near]


def _chunk_values(hashes: Hashes, chunk: int) -> Indices:
    return ((hashes >> np.uint64(chunk * _CHUNK_BITS)) & np.uint64((1 << _CHUNK_BITS) - 1)).astype(np.int64)


def _flips(radius: int) -> list[int]:
    """Every 16-bit mask of at most `radius` ones."""
    return [
        sum(1 << bit for bit in bits) for size in range(radius + 1) for bits in combinations(range(_CHUNK_BITS), size)
    ]


def _blocks(counts: Indices) -> Iterator[slice]:
    """Slices of queries with about `_BLOCK_CANDIDATES` candidates each."""
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _BLOCK_CANDIDATES, side="right")))
        if ends[stop - 1] > before:
            yield slice(start, stop)
        start = stop
