"""All pairs of 64-bit hashes within a Hamming distance, exactly.

Two hashes that differ in at most d bits agree in at least m of any d + m blocks of bits (the pigeonhole principle of
multi-index hashing: Norouzi, Punjani, Fleet 2014; in several blocks at once: Manku, Jain, Das Sarma 2007). So for every
choice of m blocks the hashes are sorted by them, and those that agree there are compared in full. Sorting and comparing
neighbours runs through memory in order, which is many times faster than looking hashes up. Between two sets only the
smaller is sorted, and a table says where each key begins.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, combinations, pairwise
from math import comb

import numpy as np
from numpy.typing import NDArray

from recolor.config.settings import ExecutionConfig
from recolor.pipeline.parallel import worker_count

Hashes = NDArray[np.uint64]
Indices = NDArray[np.int64]
Pairs = tuple[Indices, Indices]

_HASH_BITS = 64
_KEY_BITS = 32  # of a sorted word; the other 32 are the hash's index
_SORT_COST = 30.0  # of one hash, in comparisons of two neighbours: measured
_MARK_BITS = 16  # below the key, where hashes of a key are told apart by a number
_LOOKUP_COST = 2.0  # of one query, in comparisons of two that are gathered: measured
_TABLE_BITS = (8, 20)  # of a key that is looked up: at most 8 MB of table, which the cache holds
_TILE = 1 << 16  # hashes compared at once: 1 MB with what is computed of them, so that it stays in the L2 cache
_SAMPLE = 1000  # hashes, of which is known how many others they are compared with
_WORTH_THREADS = 1 << 17  # hashes
_AHEAD = 1 << 20  # pairs that each thread may be ahead, 16 MB
_FEW = 8  # neighbours are compared one by one once fewer than 1 in 8 still agree


@dataclass(frozen=True, slots=True)
class _Plan:
    """How hashes are cut: block i has the bits from `edges[i]` on; any near pair agrees in `matching` blocks."""

    edges: tuple[int, ...]
    matching: int

    @property
    def choices(self) -> Iterator[tuple[int, ...]]:
        """Every choice of `matching` blocks."""
        return combinations(range(len(self.edges) - 1), self.matching)


def near_pairs(hashes: Hashes, distance: int, marks: Hashes | None = None, reach: int = 0) -> Iterator[Pairs]:
    """Finds every pair of hashes that differ in at most `distance` bits, some at a time.

    Memory is bounded by the hashes, whatever the number of pairs; equal hashes all pair with each other.

    Args:
        hashes: uint64 [N], N < 2³².
        distance: 0..16.
        marks: Numbers that ascend, uint64 [N], if pairs whose numbers differ by more than `reach` may be left out (not
            all of them are): what is not compared costs nothing.
        reach: Every mark and it are under 2¹⁶ together.

    Yields:
        Indices of both, int64 [pairs] each, the smaller index first; each pair once, in no order.
    """
    plan = _plan(len(hashes), distance, _KEY_BITS, _SORT_COST)

    def search(chosen: tuple[int, ...]) -> Iterator[Pairs]:
        keys, order = _sorted_keys(hashes, chosen, plan)
        keys <<= np.uint64(_MARK_BITS)
        if marks is not None:
            keys |= marks[order]
        neighbours = _near_neighbours(hashes[order], keys, reach, distance)
        for left, right in _gathered(neighbours):
            one, other = order[left], order[right]
            own = _found_first_by(chosen, plan, hashes[one] ^ hashes[other])
            yield np.minimum(one, other)[own], np.maximum(one, other)[own]

    return _on_all_cores([partial(search, chosen) for chosen in plan.choices], len(hashes))


def pairs_within(queries: Hashes, hashes: Hashes, distance: int) -> Iterator[Pairs]:
    """Finds every pair of a query and a hash that differ in at most `distance` bits, some at a time.

    Args:
        queries: uint64 [Q].
        hashes: uint64 [N]; best without repetition, and the fewer of the two.
        distance: 0..16.

    Yields:
        Indices of the queries and of the hashes, int64 [pairs] each; each pair once, in no order.
    """
    table_bits = min(max(_TABLE_BITS[0], len(hashes).bit_length() + 1), _TABLE_BITS[1])
    plan = _plan(len(hashes), distance, table_bits, _LOOKUP_COST)
    blocks = [_keys(queries, (block,), plan).astype(np.uint32) for block in range(len(plan.edges) - 1)]

    def search(chosen: tuple[int, ...]) -> Iterator[Pairs]:
        keys, order = _sorted_keys(hashes, chosen, plan)
        ordered, begin = hashes[order], _begins(keys)
        for start in range(0, len(queries), _TILE):
            some = queries[start : start + _TILE]
            wanted = _side_by_side([blocks[block][start : start + _TILE] for block in chosen], chosen, plan)
            first, end = begin.take(wanted, mode="clip"), begin.take(wanted + np.uint32(1), mode="clip")
            for query, place in _gathered(_near_places(some, ordered, first, end, distance)):
                own = _found_first_by(chosen, plan, some[query] ^ ordered[place])
                yield query[own] + start, order[place[own]]

    return _on_all_cores([partial(search, chosen) for chosen in plan.choices], len(queries) + len(hashes))


def _on_all_cores(searches: Sequence[Callable[[], Iterator[Pairs]]], hashes: int) -> Iterator[Pairs]:
    """What the searches find, in their order; of many hashes, some are under way at once.

    Each is ahead by a bounded number of pairs: whoever finds that there are too many can stop.
    """
    threads = worker_count(ExecutionConfig()) if hashes >= _WORTH_THREADS else 1
    if threads == 1:
        for search in searches:
            yield from search()
        return
    with ThreadPoolExecutor(threads) as pool:
        begun: deque[Future[tuple[list[Pairs], Iterator[Pairs]]]] = deque()
        try:
            for search in searches:
                begun.append(pool.submit(_begin, search))
                if len(begun) > threads:
                    yield from chain(*begun.popleft().result())
            while begun:
                yield from chain(*begun.popleft().result())
        finally:
            pool.shutdown(cancel_futures=True)


def _begin(search: Callable[[], Iterator[Pairs]]) -> tuple[list[Pairs], Iterator[Pairs]]:
    """The first pairs that a search finds, and where it goes on."""
    pairs, found, count = search(), [], 0
    for some in pairs:
        found.append(some)
        count += len(some[0])
        if count > _AHEAD:
            break
    return found, pairs


def _begins(keys: Hashes) -> Indices:
    """Where each key would begin if these were sorted, and where the last ends: int64 [largest key + 2]."""
    begins: Indices = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(keys.view(np.int64)))])
    return begins


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


def _plan(count: int, distance: int, key_bits: int, choice_cost: float) -> _Plan:
    """The cheapest way for hashes without structure: many choices of blocks, or few with more left to compare."""
    plans = (_cut(distance + matching, matching, key_bits) for matching in range(1, 5))
    return min(plans, key=lambda plan: _cost(count, plan, choice_cost))


def _cut(blocks: int, matching: int, key_bits: int) -> _Plan:
    """Cuts the bits into blocks of nearly equal length; only as many bits as fit a key with the matching blocks."""
    bits = min(_HASH_BITS, blocks * (key_bits // matching))
    return _Plan(tuple(bits * block // blocks for block in range(blocks + 1)), matching)


def _cost(count: int, plan: _Plan, choice_cost: float) -> float:
    """Of all choices, for each hash."""
    blocks = len(plan.edges) - 1
    agreeing = count / 2 ** (plan.edges[-1] * plan.matching / blocks)
    return comb(blocks, plan.matching) * (choice_cost + agreeing)


def _sorted_keys(hashes: Hashes, chosen: tuple[int, ...], plan: _Plan) -> tuple[Hashes, Indices]:
    """The sorted keys of these blocks, and the index of each one's hash: words of both are sorted fastest."""
    words = np.arange(len(hashes), dtype=np.uint64)
    for start in range(0, len(hashes), _TILE):
        words[start : start + _TILE] |= _keys(hashes[start : start + _TILE], chosen, plan) << np.uint64(_KEY_BITS)
    words.sort()
    order = (words & np.uint64((1 << _KEY_BITS) - 1)).view(np.int64)
    words >>= np.uint64(_KEY_BITS)
    return words, order


