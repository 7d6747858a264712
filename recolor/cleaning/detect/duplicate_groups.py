"""Groups copies among pictures that are described by their hashes, thumbnails and mean colours.

Near hashes give candidates; thumbnails laid over each other confirm them. Each group is a star: every member is a copy
of the kept picture itself. A chain of small steps therefore cannot join different pictures.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from recolor.cleaning.detect.alignment import Thumbnails, similarities, structured_shares, turned
from recolor.cleaning.detect.hamming import Hashes, Indices, near_pairs, pairs_within
from recolor.cleaning.detect.overlaps import overlaps
from recolor.cleaning.windows import WINDOWS
from recolor.color.arrays import Floats
from recolor.config.settings import DuplicateConfig
from recolor.manifests.schemas import RELATIONS, SYMMETRIES

_TURNS = len(SYMMETRIES) - 1
_SLICES = 8  # by lightness, from dark to light
_LABEL_STEPS = 1000  # the largest difference in lightness, as a difference of labels
_MAX_PAIRS = 1 << 20  # candidates that are confirmed in one go, plus
_MAX_PAIRS_PER_PICTURE = 32  # for each picture
_MAX_PENDING = 1 << 24  # candidates are kept until it is known that there are not too many; 400 MB
_TOGETHER = 1 << 16  # candidates that are confirmed together, at least
_LIST_PAIRS = 1 << 16  # pairs that are converted to Python lists at a time
_FIRST_SHARE = 16  # if there are too many candidates, the best 1/16 of the pictures is grouped first
# The largest differences between copies in mean lightness, contrast and mean colour, in Lab units (98% of crops by 10%
# stay within 5, 3 and 5). A picture with less chroma than the last number is grey.
_MAX_LIGHTNESS, _MAX_CONTRAST, _MAX_COLOUR, _GREY_CHROMA = 8.0, 5.0, 5.0, 1.5
_MAX_EXPOSURE = 20.0  # the largest difference in lightness of upright copies, which may have been exposed anew
_MAX_DISTANCE_EXPOSED = 8  # of 64 bits: exposure changes few
_MAX_DISTANCE_OVERLAP = 6  # of 64 bits, between windows of both; 8 find few more and cost several times as much
_OTHER_COLOUR = 0.1  # subtracted from the similarity of pictures whose colours differ more,
_OTHER_PLAIN = 0.35  # if hardly anything is there to compare: a moon and a sun in plain skies
_PLAIN_SHARE = 0.25  # of a picture: less structure than this is hardly anything
_SURE_BITS = 16  # of 256: pictures of the same colours that differ in so few need no look at their thumbnails
_WHOLE = np.array([0.0, 1.0, 0.0, 1.0])


@dataclass(frozen=True, slots=True)
class Copies:
    """The kept copy of each picture, and how the two differ.

    Attributes:
        kept: int64 [pictures], index of the kept copy; a kept picture's own index.
        distance_64: int64 [pictures], 0..64.
        distance_256: int64 [pictures], 0..256.
        relation: int64 [pictures], index into `RELATIONS`: what turns the picture into the kept one.
        similarity: float64 [pictures], up to 1.
    """

    kept: Indices
    distance_64: Indices
    distance_256: Indices
    relation: Indices
    similarity: Floats


@dataclass(frozen=True, slots=True)
class Pictures:
    """The pictures to compare, best first.

    Attributes:
        hashes_64: uint64 [pictures, 8 symmetries], or [pictures, 1] if flips and rotations are not compared.
        hashes_256: uint64 [pictures, 8 symmetries, 4], or [pictures, 1, 4].
        windows_64: uint64 [pictures, 51 windows]; used only for crops.
        thumbnails: uint8 [pictures, 24, 24]; all 0 if unknown.
        colours: float64 [pictures, 5]: mean and standard deviation of L, mean a, b and chroma.
        aspects: float64 [pictures]: width / height.
        config: Maximum distances.
        lightness: float64 [pictures]: mean L; all 0 if it is unknown for any picture.
    """

    hashes_64: Hashes
    hashes_256: Hashes
    windows_64: Hashes
    thumbnails: Thumbnails
    colours: Floats
    aspects: Floats
    config: DuplicateConfig
    lightness: Floats = field(init=False)

    def __post_init__(self) -> None:
        """Sets `lightness`."""
        known = not np.isnan(self.colours[:, 0]).any()
        object.__setattr__(self, "lightness", self.colours[:, 0] if known else np.zeros(len(self.colours)))


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Pairs of pictures that are copies: arrays [pairs]; see `Copies`."""

    best: Indices
    other: Indices
    distance_64: NDArray[np.uint8]
    distance_256: NDArray[np.int16]
    relation: Indices
    similarity: Floats


