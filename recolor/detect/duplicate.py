"""Copies of the same picture: same bytes, or alike to the eye under any flip or rotation.

64-bit hashes propose, 256-bit hashes dispose. Each group is a star around the copy that is kept: every member is within
the distances of that copy itself, so that no chain of small steps joins different pictures.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recolor.config import DuplicateConfig
from recolor.hamming import Hashes, Indices, pairs_within
from recolor.outliers import THRESHOLD, column, outlier_table
from recolor.schemas import DUPLICATE, SYMMETRIES


@dataclass(frozen=True, slots=True)
class _Copies:
    """The copy kept for each of some pictures, and how they differ.

    Attributes:
        kept: int64 [pictures], the picture that is kept: the picture itself, if it is.
        distance_64: int64 [pictures], 0..64.
        distance_256: int64 [pictures], 0..256.
        symmetry: int64 [pictures], index into `SYMMETRIES`: what turns the picture into the one kept.
    """

    kept: Indices
    distance_64: Indices
    distance_256: Indices
    symmetry: Indices


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
    best = measurements.take(pa.array(copies.kept[rows], pa.int64()))
    distance_256 = copies.distance_256[rows]
    numbers = {
        "group": pa.array([sha[:16] for sha in best["sha256"].to_pylist()], pa.string()),
        "kept_path": best["path"],
        "exact": pc.equal(measurements["sha256"].take(pa.array(rows, pa.int64())), best["sha256"]),
        "hamming_distance": pa.array(copies.distance_64[rows], pa.int32()),
        "hamming_distance_256": pa.array(distance_256, pa.int32()),
        "symmetry": pa.array([SYMMETRIES[symmetry] for symmetry in copies.symmetry[rows]], pa.string()),
    }
    score = distance_256 / (2.0 * (config.max_hamming_distance_256 + 1))
    reasons = _reasons(measurements, rows, copies)
    return outlier_table(
        DUPLICATE, measurements, rows=rows, score=score, threshold=THRESHOLD, reasons=reasons, numbers=numbers
    )


def _find_copies(measurements: pa.Table, config: DuplicateConfig) -> _Copies:
    """Equal bytes first, then equal hashes, then near ones; each step goes on with the best of each group."""
    same = np.arange(len(measurements))
    ranked = _rank(measurements)
    shas = measurements["sha256"].combine_chunks().dictionary_encode().indices
    units = _collapse(same, ranked, shas.take(pa.array(ranked)).to_numpy(zero_copy_only=False)[:, None])
    units = units[column(measurements, "contrast")[units] >= config.min_contrast]
    hashes_64 = _hashes(measurements, units, "phash_64", 1)
    hashes_256 = _hashes(measurements, units, "phash_256", 4)
    leaders = _collapse(same, units, np.concatenate([hashes_64[:, 0], hashes_256[:, 0]], axis=1))
    at = np.flatnonzero(np.isin(units, leaders))
    stars = _stars(hashes_64[at, :, 0], hashes_256[at], config)
    kept, distances = np.arange(len(measurements)), np.zeros((3, len(measurements)), np.int64)
    kept[units[at]] = units[at][stars.kept]
    distances[:, units[at]] = stars.distance_64, stars.distance_256, stars.symmetry
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


def _hashes(measurements: pa.Table, rows: Indices, name: str, words: int) -> Hashes:
    """uint64 [rows, 8 symmetries, words]."""
    stored = measurements[name].take(pa.array(rows, pa.int64())).to_pylist()
    return np.frombuffer(b"".join(stored), np.uint64).reshape(len(rows), len(SYMMETRIES), words)


def _stars(hashes_64: Hashes, hashes_256: Hashes, config: DuplicateConfig) -> _Copies:
    """Groups pictures, best first, each around the first that no earlier group has taken.

    Args:
        hashes_64: uint64 [pictures, 8].
        hashes_256: uint64 [pictures, 8, 4].
        config: The distances.
    """
    pictures = len(hashes_64)
    copies = _Copies(np.arange(pictures), *np.zeros((3, pictures), np.int64))
    first, second = _candidates(hashes_64, config)
    distances = _distances(hashes_64, hashes_256, first, second, len(SYMMETRIES) if config.symmetries else 1)
    limit = np.where(distances[2] == 0, config.max_hamming_distance, config.max_hamming_distance_turned)
    near = (distances[0] <= limit) & (distances[1] <= config.max_hamming_distance_256)
    first, second, distances = first[near], second[near], distances[:, near]
    for pair, (best, other) in enumerate(zip(first.tolist(), second.tolist())):
        if copies.kept[best] == best and copies.kept[other] == other:
            copies.kept[other] = best
            copies.distance_64[other], copies.distance_256[other], copies.symmetry[other] = distances[:, pair]
    return copies


def _candidates(hashes_64: Hashes, config: DuplicateConfig) -> tuple[Indices, Indices]:
    """Pairs, better picture first, of which one is near some flip or rotation of the other; sorted."""
    unique, inverse = np.unique(hashes_64[:, 0], return_inverse=True)
    order, ends = np.argsort(inverse, kind="stable"), np.cumsum(np.bincount(inverse, minlength=len(unique)))
    found = [np.zeros(0, np.int64)]
    for symmetry in range(len(SYMMETRIES) if config.symmetries else 1):
        limit = config.max_hamming_distance_turned if symmetry else config.max_hamming_distance
        query, near = pairs_within(hashes_64[:, symmetry], unique, limit)
        count = ends[near] - np.where(near, ends[near - 1], 0)
        query, start = np.repeat(query, count), np.repeat(ends[near] - count, count)
        other = order[start + np.arange(len(query)) - np.repeat(np.cumsum(count) - count, count)]
        pair = np.minimum(query, other) * len(hashes_64) + np.maximum(query, other)
        found.append(np.unique(pair[query != other]))
    pairs = np.unique(np.concatenate(found))
    return pairs // max(1, len(hashes_64)), pairs % max(1, len(hashes_64))


def _distances(hashes_64: Hashes, hashes_256: Hashes, first: Indices, second: Indices, symmetries: int) -> Indices:
    """Distances of each pair under the symmetry of the least 256-bit distance: int64 [3, pairs].

    Returns:
        64-bit distance, 256-bit distance, and the symmetry that turns the second picture into the first.
    """
    by_symmetry = np.stack(
        [
            np.bitwise_count(hashes_256[first, 0] ^ hashes_256[second, symmetry]).sum(axis=1, dtype=np.int64)
            for symmetry in range(symmetries)
        ]
    )
    symmetry = by_symmetry.argmin(axis=0)
    distance_256 = by_symmetry[symmetry, np.arange(len(first))]
    distance_64 = np.bitwise_count(hashes_64[first, 0] ^ hashes_64[second, symmetry]).astype(np.int64)
    return np.stack([distance_64, distance_256, symmetry])


def _reasons(measurements: pa.Table, rows: Indices, copies: _Copies) -> list[str]:
    listed = measurements.select(["path", "sha256", "width_px", "height_px", "size_bytes"]).to_pydict()
    return [_reason(listed, int(row), int(copies.kept[row]), copies) for row in rows]


def _reason(listed: dict[str, list[Any]], row: int, kept: int, copies: _Copies) -> str:
    if listed["sha256"][row] == listed["sha256"][kept]:
        return f"same bytes as {listed['path'][kept]}, whose path comes first"
    symmetry = SYMMETRIES[int(copies.symmetry[row])]
    turned = "" if symmetry == "identity" else f" after {symmetry.replace('_', ' ')}"
    alike = f"{int(copies.distance_256[row])} of 256 hash bits differ{turned}"
    return f"copy of {listed['path'][kept]} ({alike}), which has {_advantage(listed, row, kept)}"


def _advantage(listed: dict[str, list[Any]], row: int, kept: int) -> str:
    pixels = [listed["width_px"][at] * listed["height_px"][at] for at in (kept, row)]
    if pixels[0] != pixels[1]:
        return f"more pixels ({pixels[0]} to {pixels[1]})"
    sizes = [listed["size_bytes"][at] for at in (kept, row)]
    if sizes[0] != sizes[1]:
        return f"as many pixels and more bytes ({sizes[0]} to {sizes[1]})"
    return "as many pixels and bytes and the first path"
