"""Exact search for all pairs of 64-bit hashes within a Hamming distance.

Two hashes that differ in at most d bits agree in at least m of any d + m blocks of bits (the pigeonhole principle of
multi-index hashing: Norouzi, Punjani, Fleet 2014; with several blocks at once: Manku, Jain, Das Sarma 2007). So for
every choice of m blocks, the hashes are sorted by these blocks, and those that agree in them are compared in full.
Sorting and comparing neighbours reads memory in order, which is many times faster than hash-table lookups. Between two
sets, only the smaller is sorted, and a table gives the first place of each key.
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
_KEY_BITS = 32  # of a sorted word; the other 32 bits are the index of the hash
_SORT_COST = 30.0  # measured: time to sort one hash, in comparisons of two neighbours
_LABEL_BITS = 16  # below the key of a word that has a label
_LOOKUP_COST = 2.0  # measured: time of one query, in comparisons of two gathered hashes
_TABLE_BITS = (8, 20)  # smallest and largest key that is looked up; the largest table, 8 MB, fits into the cache
_TILE = 1 << 16  # hashes compared in one step: 1 MB with intermediate results, which fits into the L2 cache
_SAMPLE = 1000  # hashes from which the mean number of comparisons is estimated
_WORTH_THREADS = 1 << 17  # hashes from which several threads are used
_AHEAD = 1 << 20  # pairs that a thread may compute in advance, 16 MB
_FEW = 8  # once fewer than 1 in 8 hashes have neighbours left to compare, these are followed one by one


@dataclass(frozen=True, slots=True)
class _Plan:
    """How hashes are cut into blocks: block i starts at bit `edges[i]`.

    A near pair agrees in `matching` blocks.
    """

    edges: tuple[int, ...]
    matching: int

    @property
    def choices(self) -> Iterator[tuple[int, ...]]:
        """All choices of `matching` blocks."""
        return combinations(range(len(self.edges) - 1), self.matching)


def near_pairs(
    hashes: Hashes, distance: int, labels: Hashes | None = None, max_label_difference: int = 0
) -> Iterator[Pairs]:
    """Finds all pairs of hashes that differ in at most `distance` bits.

    Memory depends on the number of hashes, not on the number of pairs.

    Args:
        hashes: uint64 [N], N < 2³².
        distance: 0..16.
        labels: uint64 [N], ascending. Pairs whose labels differ by more than `max_label_difference` may be omitted
            (some are still found), which saves time. None: all pairs are found.
        max_label_difference: Its sum with the largest label must be below 2¹⁶.

    Yields:
        Indices of pairs, two arrays int64 [pairs], the smaller index first. Each pair is found once, in no order.
    """
    plan = _plan(len(hashes), distance, _KEY_BITS, _SORT_COST)

    def search(chosen: tuple[int, ...]) -> Iterator[Pairs]:
        keys, order = _sorted_keys(hashes, chosen, plan)
        keys <<= np.uint64(_LABEL_BITS)
        if labels is not None:
            keys |= labels[order]
        neighbours = _near_neighbours(hashes[order], keys, max_label_difference, distance)
        for left, right in _in_batches(neighbours):
            one, other = order[left], order[right]
            own = _found_first_by(chosen, plan, hashes[one] ^ hashes[other])
            yield np.minimum(one, other)[own], np.maximum(one, other)[own]

    return _run_searches([partial(search, chosen) for chosen in plan.choices], len(hashes))


def pairs_within(queries: Hashes, hashes: Hashes, distance: int) -> Iterator[Pairs]:
    """Finds all pairs of a query and a hash that differ in at most `distance` bits.

    Args:
        queries: uint64 [Q].
        hashes: uint64 [N]; fastest if they are distinct and fewer than the queries.
        distance: 0..16.

    Yields:
        Indices of the queries and of the hashes, int64 [pairs] each. Each pair is found once, in no order.
    """
    table_bits = min(max(_TABLE_BITS[0], len(hashes).bit_length() + 1), _TABLE_BITS[1])
    plan = _plan(len(hashes), distance, table_bits, _LOOKUP_COST)
    blocks = [_keys(queries, (block,), plan).astype(np.uint32) for block in range(len(plan.edges) - 1)]

    def search(chosen: tuple[int, ...]) -> Iterator[Pairs]:
        keys, order = _sorted_keys(hashes, chosen, plan)
        ordered, begin = hashes[order], _key_starts(keys)
        for start in range(0, len(queries), _TILE):
            some = queries[start : start + _TILE]
            wanted = _concatenated([blocks[block][start : start + _TILE] for block in chosen], chosen, plan)
            first, end = begin.take(wanted, mode="clip"), begin.take(wanted + np.uint32(1), mode="clip")
            for query, place in _in_batches(_near_places(some, ordered, first, end, distance)):
                own = _found_first_by(chosen, plan, some[query] ^ ordered[place])
                yield query[own] + start, order[place[own]]

    return _run_searches([partial(search, chosen) for chosen in plan.choices], len(queries) + len(hashes))


def _run_searches(searches: Sequence[Callable[[], Iterator[Pairs]]], hashes: int) -> Iterator[Pairs]:
    """Yields the pairs of all searches, in order.

    With many hashes, several searches run in parallel. Each search computes only a bounded number of pairs in advance,
    so the caller can stop early at little cost.
    """
    threads = worker_count(ExecutionConfig()) if hashes >= _WORTH_THREADS else 1
    if threads == 1:
        for search in searches:
            yield from search()
        return
    with ThreadPoolExecutor(threads) as pool:
        running: deque[Future[tuple[list[Pairs], Iterator[Pairs]]]] = deque()
        try:
            for search in searches:
                running.append(pool.submit(_run_ahead, search))
                if len(running) > threads:
                    yield from chain(*running.popleft().result())
            while running:
                yield from chain(*running.popleft().result())
        finally:
            pool.shutdown(cancel_futures=True)


def _run_ahead(search: Callable[[], Iterator[Pairs]]) -> tuple[list[Pairs], Iterator[Pairs]]:
    """Returns the first pairs of a search, about `_AHEAD`, and the iterator over the rest."""
    pairs, found, count = search(), [], 0
    for some in pairs:
        found.append(some)
        count += len(some[0])
        if count > _AHEAD:
            break
    return found, pairs


def _key_starts(keys: Hashes) -> Indices:
    """Returns the first place of each key among the sorted keys, and the end of the last.

    Returns:
        int64 [largest key + 2].
    """
    starts: Indices = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(keys.view(np.int64)))])
    return starts


def _in_batches(pairs: Iterator[Pairs]) -> Iterator[Pairs]:
    """Yields the same pairs in fewer, larger arrays."""
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
    """Returns the plan that is cheapest for random hashes.

    More choices of blocks leave fewer pairs to compare.
    """
    plans = (_cut(distance + matching, matching, key_bits) for matching in range(1, 5))
    return min(plans, key=lambda plan: _cost(count, plan, choice_cost))


def _cut(blocks: int, matching: int, key_bits: int) -> _Plan:
    """Cuts the bits into blocks of nearly equal length.

    The matching blocks together fit into a key.
    """
    bits = min(_HASH_BITS, blocks * (key_bits // matching))
    return _Plan(tuple(bits * block // blocks for block in range(blocks + 1)), matching)


def _cost(count: int, plan: _Plan, choice_cost: float) -> float:
    """Returns the cost of all choices together, per hash."""
    blocks = len(plan.edges) - 1
    agreeing = count / 2 ** (plan.edges[-1] * plan.matching / blocks)
    return comb(blocks, plan.matching) * (choice_cost + agreeing)


def _sorted_keys(hashes: Hashes, chosen: tuple[int, ...], plan: _Plan) -> tuple[Hashes, Indices]:
    """Returns the sorted keys of these blocks, and the index of the hash of each key.

    Key and index are packed into one word, which is the fastest way to sort them.
    """
    words = np.arange(len(hashes), dtype=np.uint64)
    for start in range(0, len(hashes), _TILE):
        words[start : start + _TILE] |= _keys(hashes[start : start + _TILE], chosen, plan) << np.uint64(_KEY_BITS)
    words.sort()
    order = (words & np.uint64((1 << _KEY_BITS) - 1)).view(np.int64)
    words >>= np.uint64(_KEY_BITS)
    return words, order


def _keys(hashes: Hashes, chosen: tuple[int, ...], plan: _Plan) -> Hashes:
    """Returns the bits of the chosen blocks, concatenated."""
    key = np.zeros(len(hashes), np.uint64)
    for block in chosen:
        start, end = plan.edges[block : block + 2]
        key = key << np.uint64(end - start) | (hashes >> np.uint64(start)) & np.uint64((1 << end - start) - 1)
    return key


def _concatenated(blocks: list[NDArray[np.uint32]], chosen: tuple[int, ...], plan: _Plan) -> NDArray[np.uint32]:
    """Returns the same as `_keys`, from blocks that are already cut out."""
    key = blocks[0]
    for values, block in zip(blocks[1:], chosen[1:], strict=True):
        key = key << np.uint32(plan.edges[block + 1] - plan.edges[block]) | values
    return key


def _found_first_by(chosen: tuple[int, ...], plan: _Plan, difference: Hashes) -> Indices:
    """Returns the pairs whose first matching blocks are the chosen ones.

    Only that choice reports the pair.
    """
    own = np.arange(len(difference))
    for block in range(chosen[-1] + 1):
        start, end = plan.edges[block : block + 2]
        agree = difference & np.uint64((1 << end) - (1 << start)) == 0
        kept = np.flatnonzero(agree == (block in chosen))
        own, difference = own.take(kept), difference.take(kept)
    return own


def _near_neighbours(hashes: Hashes, words: Hashes, max_difference: int, distance: int) -> Iterator[Pairs]:
    """Yields the places of near hashes whose words differ by at most `max_difference`.

    The words ascend. Some other near pairs are found too. All hashes are compared with the next one, then with the
    second next, and so on, until few have a word in range; these are then compared one by one.
    """
    last = words + np.uint64(max_difference)
    offset, step = 1, 1 + int(_mean_neighbours(words, last))
    left = np.arange(len(words))
    while len(left) > len(words) // _FEW:
        for start in range(0, len(words), _TILE):
            yield from _near_at_offsets(hashes, start, range(offset, offset + step), distance)
        offset += step
        left = np.flatnonzero(words[offset:] <= last[: max(0, len(words) - offset)])
    end = np.searchsorted(words, last[left], "right")
    for place, right in _near_places(hashes[left], hashes, left + offset, end, distance):
        yield left[place], right


def _mean_neighbours(words: Hashes, last: Hashes) -> float:
    """Returns the mean number of later words up to the word's `last`, from a sample."""
    some = np.arange(0, len(words), 1 + len(words) // _SAMPLE)
    return float(np.mean(np.searchsorted(words, last[some], "right") - some - 1)) if len(some) else 0.0


def _near_at_offsets(hashes: Hashes, start: int, offsets: range, distance: int) -> Iterator[Pairs]:
    """Yields the places of near hashes at these offsets, for a tile that starts at `start`."""
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
    """Yields queries and the places of near hashes.

    Those from `first[query]` to before `end[query]` are compared.
    """
    count = np.maximum(end - first, 0)
    until = np.cumsum(count)
    after = end - until  # added to the number of a comparison, it gives a place
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
