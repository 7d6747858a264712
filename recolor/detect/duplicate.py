"""Copies of the same picture: same bytes, alike to the eye under any flip or rotation, or the greater part of it.

64-bit hashes propose, 256-bit hashes and mean colours dispose. Each group is a star around the copy that is kept: every
member is within the distances of that copy itself, so that no chain of small steps joins different pictures.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recolor.config import DuplicateConfig
from recolor.hamming import Hashes, Indices, near_pairs, pairs_within
from recolor.outliers import THRESHOLD, Floats, column, outlier_table
from recolor.schemas import DUPLICATE, RELATIONS, SYMMETRIES

_MOST_PAIRS = 1 << 20  # looked at in one go, and
_MOST_PAIRS_EACH = 32  # more for each picture: at most 800 MB among a million pictures
_SOME = 1 << 16  # pairs that are lists at a time
_BEST_FEW = 16  # where there are more, the best of so many is grouped first
_CROP = RELATIONS.index("crop")
# Lab units that mean lightness, its spread and mean colour of copies may differ by (98% of crops by 10% stay within 5,
# 3 and 5); and the chroma of a grey copy.
_MOST_LIGHTER, _MOST_CONTRAST, _MOST_COLOUR, _GREY_CHROMA = 8.0, 5.0, 5.0, 1.5
_WINDOWS = 9
_COLOURS = ("L_mean", "contrast", "a_mean", "b_mean", "chroma_mean")


@dataclass(frozen=True, slots=True)
class _Copies:
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
class _Pictures:
    """What is compared, best picture first.

    Attributes:
        hashes_64: uint64 [pictures, 8 symmetries].
        hashes_256: uint64 [pictures, 8 symmetries, 4].
        windows_64: uint64 [pictures, 9 windows].
        windows_256: uint64 [pictures, 9 windows, 4].
        colours: float64 [pictures, 5]: mean and spread of L, mean a, b and chroma.
        config: Distances.
    """

    hashes_64: Hashes
    hashes_256: Hashes
    windows_64: Hashes
    windows_256: Hashes
    colours: Floats
    config: DuplicateConfig


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Pairs of pictures that are copies, each once: integers [pairs]; see `_Copies`."""

    best: NDArray[np.int32]
    other: NDArray[np.int32]
    distance_64: NDArray[np.uint8]
    distance_256: NDArray[np.int16]
    relation: NDArray[np.int8]


def detect_duplicate(measurements: pa.Table, config: DuplicateConfig) -> pa.Table:
    """Lists the copies that another image makes needless; the best copy of each group is not in the list.

    The best copy has the most pixels, then the most bytes (the least compressed), then the first path.

    Args:
        measurements: A table of `schemas.MEASUREMENTS`.
        config: Distances, the contrast under which hashes mean nothing, whether flips and rotations count.

    Returns:
        A table of `schemas.DUPLICATE`.
    """
    copies = _find_copies(measurements, config)
    rows = np.flatnonzero(copies.kept != np.arange(len(measurements)))
    best = measurements.select(["path", "sha256"]).take(pa.array(copies.kept[rows], pa.int64()))
    distance_256 = copies.distance_256[rows]
    numbers = {
        "group": pa.array([sha[:16] for sha in best["sha256"].to_pylist()], pa.string()),
        "kept_path": best["path"],
        "exact": pc.equal(measurements["sha256"].take(pa.array(rows, pa.int64())), best["sha256"]),
        "hamming_distance": pa.array(copies.distance_64[rows], pa.int32()),
        "hamming_distance_256": pa.array(distance_256, pa.int32()),
        "relation": pa.array([RELATIONS[relation] for relation in copies.relation[rows]], pa.string()),
    }
    cropped = copies.relation[rows] == _CROP
    limit = np.where(cropped, config.max_hamming_distance_256_crop, config.max_hamming_distance_256)
    score = distance_256 / (2.0 * (limit + 1))
    reasons = _reasons(measurements, rows, copies)
    paths = measurements.select(["path"])
    return outlier_table(
        DUPLICATE, paths, rows=rows, score=score, threshold=THRESHOLD, reasons=reasons, numbers=numbers
    )


