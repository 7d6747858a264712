"""All pairs of 64-bit hashes within a Hamming distance, exactly.

Two hashes that differ in at most d bits agree in at least m of any d + m blocks of bits (the pigeonhole principle of
multi-index hashing: Norouzi, Punjani, Fleet 2014; in several blocks at once: Manku, Jain, Das Sarma 2007). So for every
choice of m blocks the hashes are sorted by them, and those that agree there are compared in full. Sorting and comparing
neighbours runs through memory in order, which is many times faster than looking hashes up.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb, sqrt

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Indices = NDArray[np.int64]
Pairs = tuple[Indices, Indices]

_HASH_BITS = 64
_KEY_BITS = 32  # of a sorted word; the other 32 are the hash's index
_SORT_COST = 30.0  # of one hash, in comparisons of two: measured
_TILE = 1 << 16  # hashes compared at once: 1 MB with what is computed of them, so that it stays in the L2 cache
_FEW = 32  # neighbours are compared one by one once fewer than one in so many still agree


@dataclass(frozen=True, slots=True)
class _Plan:
    """How hashes are cut: block i has the bits from `edges[i]` on; any near pair agrees in `matching` blocks."""

    edges: tuple[int, ...]
    matching: int

    @property
    def choices(self) -> Iterator[tuple[int, ...]]:
        """Every choice of so many blocks."""
        return combinations(range(len(self.edges) - 1), self.matching)


def near_pairs(hashes: Hashes, distance: int) -> Iterator[Pairs]:
    """Finds every pair of hashes that differ in at most `distance` bits, some at a time.

    Memory is bounded by the hashes, whatever the number of pairs; equal hashes all pair with each other.

    Args:
        hashes: uint64 [N], N < 2³².
        distance: 0..16.

    Yields:
        Indices of both, int64 [pairs] each, the smaller index first; each pair once, in no order.
    """
    plan = _plan(len(hashes), distance)
    for chosen in plan.choices:
        keyed = _keyed(hashes, chosen, plan)
        keyed.sort()
        order = (keyed & np.uint64((1 << _KEY_BITS) - 1)).view(np.int64)
        keyed >>= np.uint64(_KEY_BITS)
        neighbours = _near_neighbours(hashes[order], keyed, distance)
        for left, right in _gathered(neighbours):
            one, other = order[left], order[right]
            own = _found_first_by(chosen, plan, hashes[one] ^ hashes[other])
            yield np.minimum(one, other)[own], np.maximum(one, other)[own]


def pairs_within(queries: Hashes, hashes: Hashes, distance: int) -> Iterator[Pairs]:
    """Finds every pair of a query and a hash that differ in at most `distance` bits, some at a time.

    Args:
        queries: uint64 [Q].
        hashes: uint64 [N]; best without repetition, and the fewer of the two.
        distance: 0..16.

    Yields:
        Indices of the queries and of the hashes, int64 [pairs] each; each pair once, in no order.
    """
    plan = _plan(len(hashes), distance)
    for chosen in plan.choices:
        keys = _keys(hashes, chosen, plan)
        order = np.argsort(keys)
        keys, ordered = keys[order], hashes[order]
        for start in range(0, len(queries), _TILE):
            some = queries[start : start + _TILE]
            wanted = _keys(some, chosen, plan)
            first, end = (np.searchsorted(keys, wanted, side) for side in ("left", "right"))
            for query, place in _gathered(_near_places(some, ordered, first, end, distance)):
                own = _found_first_by(chosen, plan, some[query] ^ ordered[place])
                yield query[own] + start, order[place[own]]


def _gathered(pairs: Iterator[Pairs]) -> Iterator[Pairs]:
    """The same pairs in fewer and larger arrays."""
    lefts, rights, count = [], [], 0
    for left, right in pairs:
        lefts.append(left)
        rights.append(right)
        count += len(left)
        if count > _TILE:
            yield np.concatenate(lefts), np.concatenate(rights)
            lefts, rights, count = [], [], 0
    if count:
        yield np.concatenate(lefts), np.concatenate(rights)


def _plan(count: int, distance: int) -> _Plan:
    """The cheapest way for hashes without structure: many short sorts, or few with more left to compare."""
    return min((_cut(distance + matching, matching) for matching in range(1, 5)), key=lambda plan: _cost(count, plan))


def _cut(blocks: int, matching: int) -> _Plan:
    """Blocks as equal as can be, of all bits or of so many that the matching ones fit into a key."""
    bits = min(_HASH_BITS, blocks * (_KEY_BITS // matching))
    return _Plan(tuple(bits * block // blocks for block in range(blocks + 1)), matching)


def _cost(count: int, plan: _Plan) -> float:
    """Of all choices, for each hash."""
    blocks = len(plan.edges) - 1
    agreeing = count / 2 ** (plan.edges[-1] * plan.matching / blocks)
    return comb(blocks, plan.matching) * (_SORT_COST + agreeing)


def _keyed(hashes: Hashes, chosen: tuple[int, ...], plan: _Plan) -> Hashes:
    """Words that sort the hashes by their keys: the key, then the hash's index."""
    keyed = np.arange(len(hashes), dtype=np.uint64)
    for start in range(0, len(hashes), _TILE):
        keyed[start : start + _TILE] |= _keys(hashes[start : start + _TILE], chosen, plan) << np.uint64(_KEY_BITS)
    return keyed


