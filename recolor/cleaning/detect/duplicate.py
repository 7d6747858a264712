"""The detector of duplicates: equal bytes, flips and rotations, crops.

Copies need not be equal: scaled, recompressed, framed, graded or cut images are found too. Hashes give the candidates;
thumbnails laid over each other confirm them. See `recolor.cleaning.detect.duplicate_groups`.
"""

import binascii
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recolor.cleaning.detect import enlargements, flat, real_detail
from recolor.cleaning.detect.detector import Detector
from recolor.cleaning.detect.duplicate_groups import Copies, Pictures, group_copies
from recolor.cleaning.detect.enlargements import Photographs, without_enlargements
from recolor.cleaning.detect.hamming import Hashes, Indices
from recolor.cleaning.detect.outlier_table import THRESHOLD, column, outlier_table
from recolor.color.arrays import Floats
from recolor.config.settings import DuplicateConfig
from recolor.manifests.schemas import DUPLICATE, RELATIONS, SYMMETRIES, THUMBNAIL_PX

_COLOURS = ("L_mean", "contrast", "a_mean", "b_mean", "chroma_mean")
_FACTS = ("path", "sha256", "width_px", "height_px", "size_bytes", "frame_share")
_HASHES = ("phash_64", "phash_256", "phash_64_windows", "thumbnail")
_REAL_PIXELS = "real_pixels"
_PIXELS_BITS, _SIZE_BITS = 28, 34  # of the number that images are ranked by: up to 268 million pixels, 17 GB
_MEASURED = (*_FACTS, *_COLOURS, *flat.COLUMNS, *real_detail.COLUMNS, *enlargements.COLUMNS, *_HASHES)
COLUMNS = tuple(dict.fromkeys(_MEASURED))
_PARTS = {"crop": "part of", "whole": "shows more of", "overlap": "overlaps"}  # relation -> how reasons say it
_RESIZED = len(SYMMETRIES)  # relations below are copies of the whole picture


def detect_duplicate(measurements: pa.Table, config: DuplicateConfig) -> pa.Table:
    """Lists copies of other images; the best copy of each group is not listed.

    The best copy has the most pixels that hold detail, then the most bytes (the least compressed), then the first path.

    Args:
        measurements: A table of `schemas.MEASUREMENTS`.
        config: Maximum distances, the least similarity, the least contrast of images that are compared by hash, and
            whether flips, rotations and crops count as copies.

    Returns:
        A table of `schemas.DUPLICATE`.
    """
    real_pixels = _real_pixels(measurements)
    copies = _find_copies(measurements, _rank(measurements, real_pixels), config)
    rows = np.flatnonzero(copies.kept != np.arange(len(measurements)))
    best = measurements.select(["path", "sha256"]).take(pa.array(copies.kept[rows], pa.int64()))
    numbers = {
        "group": pa.array([sha[:16] for sha in best["sha256"].to_pylist()], pa.string()),
        "kept_path": best["path"],
        "exact": pc.equal(measurements["sha256"].take(pa.array(rows, pa.int64())), best["sha256"]),
        "hamming_distance": pa.array(copies.distance_64[rows], pa.int32()),
        "hamming_distance_256": pa.array(copies.distance_256[rows], pa.int32()),
        "similarity": pa.array(copies.similarity[rows], pa.float64()),
        "relation": pa.array([RELATIONS[relation] for relation in copies.relation[rows]], pa.string()),
    }
    score = score_of(copies.similarity[rows], config.min_similarity)
    reasons = _reasons(measurements, rows, copies, real_pixels)
    paths = measurements.select(["path"])
    return outlier_table(
        DUPLICATE, paths, rows=rows, score=score, threshold=THRESHOLD, reasons=reasons, numbers=numbers
    )


def score_of(similarity: Floats, min_similarity: float) -> Floats:
    """Returns the scores of similarities: 0 at 1, below 0.5 down to the minimum."""
    score: Floats = np.clip((1.0 - similarity) / (2.0 * (1.0 - min_similarity) + 1e-6), 0.0, 1.0)
    return score


def compact_measurements(measurements: pa.Table, config: DuplicateConfig) -> pa.Table:
    """Drops the hashes of flips and rotations, 280 bytes per image, if these are not compared.

    Adds the column `real_pixels`, which `judge_enlargements` corrects.
    """
    if not config.symmetries:
        for name, plain_bytes in (("phash_64", 8), ("phash_256", 32)):
            plain = pc.binary_slice(measurements[name], 0, plain_bytes).cast(pa.binary(plain_bytes))
            measurements = measurements.set_column(measurements.column_names.index(name), name, plain)
    return measurements.append_column(_REAL_PIXELS, pa.array(real_detail.real_pixels(measurements)))