def _find_copies(measurements: pa.Table, config: DuplicateConfig) -> _Copies:
    """Equal bytes first, then equal hashes, then near ones; each step goes on with the best of each group."""
    same = np.arange(len(measurements))
    ranked = _rank(measurements)
    shas = measurements["sha256"].combine_chunks().dictionary_encode().indices
    units = _collapse(same, ranked, shas.take(pa.array(ranked)).to_numpy(zero_copy_only=False)[:, None])
    units = units[column(measurements, "contrast")[units] >= config.min_contrast]
    whole = [
        _hashes(measurements, units, "phash_64", 8, 1)[:, 0],
        _hashes(measurements, units, "phash_256", 8, 4)[:, 0],
    ]
    units = _collapse(same, units, np.concatenate(whole, axis=1))
    stars = _stars(
        _Pictures(
            _hashes(measurements, units, "phash_64", len(SYMMETRIES), 1)[..., 0],
            _hashes(measurements, units, "phash_256", len(SYMMETRIES), 4),
            _hashes(measurements, units, "phash_64_windows", _WINDOWS, 1)[..., 0],
            _hashes(measurements, units, "phash_256_windows", _WINDOWS, 4),
            np.stack([column(measurements, name)[units] for name in _COLOURS], axis=1),
            config,
        )
    )
    kept, distances = np.arange(len(measurements)), np.zeros((3, len(measurements)), np.int64)
    kept[units] = units[stars.kept]
    distances[:, units] = stars.distance_64, stars.distance_256, stars.relation
    return _Copies(kept[same], *distances[:, same])


def _rank(measurements: pa.Table) -> Indices:
    """Rows of the decoded images, best copy first: int64 [decoded]."""
    pixels = column(measurements, "width_px") * column(measurements, "height_px")
    size = column(measurements, "size_bytes")
    order = np.lexsort((np.arange(len(pixels)), -size, -np.nan_to_num(pixels)))  # the table is sorted by path
    return order[~np.isnan(pixels[order])]


def _collapse(same: Indices, rows: Indices, keys: NDArray[Any]) -> Indices:
    """Points rows of equal keys [rows, words] to the first of them; returns the firsts, in the order of `rows`."""
    if not len(rows):
        return rows
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    leader = np.arange(len(same))
    leader[rows] = rows[first[inverse.reshape(-1)]]
    same[:] = leader[same]
    return rows[np.sort(first)]


def _hashes(measurements: pa.Table, rows: Indices, name: str, each: int, words: int) -> Hashes:
    """uint64 [rows, hashes each, words]."""
    stored = measurements[name].combine_chunks().take(pa.array(rows, pa.int64()))
    return np.frombuffer(stored.buffers()[1], np.uint64)[: len(rows) * each * words].reshape(len(rows), each, words)


def _stars(pictures: _Pictures) -> _Copies:
    """Groups pictures, best first, each around the first that no earlier group has taken."""
    rows = np.arange(len(pictures.hashes_64))
    copies = _Copies(rows.copy(), *np.zeros((3, len(rows)), np.int64))
    _group(rows, pictures, copies)
    if pictures.config.crops:
        _join_crops(pictures, copies)
    return copies


