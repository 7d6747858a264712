"""Groups of copies among pictures that are described by their hashes and mean colours.

Each group is a star around the picture that is kept: every member is within the distances of that picture itself, so
that no chain of small steps joins different pictures.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from recolor.cleaning.detect.hamming import Hashes, Indices, near_pairs, pairs_within
from recolor.color.arrays import Floats
from recolor.config.settings import DuplicateConfig
from recolor.manifests.schemas import RELATIONS, SYMMETRIES

WINDOWS = 9  # of a picture, that its crops may be near
_TURNS = len(SYMMETRIES) - 1
_SLICES = 8  # by lightness, from dark to light
_REACH = 1000  # of a mark: what lightness may differ by
_MOST_PAIRS = 1 << 20  # looked at in one go, and
_MOST_PAIRS_EACH = 32  # more for each picture;
_WAITING = 1 << 24  # of them wait to be looked at, 400 MB, as often there are too many, and then none is
_SOME = 1 << 16  # pairs that are lists at a time
_BEST_FEW = 16  # of larger groups, the best 1/16 is grouped first
_CROP = RELATIONS.index("crop")
# Lab units that mean lightness, its spread and mean colour of copies may differ by (98% of crops by 10% stay within 5,
# 3 and 5); and the chroma of a grey copy.
_MOST_LIGHTER, _MOST_CONTRAST, _MOST_COLOUR, _GREY_CHROMA = 8.0, 5.0, 5.0, 1.5


@dataclass(frozen=True, slots=True)
class Copies:
    """The copy kept for each of some pictures, and how they differ.

    Attributes:
        kept: int64 [pictures], the picture that is kept: the picture itself, if it is.
        distance_64: int64 [pictures], 0..64.
        distance_256: int64 [pictures], 0..256.
        relation: int64 [pictures], index into `RELATIONS`: what turns the picture into the one kept.
    """

    kept: Indices
    distance_64: Indices
    distance_256: Indices
    relation: Indices


@dataclass(frozen=True, slots=True)
class Pictures:
    """What is compared, best picture first.

    Attributes:
        hashes_64: uint64 [pictures, 8 symmetries], or 1 if the others are not compared.
        hashes_256: uint64 [pictures, 8 symmetries, 4], or 1.
        windows_64: uint64 [pictures, 9 windows]; read for crops alone.
        windows_256: uint64 [pictures, 9 windows, 4].
        colours: float64 [pictures, 5]: mean and spread of L, mean a, b and chroma.
        config: Distances.
        lightness: float64 [pictures]: mean L, or 0 of all where it is not known of some.
    """

    hashes_64: Hashes
    hashes_256: Hashes
    windows_64: Hashes
    windows_256: Hashes
    colours: Floats
    config: DuplicateConfig
    lightness: Floats = field(init=False)

    def __post_init__(self) -> None:
        """What is not known is no difference."""
        known = not np.isnan(self.colours[:, 0]).any()
        object.__setattr__(self, "lightness", self.colours[:, 0] if known else np.zeros(len(self.colours)))


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Pairs of pictures that are copies, each once: integers [pairs]; see `Copies`."""

    best: NDArray[np.int32]
    other: NDArray[np.int32]
    distance_64: NDArray[np.uint8]
    distance_256: NDArray[np.int16]
    relation: NDArray[np.int8]


def group_copies(pictures: Pictures) -> Copies:
    """Groups pictures, best first, each around the first that no earlier group has taken."""
    rows = np.arange(len(pictures.hashes_64))
    copies = Copies(rows.copy(), *np.zeros((3, len(rows)), np.int64))
    _group(rows, pictures, copies)
    if pictures.config.crops:
        _join_crops(pictures, copies)
    return copies