def judge_enlargements(measurements: pa.Table, config: DuplicateConfig, photographs: Photographs) -> pa.Table:
    """Corrects the number of pixels that hold detail by opening copies that come in several sizes.

    Args:
        measurements: From `compact_measurements`.
        config: As of `detect_duplicate`.
        photographs: The measured files.
    """
    real_pixels = _real_pixels(measurements)
    copies = _find_copies(measurements, _rank(measurements, real_pixels), config)
    corrected = without_enlargements(measurements, real_pixels, _resized(copies), photographs)
    return measurements.set_column(
        measurements.column_names.index(_REAL_PIXELS), _REAL_PIXELS, pa.array(corrected, from_pandas=True)
    )


def _resized(copies: Copies) -> list[Indices]:
    """Returns the rows of each picture with copies, the best copy and those that show as much of it."""
    rows = np.flatnonzero((copies.kept != np.arange(len(copies.kept))) & (copies.relation < _RESIZED))
    rows = rows[np.argsort(copies.kept[rows], kind="stable")]
    best, first = np.unique(copies.kept[rows], return_index=True)
    return (
        [np.append(row, some) for row, some in zip(best, np.split(rows, first[1:]), strict=True)] if len(rows) else []
    )


def _real_pixels(measurements: pa.Table) -> Floats:
    if _REAL_PIXELS in measurements.column_names:
        return column(measurements, _REAL_PIXELS)
    return real_detail.real_pixels(measurements)


def columns(config: DuplicateConfig) -> tuple[str, ...]:
    """Returns the columns of the measurements that are read with these settings."""
    return COLUMNS if config.crops else tuple(name for name in COLUMNS if not name.endswith("_windows"))


def _find_copies(measurements: pa.Table, ranked: Indices, config: DuplicateConfig) -> Copies:
    """Groups images by equal bytes, then flat ones by colour, the others by equal hashes, then near hashes.

    Each step keeps the best of each group.
    """
    same, kept = np.arange(len(measurements)), np.arange(len(measurements))
    units = _collapse(same, ranked, _digests(measurements, ranked))
    contrast = column(measurements, "contrast")[units]
    flats, units = units[contrast < config.min_contrast], units[contrast >= config.min_contrast]
    flats = _collapse(same, flats, flat.keys(measurements, flats, _hashes(measurements, flats, "thumbnail", 1)[..., 0]))
    kept[flats] = flats[flat.flat_groups(measurements, flats, _thumbnails(measurements, flats))]
    whole = [_hashes(measurements, units, name, words)[:, 0] for name, words in (("phash_64", 1), ("phash_256", 4))]
    units = _collapse(same, units, np.concatenate(whole, axis=1))
    groups = group_copies(
        Pictures(
            _hashes(measurements, units, "phash_64", 1)[..., 0],
            _hashes(measurements, units, "phash_256", 4),
            _hashes(measurements, units, "phash_64_windows", 1)[..., 0],
            _thumbnails(measurements, units),
            np.stack([column(measurements, name)[units] for name in _COLOURS], axis=1),
            (column(measurements, "width_px") / column(measurements, "height_px"))[units],
            config,
        )
    )
    kept[units] = units[groups.kept]
    distance_64, distance_256, relation = np.zeros((3, len(measurements)), np.int64)
    similarity = np.ones(len(measurements))
    distance_64[units], distance_256[units] = groups.distance_64, groups.distance_256
    relation[units], similarity[units] = groups.relation, groups.similarity
    return Copies(kept[same], distance_64[same], distance_256[same], relation[same], similarity[same])


def _rank(measurements: pa.Table, pixels: Floats) -> Indices:
    """Returns the rows of the decoded images, best copy first: int64 [decoded]."""
    size_bytes = column(measurements, "size_bytes")
    decoded = np.flatnonzero(~np.isnan(pixels))
    fewer_pixels = np.uint64(1 << _PIXELS_BITS) - pixels[decoded].astype(np.uint64)
    fewer_bytes = np.uint64(1 << _SIZE_BITS) - np.minimum(size_bytes[decoded], 2**_SIZE_BITS).astype(np.uint64)
    worse = fewer_pixels << np.uint64(_SIZE_BITS + 1) | fewer_bytes
    order: Indices = decoded[np.argsort(worse, kind="stable")]  # the table is sorted by path
    return order


def _digests(measurements: pa.Table, rows: Indices) -> Hashes:
    """Returns the SHA-256 of rows that all have one: uint64 [rows, 4 words]."""
    digits = [chunk.fill_null("0" * 64) for chunk in measurements["sha256"].chunks]
    words = [np.frombuffer(binascii.unhexlify(_characters(some)), np.uint64) for some in digits if len(some)]
    return np.concatenate([np.zeros(0, np.uint64), *words]).reshape(-1, 4)[rows]