def group_copies(pictures: Pictures) -> Copies:
    """Groups pictures: each, best first, takes its copies that no better one has taken."""
    rows = np.arange(len(pictures.hashes_64))
    distance_64, distance_256, relation = np.zeros((3, len(rows)), np.int64)
    copies = Copies(rows.copy(), distance_64, distance_256, relation, np.ones(len(rows)))
    _group(rows, pictures, copies)
    if pictures.config.crops:
        _join_crops(pictures, copies)
    return copies


def _group(rows: Indices, pictures: Pictures, copies: Copies) -> None:
    """Groups rows, sorted, none of which is a copy of a better kept picture.

    If there are too many candidates (thousands of pictures that are all alike), the best few pictures are grouped
    first, and the copies of those that are kept are removed from the rest.
    """
    pairs = _pairs_among(rows, pictures)
    if pairs is not None:
        _assign(pairs, copies)
        return
    best, rest = np.split(rows, [max(1, len(rows) // _FIRST_SHARE)])
    _group(best, pictures, copies)
    candidates = _candidates_between(_kept(best, copies), rest, pictures)
    _assign(_joined([_confirm(best, other, turn, pictures) for best, other, turn in _gathered(candidates)]), copies)
    _group(_kept(rest, copies), pictures, copies)


def _kept(rows: Indices, copies: Copies) -> Indices:
    kept: Indices = rows[copies.kept[rows] == rows]
    return kept


def _pairs_among(rows: Indices, pictures: Pictures) -> _Pairs | None:
    """Returns the pairs of copies among these rows, or None if there are too many candidates."""
    found, pending, confirmed, seen = [], [], 0, 0
    for some in _candidates_among(rows, pictures):
        pending.append(some)
        seen += len(some[0])
        if seen > _MAX_PAIRS + _MAX_PAIRS_PER_PICTURE * len(rows):
            return None
        if seen - confirmed > _MAX_PENDING:
            found += [_confirm(best, other, turn, pictures) for best, other, turn in _gathered(pending)]
            pending, confirmed = [], seen
    return _joined(found + [_confirm(best, other, turn, pictures) for best, other, turn in _gathered(pending)])


def _candidates_among(rows: Indices, pictures: Pictures) -> Iterator[tuple[Indices, Indices, Indices]]:
    """Yields candidates among these rows: two pictures, and the symmetry of the second.

    Under this symmetry the second picture is near the first.
    """
    config = pictures.config
    rows, lightness = _by_lightness(rows, pictures)
    plain, turned = pictures.hashes_64[rows, 0], pictures.hashes_64[rows, 1:]
    limit = config.max_hamming_distance
    for distance, most in ((limit, _MAX_LIGHTNESS), (min(limit, _MAX_DISTANCE_EXPOSED), _MAX_EXPOSURE)):
        labels = (np.clip(lightness, 0.0, 100.0) * (_LABEL_STEPS / most)).astype(np.uint64)
        for first, second in near_pairs(plain, distance, labels, _LABEL_STEPS + 1):
            one, other = rows[first], rows[second]
            yield np.minimum(one, other), np.maximum(one, other), np.zeros(len(one), np.int64)
    for some, alike in _slices(lightness, lightness) if config.symmetries else ():
        queries = turned[some].reshape(-1)
        for query, best in pairs_within(queries, plain[alike], config.max_hamming_distance_turned):
            yield rows[alike][best], rows[some][query // _TURNS], query % _TURNS + 1


def _by_lightness(rows: Indices, pictures: Pictures) -> tuple[Indices, Floats]:
    """Returns rows from dark to light, and their lightness.

    Pictures of different lightness need no comparison.
    """
    lightness = pictures.lightness[rows]
    order = np.argsort(lightness, kind="stable")
    return rows[order], lightness[order]


def _slices(lightness: Floats, others: Floats, most: float = _MAX_LIGHTNESS) -> Iterator[tuple[slice, slice]]:
    """Yields slices of pictures, and slices of others that are similarly light.

    Both arrays ascend.
    """
    most += 1e-6
    edges = [len(lightness) * part // _SLICES for part in range(_SLICES + 1)]
    for start, end in pairwise(edges):
        if start < end:
            first = np.searchsorted(others, lightness[start] - most)
            yield slice(start, end), slice(int(first), int(np.searchsorted(others, lightness[end - 1] + most)))


def _candidates_between(kept: Indices, rest: Indices, pictures: Pictures) -> Iterator[tuple[Indices, Indices, Indices]]:
    """Yields candidates of a kept picture and one of `rest`, all of which are worse.

    See `_candidates_among`.
    """
    config = pictures.config
    kept, of_kept = _by_lightness(kept, pictures)
    rest, lightness = _by_lightness(rest, pictures)
    for symmetry in range(len(SYMMETRIES) if config.symmetries else 1):
        limit = config.max_hamming_distance_turned if symmetry else config.max_hamming_distance
        for some, alike in _slices(lightness, of_kept, _MAX_LIGHTNESS if symmetry else _MAX_EXPOSURE):
            plain = pictures.hashes_64[kept[alike], 0]
            for other, best in pairs_within(pictures.hashes_64[rest[some], symmetry], plain, limit):
                yield kept[alike][best], rest[some][other], np.full(len(other), symmetry)


def _confirm(best: Indices, other: Indices, symmetry: Indices, pictures: Pictures) -> _Pairs:
    """Returns the candidates that are copies.

    They are near in 256 bits too, nearest in this symmetry, and alike when laid over each other.
    """
    hashes = pictures.hashes_256
    near = np.flatnonzero(best < other)
    distance_256 = _hamming_distances(hashes[best[near], 0], hashes[other[near], symmetry[near]])
    near = near[distance_256 <= pictures.config.max_hamming_distance_256]
    distance_64 = np.bitwise_count(pictures.hashes_64[best[near], 0] ^ pictures.hashes_64[other[near], symmetry[near]])
    exposed = (symmetry[near] == 0) & (distance_64 <= _MAX_DISTANCE_EXPOSED)
    most = np.where(exposed, _MAX_EXPOSURE, _MAX_LIGHTNESS)
    near = near[_similar_exposure(best[near], other[near], most, pictures)]
    best, other, symmetry = best[near], other[near], symmetry[near]
    tried = range(len(SYMMETRIES) if pictures.config.symmetries else 1)
    distances = np.stack([_hamming_distances(hashes[best, 0], hashes[other, turn]) for turn in tried])
    distance_256 = distances.min(axis=0)
    similarity = _similarity(best, other, symmetry, distance_256, pictures)
    copies = (distances.argmin(axis=0) == symmetry) & (similarity >= pictures.config.min_similarity)
    distance_64 = np.bitwise_count(pictures.hashes_64[best, 0] ^ pictures.hashes_64[other, symmetry])
    return _chosen(_Pairs(best, other, distance_64, distance_256, symmetry, similarity), copies)


def _similar_exposure(best: Indices, other: Indices, most: float | Floats, pictures: Pictures) -> NDArray[np.bool_]:
    """Returns which pairs differ in lightness by at most `most`; an unknown lightness counts as no difference."""
    difference = np.abs(pictures.colours[best, 0] - pictures.colours[other, 0])
    return np.asarray(np.logical_not(difference > most))


def _similarity(
    best: Indices, other: Indices, symmetry: Indices, distance_256: NDArray[np.int16], pictures: Pictures
) -> Floats:
    """Returns how alike whole pictures are: float64 [pairs].

    Nearly equal hashes and equal colours need no look at the thumbnails: half of the 256 bits differ by chance.
    """
    similar = _similar_colours(pictures.colours[best], pictures.colours[other])
    found = 1.0 - distance_256 / 128.0
    look = np.flatnonzero((distance_256 > _SURE_BITS) | ~similar)
    thumbnails = pictures.thumbnails
    windows = np.broadcast_to(_WHOLE, (len(look), 4))
    found[look] = similarities(thumbnails[best[look]], turned(thumbnails[other[look]], symmetry[look]), windows)
    found[~similar] -= _colour_penalty(best[~similar], pictures)
    return found


def _colour_penalty(rows: Indices, pictures: Pictures) -> Floats:
    """Returns how much less alike pictures are for different colours: float64 [rows].

    Copies that were graded anew have the same structure, which must be there to be seen.
    """
    plain = structured_shares(pictures.thumbnails[rows]) < _PLAIN_SHARE
    return np.where(plain & pictures.thumbnails[rows].any(axis=(1, 2)), _OTHER_PLAIN, _OTHER_COLOUR)


def _chosen(pairs: _Pairs, chosen: NDArray[np.bool_]) -> _Pairs:
    return _Pairs(*(getattr(pairs, column.name)[chosen] for column in fields(pairs)))


def _join_crops(pictures: Pictures, copies: Copies) -> None:
    """Assigns kept pictures to better kept ones of which they are crops, which are crops of them, or which overlap.

    The members of their groups are released, because a group must not hold a chain. Each released picture is assigned
    to a better picture that it overlaps itself, and the rest are grouped anew.
    """
    rows = np.arange(len(copies.kept))
    kept, leader = _kept(rows, copies), copies.kept.copy()
    _assign(_crops(kept, kept, pictures), copies)
    taken = kept[copies.kept[kept] != kept]
    released = rows[np.isin(leader, taken) & (leader != rows)]
    if not len(released):
        return
    copies.kept[released] = released
    copies.distance_64[released] = copies.distance_256[released] = copies.relation[released] = 0
    copies.similarity[released] = 1.0
    kept = _kept(kept, copies)
    crops = _joined([_crops(kept, released, pictures), _crops(released, kept, pictures)])
    _assign(_chosen(crops, np.isin(crops.other, released) & ~np.isin(crops.best, released)), copies)
    _group(_kept(released, copies), pictures, copies)


def _crops(wholes: Indices, parts: Indices, pictures: Pictures) -> _Pairs:
    """Returns the pairs of a picture among `wholes` and one among `parts` that is a crop of it or overlaps it."""
    wholes, lightness = _by_lightness(wholes, pictures)
    parts, of_parts = _by_lightness(parts, pictures)
    found = []
    for some, alike in _slices(lightness, of_parts):
        whole, part = wholes[some], parts[alike]
        windows, hashes = pictures.windows_64[whole].reshape(-1), pictures.hashes_64[part, 0]
        near = pairs_within(windows, hashes, pictures.config.max_hamming_distance_crop)
        for place, at in _gathered(near):
            of, window = np.divmod(place, len(WINDOWS))
            found.append(_confirm_crops(whole[of], window, part[at], None, pictures))
    return _joined([*found, _overlaps(wholes, parts, pictures)])


def _overlaps(ones: Indices, others: Indices, pictures: Pictures) -> _Pairs:
    """Returns the pairs of a picture among `ones` and one among `others` of which neither shows all of the other."""
    windows, aspects = pictures.windows_64, pictures.aspects
    limit = min(pictures.config.max_hamming_distance_crop, _MAX_DISTANCE_OVERLAP)
    found = []
    near = overlaps(windows[ones], aspects[ones], windows[others], aspects[others], limit)
    for one, window, other, shown in _gathered(near):
        found.append(_confirm_crops(ones[one], window, others[other], shown, pictures))
    return _joined(found)


def _gathered(candidates: Iterable[tuple[Indices, ...]]) -> Iterator[tuple[Indices, ...]]:
    """Yields the same candidates in fewer, larger arrays, which are confirmed faster."""
    some: list[tuple[Indices, ...]] = []
    for one in candidates:
        some.append(one)
        if sum(len(each[0]) for each in some) > _TOGETHER:
            yield tuple(np.concatenate(part) for part in zip(*some, strict=True))
            some = []
    if some:
        yield tuple(np.concatenate(part) for part in zip(*some, strict=True))


def _confirm_crops(
    whole: Indices, window: Indices, part: Indices, part_window: Indices | None, pictures: Pictures
) -> _Pairs:
    """Returns the candidates that are crops, or overlap if there are windows of the second picture as well.

    They are similarly light, and alike when laid over the window. Either may be the better picture.
    """
    near = np.flatnonzero((whole != part) & _similar_exposure(whole, part, _MAX_LIGHTNESS, pictures))
    whole, window, part = whole[near], window[near], part[near]
    shown = None if part_window is None else part_window[near]
    thumbnails = pictures.thumbnails[whole], pictures.thumbnails[part]
    similarity = similarities(*thumbnails, WINDOWS[window], None if shown is None else WINDOWS[shown])
    if shown is None:
        relation = np.where(whole < part, RELATIONS.index("crop"), RELATIONS.index("whole"))
        hashes = pictures.hashes_64[part, 0]
    else:
        relation = np.full(len(near), RELATIONS.index("overlap"))
        hashes = pictures.windows_64[part, shown]
    unlike = ~_similar_colours(pictures.colours[whole], pictures.colours[part])
    similarity[unlike] -= _colour_penalty(whole[unlike], pictures)
    copies = similarity >= pictures.config.min_similarity
    distance_64 = np.bitwise_count(pictures.windows_64[whole, window] ^ hashes)
    distance_256 = _hamming_distances(pictures.hashes_256[whole, 0], pictures.hashes_256[part, 0])
    best = np.where(whole < part, whole, part)
    other = np.where(whole < part, part, whole)
    return _chosen(_Pairs(best, other, distance_64, distance_256, relation, similarity), copies)


def _similar_colours(one: Floats, other: Floats) -> NDArray[np.bool_]:
    """Returns whether colours, float64 [pairs, 5], are near enough for copies: bool [pairs].

    A moon and a sun on a plain sky have similar hashes. The colour of a grey copy is not compared. An unknown value
    counts as no difference.
    """
    lightness, contrast, a, b = np.abs(one - other)[:, :4].T
    grey = np.fmin(one[:, 4], other[:, 4]) < _GREY_CHROMA
    other_colour = (np.hypot(a, b) > _MAX_COLOUR) & ~grey
    return np.asarray(np.logical_not((lightness > _MAX_LIGHTNESS) | (contrast > _MAX_CONTRAST) | other_colour))


def _hamming_distances(one: Hashes, other: Hashes) -> NDArray[np.int16]:
    """Returns the Hamming distances of hashes, uint64 [pairs, words]: int16 [pairs]."""
    bits: NDArray[np.int16] = np.bitwise_count((one ^ other).T).sum(axis=0, dtype=np.int16)
    return bits


def _joined(pairs: list[_Pairs]) -> _Pairs:
    """Concatenates a list of pairs, which may be empty."""
    none = np.zeros(0, np.int64)
    every = [_Pairs(none, none, none.astype(np.uint8), none.astype(np.int16), none, none.astype(np.float64)), *pairs]
    return _Pairs(*(np.concatenate([getattr(some, column.name) for some in every]) for column in fields(_Pairs)))


def _assign(pairs: _Pairs, copies: Copies) -> None:
    """Assigns every picture to its best copy that is kept, best pictures first."""
    order = np.lexsort((pairs.other, pairs.best))
    for start in range(0, len(order), _LIST_PAIRS):
        some = order[start : start + _LIST_PAIRS]
        for pair, best, other in zip(some, pairs.best[some].tolist(), pairs.other[some].tolist(), strict=True):
            if copies.kept[best] == best and copies.kept[other] == other:
                _assign_one(pairs, pair, copies)


def _assign_one(pairs: _Pairs, pair: int, copies: Copies) -> None:
    other = pairs.other[pair]
    copies.kept[other] = pairs.best[pair]
    copies.distance_64[other] = pairs.distance_64[pair]
    copies.distance_256[other] = pairs.distance_256[pair]
    copies.relation[other] = pairs.relation[pair]
    copies.similarity[other] = pairs.similarity[pair]