def _keys(hashes: Hashes, chosen: tuple[int, ...], plan: _Plan) -> Hashes:
    """The bits of the chosen blocks, side by side."""
    key = np.zeros(len(hashes), np.uint64)
    for block in chosen:
        start, end = plan.edges[block : block + 2]
        key = key << np.uint64(end - start) | (hashes >> np.uint64(start)) & np.uint64((1 << end - start) - 1)
    return key


def _side_by_side(blocks: list[NDArray[np.uint32]], chosen: tuple[int, ...], plan: _Plan) -> NDArray[np.uint32]:
    """The same of blocks that are cut out already."""
    key = blocks[0]
    for values, block in zip(blocks[1:], chosen[1:], strict=True):
        key = key << np.uint32(plan.edges[block + 1] - plan.edges[block]) | values
    return key


def _found_first_by(chosen: tuple[int, ...], plan: _Plan, difference: Hashes) -> Indices:
    """Those pairs whose first blocks that agree are the chosen ones: of all choices, one finds each pair first."""
    own = np.arange(len(difference))
    for block in range(chosen[-1] + 1):
        start, end = plan.edges[block : block + 2]
        agree = difference & np.uint64((1 << end) - (1 << start)) == 0
        kept = np.flatnonzero(agree == (block in chosen))
        own, difference = own.take(kept), difference.take(kept)
    return own