def _group(rows: Indices, pictures: _Pictures, copies: _Copies) -> None:
    """Groups these rows, sorted, of which none is near a better picture that is kept.

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


def _kept(rows: Indices, copies: _Copies) -> Indices:
    kept: Indices = rows[copies.kept[rows] == rows]
    return kept


def _pairs_among(rows: Indices, pictures: _Pictures) -> _Pairs | None:
    """The pairs of copies among these rows, or nothing if there are too many pairs to look at."""
    proposals, left = [], _MOST_PAIRS + _MOST_PAIRS_EACH * len(rows)
    for some in _proposals_among(rows, pictures):
        proposals.append(some)
        left -= len(some[0])
        if left < 0:
            return None
    return _joined([_disposed(*some, pictures) for some in proposals])


def _proposals_among(rows: Indices, pictures: _Pictures) -> Iterator[tuple[Indices, Indices, Indices]]:
    """A better and a worse picture each, and the symmetry that brings the worse near the better.

    Where two turned pictures are near each other, which says nothing, the worse picture is -1: also these were work.
    """
    config, count = pictures.config, len(rows)
    for first, second in near_pairs(pictures.hashes_64[rows, 0], config.max_hamming_distance):
        yield rows[first], rows[second], np.zeros(len(first), np.int64)
    if config.symmetries:
        turned = pictures.hashes_64[rows].T.reshape(-1)  # all as they are, then all flipped, and so on
        for first, second in near_pairs(turned, config.max_hamming_distance_turned):
            one_turned = (first < count) & (second >= count)
            yield rows[first % count], np.where(one_turned, rows[second % count], -1), second // count


def _proposals_between(kept: Indices, rest: Indices, pictures: _Pictures) -> Iterator[tuple[Indices, Indices, Indices]]:
    """The same with only kept pictures as the better ones, and only pictures that are all worse as the others."""
    config = pictures.config
    for symmetry in range(len(SYMMETRIES) if config.symmetries else 1):
        limit = config.max_hamming_distance_turned if symmetry else config.max_hamming_distance
        for other, best in pairs_within(pictures.hashes_64[rest, symmetry], pictures.hashes_64[kept, 0], limit):
            yield kept[best], rest[other], np.full(len(other), symmetry)


def _disposed(best: Indices, other: Indices, symmetry: Indices, pictures: _Pictures) -> _Pairs:
    """Those pairs that are copies: also near in 256 bits, and nearer than under any other symmetry."""
    hashes = pictures.hashes_256
    near = np.flatnonzero(best < other)
    near = near[_alike(pictures.colours[best[near]], pictures.colours[other[near]])]
    near = near[
        _bits(hashes[best[near], 0], hashes[other[near], symmetry[near]]) <= pictures.config.max_hamming_distance_256
    ]
    best, other, symmetry = best[near], other[near], symmetry[near]
    tried = range(len(SYMMETRIES) if pictures.config.symmetries else 1)
    distances = np.stack([_bits(hashes[best, 0], hashes[other, turn]) for turn in tried])
    nearest = distances.argmin(axis=0) == symmetry
    best, other, symmetry = best[nearest], other[nearest], symmetry[nearest]
    distance_64 = np.bitwise_count(pictures.hashes_64[best, 0] ^ pictures.hashes_64[other, symmetry])
    distance_256 = distances.min(axis=0)[nearest]
    return _Pairs(best.astype(np.int32), other.astype(np.int32), distance_64, distance_256, symmetry.astype(np.int8))


def _join_crops(pictures: _Pictures, copies: _Copies) -> None:
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


def _crops(kept: Indices, others: Indices, pictures: _Pictures) -> _Pairs:
    """Pairs of a kept picture and a worse one of `others` that is near one of its windows."""
    config, found = pictures.config, []
    windows = pictures.windows_64[kept].reshape(-1)
    wholes = pictures.hashes_64[others, 0]
    for place, other in pairs_within(windows, wholes, config.max_hamming_distance_crop):
        found.append(_disposed_crops(kept[place // _WINDOWS], place % _WINDOWS, others[other], pictures))
    return _joined(found)


def _disposed_crops(best: Indices, window: Indices, other: Indices, pictures: _Pictures) -> _Pairs:
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
    bits: NDArray[np.int16] = np.bitwise_count(one ^ other).sum(axis=1, dtype=np.int16)
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


def _take(pairs: _Pairs, copies: _Copies) -> None:
    """Gives every picture to the best one near it that is kept, best pictures first."""
    order = np.lexsort((pairs.other, pairs.best))
    for start in range(0, len(order), _SOME):
        some = order[start : start + _SOME]
        for pair, best, other in zip(some, pairs.best[some].tolist(), pairs.other[some].tolist(), strict=True):
            if copies.kept[best] == best and copies.kept[other] == other:
                _give(pairs, pair, copies)


def _give(pairs: _Pairs, pair: int, copies: _Copies) -> None:
    other = pairs.other[pair]
    copies.kept[other] = pairs.best[pair]
    copies.distance_64[other] = pairs.distance_64[pair]
    copies.distance_256[other] = pairs.distance_256[pair]
    copies.relation[other] = pairs.relation[pair]


def _reasons(measurements: pa.Table, rows: Indices, copies: _Copies) -> list[str]:
    listed = measurements.select(["path", "sha256", "width_px", "height_px", "size_bytes"]).to_pydict()
    return [_reason(listed, int(row), int(copies.kept[row]), copies) for row in rows]


def _reason(listed: dict[str, list[Any]], row: int, kept: int, copies: _Copies) -> str:
    if listed["sha256"][row] == listed["sha256"][kept]:
        return f"same bytes as {listed['path'][kept]}, whose path comes first"
    relation = RELATIONS[int(copies.relation[row])]
    turned = "" if relation in ("identity", "crop") else f" after {relation.replace('_', ' ')}"
    alike = f"{int(copies.distance_256[row])} of 256 hash bits differ{turned}"
    what = "part" if relation == "crop" else "copy"
    return f"{what} of {listed['path'][kept]} ({alike}), which has {_advantage(listed, row, kept)}"


def _advantage(listed: dict[str, list[Any]], row: int, kept: int) -> str:
    pixels = [listed["width_px"][at] * listed["height_px"][at] for at in (kept, row)]
    if pixels[0] != pixels[1]:
        return f"more pixels ({pixels[0]} to {pixels[1]})"
    sizes = [listed["size_bytes"][at] for at in (kept, row)]
    if sizes[0] != sizes[1]:
        return f"as many pixels and more bytes ({sizes[0]} to {sizes[1]})"
    return "as many pixels and bytes and the first path"