def _characters(strings: pa.Array) -> memoryview:
    """Returns the concatenated characters of an array of strings, without copying."""
    _, offsets, characters = strings.buffers()
    starts = np.frombuffer(offsets, np.int32)[strings.offset : strings.offset + len(strings) + 1]
    return memoryview(characters)[int(starts[0]) : int(starts[-1])]


def _collapse(same: Indices, rows: Indices, keys: NDArray[Any]) -> Indices:
    """Points rows with equal keys [rows, words] to the first of them, in `same`.

    Returns these first rows in order.
    """
    words = np.sort(keys[:, 0])  # the first word alone tells most rows apart
    repeated = pa.array(words[1:][words[1:] == words[:-1]])
    alike = pc.is_in(pa.array(keys[:, 0]), value_set=repeated).to_numpy(zero_copy_only=False)
    others = rows[alike]
    if not len(others):
        return rows
    _, first, inverse = np.unique(keys[alike], axis=0, return_index=True, return_inverse=True)
    leader = np.arange(len(same))
    leader[others] = others[first[inverse.reshape(-1)]]
    same[:] = leader[same]
    firsts: Indices = rows[leader[rows] == rows]
    return firsts


def _hashes(measurements: pa.Table, rows: Indices, name: str, words: int) -> Hashes:
    """Returns the stored hashes of these rows.

    Returns:
        uint64 [rows, hashes per image, words]; 0 hashes without the column.
    """
    if name not in measurements.column_names:
        return np.empty((len(rows), 0, words), np.uint64)
    stored = measurements[name].combine_chunks().take(pa.array(rows, pa.int64()))
    each = stored.type.byte_width // (8 * words)
    return np.frombuffer(stored.buffers()[1], np.uint64)[: len(rows) * each * words].reshape(len(rows), each, words)


def _thumbnails(measurements: pa.Table, rows: Indices) -> NDArray[np.uint8]:
    """Returns the stored thumbnails of these rows: uint8 [rows, 24, 24]."""
    words = _hashes(measurements, rows, "thumbnail", 1)
    return words.view(np.uint8).reshape(len(rows), THUMBNAIL_PX, THUMBNAIL_PX)


def _reasons(measurements: pa.Table, rows: Indices, copies: Copies, real_pixels: Floats) -> list[str]:
    both = pa.array(np.concatenate([rows, copies.kept[rows]]))
    facts = measurements.select(_FACTS).take(both).to_pylist()
    for fact, real in zip(facts, real_pixels[np.concatenate([rows, copies.kept[rows]])].tolist(), strict=True):
        fact["real_pixels"] = real
    return [_reason(facts[at], facts[at + len(rows)], int(row), copies) for at, row in enumerate(rows)]


def _reason(copy: dict[str, Any], kept: dict[str, Any], row: int, copies: Copies) -> str:
    if copy["sha256"] == kept["sha256"]:
        return f"same bytes as {kept['path']}, whose path comes first"
    relation = RELATIONS[int(copies.relation[row])]
    if relation in _PARTS:
        alike = f"details correlate by {copies.similarity[row]:.2f} where they overlap"
        what = _PARTS[relation]
        return f"{what} {kept['path']}, which has {_advantage(kept, copy)}; {alike}"
    kind, turned = ("copy", "") if relation == "identity" else ("turned or mirrored copy", f" after {relation}")
    alike = f"{int(copies.distance_256[row])} of 256 hash bits differ{turned.replace('_', ' ')}"
    return f"{kind} of {kept['path']}, which has {_advantage(kept, copy)}; {alike}"


def _advantage(kept: dict[str, Any], copy: dict[str, Any]) -> str:
    pixels = [facts["width_px"] * facts["height_px"] for facts in (kept, copy)]
    if kept["real_pixels"] > copy["real_pixels"] and pixels[0] <= pixels[1]:
        framed = (copy["frame_share"] or 0.0) > (kept["frame_share"] or 0.0)
        return "no frame: this one has one" if framed else "more detail: this one is an enlargement"
    if pixels[0] > pixels[1]:
        return f"more pixels ({pixels[0]:,} to {pixels[1]:,})"
    sizes = [facts["size_bytes"] for facts in (kept, copy)]
    if sizes[0] != sizes[1]:
        return f"as many pixels and more bytes ({sizes[0]:,} to {sizes[1]:,})"
    return "as many pixels and bytes and the first path"


DUPLICATE_DETECTOR = Detector(
    schema=DUPLICATE,
    settings=lambda config: config.duplicate,
    columns=columns,
    detect=detect_duplicate,
    compact=compact_measurements,
    look_again=judge_enlargements,
)