def _keys(hashes: Hashes, chosen: tuple[int, ...], plan: _Plan) -> Hashes:
    """The bits of the chosen blocks, side by side."""
    key = np.zeros(len(hashes), np.uint64)
    for block in chosen:
        start, end = plan.edges[block : block + 2]
        key = key << np.uint64(end - start) | (hashes >> np.uint64(start)) & np.uint64((1 << end - start) - 1)
    return key


def _found_first_by(chosen: tuple[int, ...], plan: _Plan, difference: Hashes) -> NDArray[np.bool_]:
    """Whether the first blocks in which a pair agrees are the chosen ones: of all choices, one finds it first."""
    first = np.ones(len(difference), np.bool_)
    for block in range(chosen[-1] + 1):
        first &= (_keys(difference, (block,), plan) == 0) == (block in chosen)
    return first


def _near_neighbours(hashes: Hashes, keys: Hashes, distance: int) -> Iterator[Pairs]:
    """Places of all near hashes of equal key, and of some others; both arrays are sorted by the key.

    Every hash is compared with the one after it, then with the second after it, and so on until few have the key of
    their partner; those are followed by themselves.
    """
    bucket = len(keys) / (1 + np.count_nonzero(keys[1:] != keys[:-1]))
    offset, step = 1, int(bucket + 1.5 * sqrt(bucket)) + 1
    left = np.arange(len(keys))
    while len(left) > len(keys) // _FEW:
        for start in range(0, len(keys), _TILE):
            yield from _near_at_offsets(hashes, start, range(offset, offset + step), distance)
        offset += step
        left = np.flatnonzero(keys[offset:] == keys[: max(0, len(keys) - offset)])
    end = np.searchsorted(keys, keys[left], "right")
    for place, right in _near_places(hashes[left], hashes, left + offset, end, distance):
        yield left[place], right


def _near_at_offsets(hashes: Hashes, start: int, offsets: range, distance: int) -> Iterator[Pairs]:
    """Places of near hashes that are so far from each other, for a tile of hashes that begins at `start`."""
    difference = np.empty(_TILE, np.uint64)
    bits = np.empty(_TILE, np.uint8)
    for offset in offsets:
        after = hashes[start + offset : start + offset + _TILE]
        count = len(after)
        np.bitwise_xor(hashes[start : start + count], after, out=difference[:count])
        np.bitwise_count(difference[:count], out=bits[:count])
        near = np.flatnonzero(bits[:count] <= distance) + start
        if len(near):
            yield near, near + offset


def _near_places(queries: Hashes, hashes: Hashes, first: Indices, end: Indices, distance: int) -> Iterator[Pairs]:
    """Queries, and the places of the hashes near them among those from `first` to before `end`."""
    query = np.flatnonzero(first < end)
    place, end = first[query], end[query]
    while len(query):
        near = np.bitwise_count(queries[query] ^ hashes[place]) <= distance
        if near.any():
            yield query[near], place[near]
        place = place + 1
        more = place < end
        query, place, end = query[more], place[more], end[more]