def _near_neighbours(hashes: Hashes, words: Hashes, reach: int, distance: int) -> Iterator[Pairs]:
    """Places of all near hashes whose words, ascending, differ by at most `reach`, and of some others.

    Every hash is compared with the one after it, then with the second after it, and so on until few reach their
    partner; those are followed by themselves.
    """
    last = words + np.uint64(reach)
    offset, step = 1, 1 + int(_mean_reached(words, last))
    left = np.arange(len(words))
    while len(left) > len(words) // _FEW:
        for start in range(0, len(words), _TILE):
            yield from _near_at_offsets(hashes, start, range(offset, offset + step), distance)
        offset += step
        left = np.flatnonzero(words[offset:] <= last[: max(0, len(words) - offset)])
    end = np.searchsorted(words, last[left], "right")
    for place, right in _near_places(hashes[left], hashes, left + offset, end, distance):
        yield left[place], right


def _mean_reached(words: Hashes, last: Hashes) -> float:
    """How many words that follow a word are at most its last, of some."""
    some = np.arange(0, len(words), 1 + len(words) // _SAMPLE)
    return float(np.mean(np.searchsorted(words, last[some], "right") - some - 1)) if len(some) else 0.0


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
    count = np.maximum(end - first, 0)
    until = np.cumsum(count)
    after = end - until  # from the number of a comparison to a place
    cuts = np.searchsorted(until, np.arange(_TILE, until[-1], _TILE)).tolist() if len(until) else ()
    for start, stop in pairwise(sorted({0, *cuts, len(until)})):
        query = np.repeat(np.arange(start, stop), count[start:stop])
        place = np.arange(until[start] - count[start], until[stop - 1])
        place += after.take(query)
        difference = queries.take(query)
        difference ^= hashes.take(place)
        near = np.flatnonzero(np.bitwise_count(difference) <= distance)
        if len(near):
            yield query[near], place[near]