def _group(rows: Indices, pictures: Pictures, copies: Copies) -> None:
    """Groups sorted rows that are not near any better picture that is kept.

    Where there are too many pairs to look at them all (thousands of pictures that are all alike), the best few are
    grouped first, and what is near those of them that are kept is taken out of the rest.
    """
    pairs = _pairs_among(rows, pictures)
    if pairs is not None:
        _take(pairs, copies)
        return
    best, rest = np.split(rows, [max(1, len(rows) // _BEST_FEW)])
    _group(best, pictures, copies)
    proposals = _proposals_between(_kept(best, copies), rest, pictures)
    _take(_joined([_disposed(*some, pictures) for some in proposals]), copies)
    _group(_kept(rest, copies), pictures, copies)


def _kept(rows: Indices, copies: Copies) -> Indices:
    kept: Indices = rows[copies.kept[rows] == rows]
    return kept


def _pairs_among(rows: Indices, pictures: Pictures) -> _Pairs | None:
    """The pairs of copies among these rows, or nothing if there are too many pairs to look at."""
    found, waiting, looked_at, seen = [], [], 0, 0
    for some in _proposals_among(rows, pictures):
        waiting.append(some)
        seen += len(some[0])
        if seen > _MOST_PAIRS + _MOST_PAIRS_EACH * len(rows):
            return None
        if seen - looked_at > _WAITING:
            found += [_disposed(*one, pictures) for one in waiting]
            waiting, looked_at = [], seen
    return _joined(found + [_disposed(*one, pictures) for one in waiting])


def _proposals_among(rows: Indices, pictures: Pictures) -> Iterator[tuple[Indices, Indices, Indices]]:
    """Two pictures each, and the symmetry that brings the second near the first."""
    config = pictures.config
    rows, lightness = _by_lightness(rows, pictures)
    plain, turned = pictures.hashes_64[rows, 0], pictures.hashes_64[rows, 1:]
    marks = (lightness * (_REACH / _MOST_LIGHTER)).astype(np.uint64)
    for first, second in near_pairs(plain, config.max_hamming_distance, marks, _REACH + 1):
        one, other = rows[first], rows[second]
        yield np.minimum(one, other), np.maximum(one, other), np.zeros(len(one), np.int64)
    for some, alike in _slices(lightness, lightness) if config.symmetries else ():
        queries = turned[some].reshape(-1)
        for query, best in pairs_within(queries, plain[alike], config.max_hamming_distance_turned):
            yield rows[alike][best], rows[some][query // _TURNS], query % _TURNS + 1


def _by_lightness(rows: Indices, pictures: Pictures) -> tuple[Indices, Floats]:
    """Rows from dark to light, and their mean lightness: copies are equally light, so that most pairs need no look."""
    lightness = pictures.lightness[rows]
    order = np.argsort(lightness, kind="stable")
    return rows[order], lightness[order]


def _slices(lightness: Floats, others: Floats) -> Iterator[tuple[slice, slice]]:
    """Slices of pictures, and those of others that may be as light as any of them; both ascend."""
    most = _MOST_LIGHTER + 1e-6
    edges = [len(lightness) * part // _SLICES for part in range(_SLICES + 1)]
    for start, end in pairwise(edges):
        if start < end:
            first = np.searchsorted(others, lightness[start] - most)
            yield slice(start, end), slice(int(first), int(np.searchsorted(others, lightness[end - 1] + most)))


def _proposals_between(kept: Indices, rest: Indices, pictures: Pictures) -> Iterator[tuple[Indices, Indices, Indices]]:
    """The same with only kept pictures as the better ones, and only pictures that are all worse as the others."""
    config = pictures.config
    kept, of_kept = _by_lightness(kept, pictures)
    rest, lightness = _by_lightness(rest, pictures)
    for some, alike in _slices(lightness, of_kept):
        plain = pictures.hashes_64[kept[alike], 0]
        for symmetry in range(len(SYMMETRIES) if config.symmetries else 1):
            limit = config.max_hamming_distance_turned if symmetry else config.max_hamming_distance
            for other, best in pairs_within(pictures.hashes_64[rest[some], symmetry], plain, limit):
                yield kept[alike][best], rest[some][other], np.full(len(other), symmetry)


def _disposed(best: Indices, other: Indices, symmetry: Indices, pictures: Pictures) -> _Pairs:
    """Those pairs that are copies: also near in 256 bits, and nearer than under any other symmetry."""
    hashes = pictures.hashes_256
    near = np.flatnonzero(best < other)
    distance_256 = _bits(hashes[best[near], 0], hashes[other[near], symmetry[near]])
    near = near[distance_256 <= pictures.config.max_hamming_distance_256]
    near = near[_alike(pictures.colours[best[near]], pictures.colours[other[near]])]
    best, other, symmetry = best[near], other[near], symmetry[near]
    tried = range(len(SYMMETRIES) if pictures.config.symmetries else 1)
    distances = np.stack([_bits(hashes[best, 0], hashes[other, turn]) for turn in tried])
    nearest = distances.argmin(axis=0) == symmetry
    best, other, symmetry = best[nearest], other[nearest], symmetry[nearest]
    distance_64 = np.bitwise_count(pictures.hashes_64[best, 0] ^ pictures.hashes_64[other, symmetry])
    distance_256 = distances.min(axis=0)[nearest]
    return _Pairs(best.astype(np.int32), other.astype(np.int32), distance_64, distance_256, symmetry.astype(np.int8))


def _join_crops(pictures: Pictures, copies: Copies) -> None:
    """Gives kept pictures to better kept ones that they are a part of.

    What was grouped around them is released, as stars have no chains: each goes to a better picture that it is a part
    of itself, and what is left is grouped anew.
    """
    rows = np.arange(len(copies.kept))
    kept, leader = _kept(rows, copies), copies.kept.copy()
    _take(_crops(kept, kept, pictures), copies)
    taken = kept[copies.kept[kept] != kept]
    released = rows[np.isin(leader, taken) & (leader != rows)]
    if not len(released):
        return
    copies.kept[released] = released
    copies.distance_64[released] = copies.distance_256[released] = copies.relation[released] = 0
    _take(_crops(_kept(kept, copies), released, pictures), copies)
    _group(_kept(released, copies), pictures, copies)


def _crops(kept: Indices, others: Indices, pictures: Pictures) -> _Pairs:
    """Pairs of a kept picture and a worse one of `others` that is near one of its windows."""
    kept, lightness = _by_lightness(kept, pictures)
    others, of_others = _by_lightness(others, pictures)
    found = []
    for some, alike in _slices(lightness, of_others):
        best, worse = kept[some], others[alike]
        windows, wholes = pictures.windows_64[best].reshape(-1), pictures.hashes_64[worse, 0]
        for place, other in pairs_within(windows, wholes, pictures.config.max_hamming_distance_crop):
            found.append(_disposed_crops(best[place // WINDOWS], place % WINDOWS, worse[other], pictures))
    return _joined(found)


def _disposed_crops(best: Indices, window: Indices, other: Indices, pictures: Pictures) -> _Pairs:
    """Those pairs that are copies: the other is worse, and also near the window in 256 bits."""
    distance_256 = _bits(pictures.windows_256[best, window], pictures.hashes_256[other, 0])
    near = (best < other) & (distance_256 <= pictures.config.max_hamming_distance_256_crop)
    near &= _alike(pictures.colours[best], pictures.colours[other])
    best, window, other = best[near], window[near], other[near]
    distance_64 = np.bitwise_count(pictures.windows_64[best, window] ^ pictures.hashes_64[other, 0])
    relation = np.full(len(best), _CROP, np.int8)
    return _Pairs(best.astype(np.int32), other.astype(np.int32), distance_64, distance_256[near], relation)


def _alike(one: Floats, other: Floats) -> NDArray[np.bool_]:
    """Whether colours, float64 [pairs, 5], may be of copies: hashes of a moon and of a sun on a plain sky are alike.

    A grey copy has no colour to compare. What is not known is no difference.
    """
    lighter, contrast, a, b = np.abs(one - other)[:, :4].T
    grey = np.fmin(one[:, 4], other[:, 4]) < _GREY_CHROMA
    other_colour = (np.hypot(a, b) > _MOST_COLOUR) & ~grey
    return np.asarray(np.logical_not((lighter > _MOST_LIGHTER) | (contrast > _MOST_CONTRAST) | other_colour))


def _bits(one: Hashes, other: Hashes) -> NDArray[np.int16]:
    """Bits that differ: int16 [pairs] of uint64 [pairs, words]."""
    bits: NDArray[np.int16] = np.bitwise_count((one ^ other).T).sum(axis=0, dtype=np.int16)
    return bits


def _joined(pairs: list[_Pairs]) -> _Pairs:
    """All pairs of a list, which may be empty."""
    return _Pairs(
        np.concatenate([np.zeros(0, np.int32), *(some.best for some in pairs)]),
        np.concatenate([np.zeros(0, np.int32), *(some.other for some in pairs)]),
        np.concatenate([np.zeros(0, np.uint8), *(some.distance_64 for some in pairs)]),
        np.concatenate([np.zeros(0, np.int16), *(some.distance_256 for some in pairs)]),
        np.concatenate([np.zeros(0, np.int8), *(some.relation for some in pairs)]),
    )


def _take(pairs: _Pairs, copies: Copies) -> None:
    """Gives every picture to the best one near it that is kept, best pictures first."""
    order = np.lexsort((pairs.other, pairs.best))
    for start in range(0, len(order), _SOME):
        some = order[start : start + _SOME]
        for pair, best, other in zip(some, pairs.best[some].tolist(), pairs.other[some].tolist(), strict=True):
            if copies.kept[best] == best and copies.kept[other] == other:
                _give(pairs, pair, copies)


def _give(pairs: _Pairs, pair: int, copies: Copies) -> None:
    other = pairs.other[pair]
    copies.kept[other] = pairs.best[pair]
    copies.distance_64[other] = pairs.distance_64[pair]
    copies.distance_256[other] = pairs.distance_256[pair]
    copies.relation[other] = pairs.relation[pair]
