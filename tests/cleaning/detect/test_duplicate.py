import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data as photographs

from recolor.cleaning.detect import duplicate_groups as grouping
from recolor.cleaning.detect.duplicate import detect_duplicate
from recolor.cleaning.symmetries import apply_symmetry
from recolor.cleaning.windows import WINDOWS
from recolor.config.settings import DuplicateConfig
from recolor.manifests.schemas import DUPLICATE, SYMMETRIES

DEFAULT = DuplicateConfig()
NARROW = DuplicateConfig(max_hamming_distance=10, max_hamming_distance_256=48)


def found(table, config=DEFAULT):
    outliers = detect_duplicate(table, config)
    assert outliers.schema == DUPLICATE.arrow
    return {row["path"]: row for row in outliers.to_pylist()}


def hashed(sha, words_64, words_256, *, pixels=(100, 100), size=1, contrast=20.0):
    """A row with given hashes, under the 8 symmetries; the windows' are random."""
    return {
        "sha256": f"{sha:064x}",
        "phash_64": np.array(words_64, np.uint64).tobytes(),
        "phash_256": np.array(words_256, np.uint64).tobytes(),
        "phash_64_windows": np.random.default_rng([sha, 1]).integers(0, 2**64, len(WINDOWS), np.uint64).tobytes(),
        "width_px": pixels[0],
        "height_px": pixels[1],
        "size_bytes": size,
        "contrast": contrast,
    }


def test_the_same_bytes_are_found_and_the_first_path_kept(measured, jpeg):
    data = jpeg(photographs.coffee())
    copies = found(measured({"b.jpg": data, "a.jpg": data, "other.jpg": photographs.chelsea()}))
    assert set(copies) == {"b.jpg"}
    assert copies["b.jpg"]["kept_path"] == "a.jpg"
    assert copies["b.jpg"]["exact"]
    assert copies["b.jpg"]["score"] == 0
    assert "same bytes as a.jpg" in copies["b.jpg"]["reason"]


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_flips_and_rotations_are_found_and_named(measured, jpeg, symmetry):
    turned = np.ascontiguousarray(apply_symmetry(photographs.coffee(), symmetry))
    copies = found(measured({"a.jpg": photographs.coffee(), "b.jpg": jpeg(turned, quality=60)}))
    assert copies["b.jpg"]["kept_path"] == "a.jpg"
    undone = np.ascontiguousarray(apply_symmetry(turned, copies["b.jpg"]["relation"]))
    assert (undone == photographs.coffee()).all()
    assert not found(measured({"a.jpg": photographs.coffee(), "b.jpg": turned}), DuplicateConfig(symmetries=False)) or (
        symmetry == "identity"
    )


def test_a_copy_turned_by_exif_is_found(measured, jpeg):
    exif = Image.Exif()
    exif[0x0112] = 6
    sideways = np.ascontiguousarray(np.rot90(photographs.coffee()))
    copies = found(measured({"a.jpg": photographs.coffee(), "b.jpg": jpeg(sideways, quality=70, exif=exif.tobytes())}))
    assert copies["b.jpg"]["relation"] == "identity"


def test_the_largest_copy_is_kept_then_the_least_compressed(measured, jpeg):
    whole = photographs.coffee()
    small = cv2.resize(whole, (300, 200), interpolation=cv2.INTER_AREA)
    bright = np.clip(whole * 1.05, 0, 255).astype(np.uint8)
    table = measured(
        {
            "a.jpg": small,
            "b.jpg": jpeg(whole, quality=60),
            "c.jpg": jpeg(whole, quality=95),
            "d.jpg": jpeg(bright, quality=80),
        }
    )
    copies = found(table)
    assert set(copies) == {"a.jpg", "b.jpg", "d.jpg"}
    assert {row["kept_path"] for row in copies.values()} == {"c.jpg"}
    assert {row["group"] for row in copies.values()} == {table["sha256"][2].as_py()[:16]}
    assert "more pixels" in copies["a.jpg"]["reason"]
    assert "more bytes" in copies["b.jpg"]["reason"]


def test_different_pictures_are_not_copies(measured):
    pictures = {"a.jpg": photographs.coffee(), "b.jpg": photographs.chelsea(), "c.jpg": photographs.astronaut()}
    pictures |= {f"rocket {at}.jpg": photographs.rocket()[:, at : at + 200] for at in (0, 200, 400)}
    assert not found(measured(pictures))


def test_flat_pictures_are_copies_only_by_their_bytes(measured, jpeg):
    rng = np.random.default_rng(0)
    flat = {f"{number}.jpg": rng.integers(120, 124, (64, 64, 3), dtype=np.uint8) for number in range(6)}
    assert not found(measured(flat))
    assert set(found(measured(flat | {"9.jpg": jpeg(flat["0.jpg"])}))) == {"9.jpg"}


def test_a_chain_of_small_steps_is_not_one_group(numbers):
    """a-b and b-c are near, a-c is not: c stays, as it is no copy of what is kept."""
    steps = [0, (1 << 10) - 1, (1 << 20) - 1]
    rows = [
        {"path": f"{name}.jpg", **hashed(at, [step] * 8, [step, 0, 0, 0] * 8, size=9 - at)}
        for at, (name, step) in enumerate(zip("abc", steps))
    ]
    copies = found(numbers(rows))
    assert set(copies) == {"b.jpg"}
    assert copies["b.jpg"]["kept_path"] == "a.jpg"
    assert copies["b.jpg"]["hamming_distance"] == 10


def test_pairs_near_in_64_bits_but_not_in_256_are_not_copies(numbers):
    rows = [
        {"path": "a.jpg", **hashed(1, [5] * 8, [0, 0, 0, 0] * 8)},
        {"path": "b.jpg", **hashed(2, [5] * 8, [2**49 - 1, 0, 0, 0] * 8)},
    ]
    assert not found(numbers(rows), NARROW)
    assert set(found(numbers(rows), DuplicateConfig(max_hamming_distance_256=49))) == {"b.jpg"}


@pytest.mark.slow  # brute force, in many variants
@pytest.mark.parametrize("most_pairs", [1 << 20, 40], ids=["at once", "split"])
@pytest.mark.parametrize("light", ["known", "known of some", "unknown"])
@pytest.mark.parametrize("seed", range(3))
def test_groups_are_those_of_brute_force(numbers, monkeypatch, seed, light, most_pairs):
    """Greedy stars, best copy first, over all pairs compared one by one; also if there are too many to be listed."""
    monkeypatch.setattr(grouping, "_MAX_PAIRS", most_pairs)
    monkeypatch.setattr(grouping, "_MAX_PAIRS_PER_PICTURE", 0 if most_pairs == 40 else 32)
    rows = _lit(_clustered_rows(np.random.default_rng(seed)), light)
    expected = _greedy_stars(rows)
    copies = found(numbers(rows), NARROW)
    assert {path: row["kept_path"] for path, row in copies.items()} == {
        path: star["path"] for path, (star, _) in expected.items()
    }
    assert 50 < len(expected) < 260
    for path, (_, distances) in expected.items():
        row = copies[path]
        assert (row["hamming_distance"], row["hamming_distance_256"], row["relation"]) == distances
        assert row["score"] < row["threshold"]
    assert len({row["relation"] for row in copies.values()}) == 8


def _clustered_rows(rng):
    """300 pictures of 40 scenes: copies with few and with too many bits flipped, some of them turned."""
    rows = []
    for number in range(300):
        base = np.random.default_rng(number % 40).integers(0, 2**64, 40, dtype=np.uint64)
        flips = rng.random((40, 64)) < rng.choice([0, 0.03, 0.08])
        words = base ^ np.packbits(flips, axis=1).view(np.uint64)[:, 0]
        turn = rng.integers(0, 8) if rng.random() < 0.4 else 0
        words_64, words_256 = words[:8].copy(), words[8:].reshape(8, 4).copy()
        words_64[[0, turn]], words_256[[0, turn]] = words_64[[turn, 0]], words_256[[turn, 0]]
        row = hashed(number, words_64, words_256, pixels=(int(rng.integers(50, 60)), 50), size=int(rng.integers(1, 99)))
        rows.append({"path": f"{number:03}.jpg", **row})
    return rows


def _lit(rows, light):
    """Gives the pictures of a scene about its lightness, a little or too much more or less; equal ones the same."""
    for number, row in enumerate(rows):
        rng = np.random.default_rng(list(row["phash_64"][:8] + row["phash_256"][:32]))
        row["L_mean"] = 5.0 + 2 * (number % 40) + rng.choice([0.0, 3.9, -3.9, 7.9, 12.0, 25.0])
        if light == "unknown" or (light == "known of some" and rng.random() < 0.2):
            row["L_mean"] = None
    return rows


def _greedy_stars(rows):
    """Path -> the row kept instead of it, and how they differ."""
    taken, kept = {}, []
    for row in sorted(rows, key=lambda row: (-row["width_px"], -row["size_bytes"], row["path"])):
        near = ((best, _distances(best, row)) for best in kept)
        alike = (
            (best, distances) for best, distances in near if _is_near(distances) and _as_light(best, row, distances)
        )
        star = next(alike, None)
        if star is None:
            kept.append(row)
        else:
            taken[row["path"]] = star
    return taken


def _distances(best, row):
    words = [np.frombuffer(each["phash_256"], np.uint64).reshape(8, 4) for each in (best, row)]
    distances = np.bitwise_count(words[0][0] ^ words[1]).sum(axis=1)
    symmetry = int(distances.argmin())
    own = [np.frombuffer(each["phash_64"], np.uint64) for each in (best, row)]
    return int(np.bitwise_count(own[0][0] ^ own[1][symmetry])), int(distances[symmetry]), SYMMETRIES[symmetry]


def _is_near(distances):
    distance_64, distance_256, symmetry = distances
    return distance_256 <= 48 and distance_64 <= (10 if symmetry == "identity" else 6)


def _as_light(best, row, distances):
    """Upright copies may have been exposed anew."""
    lightness = (best["L_mean"], row["L_mean"])
    exposed = distances[2] == "identity" and distances[0] <= 8
    return None in lightness or abs(lightness[0] - lightness[1]) <= (20 if exposed else 8)


def test_crops_are_found_among_pictures_of_any_lightness(numbers):
    """300 pictures, dark to light, and a part of each, of which every third is too light to be one."""
    rng = np.random.default_rng(3)
    rows, expected = [], {}
    for number in range(300):
        words = rng.integers(0, 2**64, 40 + len(WINDOWS), dtype=np.uint64)
        whole = hashed(number, words[:8], words[8:40], size=9) | {"L_mean": float(rng.uniform(5, 90))}
        whole["phash_64_windows"] = words[40:].tobytes()
        part = hashed(number + 300, rng.integers(0, 2**64, 8, np.uint64), rng.integers(0, 2**64, 32, np.uint64))
        window = int(rng.integers(len(WINDOWS)))
        part["phash_64"] = words[40 + window].tobytes() + part["phash_64"][8:]
        part["L_mean"] = whole["L_mean"] + (8.1 if number % 3 == 0 else float(rng.uniform(-7.9, 7.9)))
        rows += [{"path": f"{number:03}.jpg", **whole}, {"path": f"{number:03} part.jpg", **part}]
        if number % 3:
            expected[f"{number:03} part.jpg"] = f"{number:03}.jpg"
    copies = found(numbers(sorted(rows, key=lambda row: row["path"])))
    assert {path: row["kept_path"] for path, row in copies.items()} == expected
    assert {row["relation"] for row in copies.values()} == {"crop"}


def test_a_lightness_out_of_range_in_a_manifest_does_not_keep_the_search_from_ending(numbers):
    rng = np.random.default_rng(4)
    words = rng.integers(0, 2**64, (300, 40), dtype=np.uint64)
    rows = [
        {
            "path": f"{at:03}.jpg",
            **hashed(at, words[at // 2, :8], words[at // 2, 8:]),
            "L_mean": float(20 * (at // 2) - 100),
        }
        for at in range(300)
    ]
    assert len(found(numbers(rows))) == 150


def test_thousands_of_equal_hashes_are_one_comparison(numbers, monkeypatch):
    compared = []
    for search in ("near_pairs", "pairs_within"):
        monkeypatch.setattr(grouping, search, lambda hashes, *_: compared.append(len(hashes)) or iter(()))
    rows = [{"path": f"{number:05}.jpg", **hashed(number, [7] * 8, [7] * 32)} for number in range(5000)]
    assert len(found(numbers(rows))) == 4999
    assert compared == [1, 1, 7, len(WINDOWS)]  # the picture, exposed anew, how it may be turned, its windows


def test_a_long_burst_is_grouped_without_listing_its_pairs(numbers, monkeypatch):
    """5,000 pictures that differ in a bit or two of one, which is the best: 12 million pairs, hardly any looked at."""
    looked = []
    confirm = grouping._confirm
    monkeypatch.setattr(grouping, "_confirm", lambda best, *rest: looked.append(len(best)) or confirm(best, *rest))
    monkeypatch.setattr(grouping, "_MAX_PAIRS", 1 << 16)
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2**64, 40, dtype=np.uint64)
    rows = []
    for number in range(5000):
        words = base ^ (np.uint64(1) << rng.integers(0, 64, 40).astype(np.uint64)) * np.uint64(number > 0)
        rows.append({"path": f"{number:05}.jpg", **hashed(number, words[:8], words[8:], size=9 - (number > 0))})
    copies = found(numbers(rows))
    assert len(copies) == 4999
    assert {row["kept_path"] for row in copies.values()} == {"00000.jpg"}
    assert sum(looked) < 1_500_000


def test_images_that_were_not_decoded_are_no_copies(measured):
    assert not found(measured({"a.jpg": b"broken", "b.jpg": b"broken"}))
    assert not found(measured({"a.jpg": b""}))


def cropped(picture, top, left, share):
    height, width = picture.shape[:2]
    rows, columns = round(height * (1 - share)), round(width * (1 - share))
    return np.ascontiguousarray(picture[round(top * share * height) :, round(left * share * width) :][:rows, :columns])


@pytest.mark.parametrize("share", [0.08, 0.1])
@pytest.mark.parametrize(("top", "left"), [(0, 0), (1, 0), (0.5, 0.5), (0.3, 0.9)])
def test_crops_are_found_and_named(measured, share, top, left):
    part = cropped(photographs.coffee(), top, left, share)
    copies = found(measured({"whole.jpg": photographs.coffee(), "part.jpg": part, "other.jpg": photographs.chelsea()}))
    assert set(copies) == {"part.jpg"}
    assert copies["part.jpg"]["kept_path"] == "whole.jpg"
    assert copies["part.jpg"]["score"] < 0.5


@pytest.mark.parametrize("kept", [0.9, 0.83, 0.75, 0.7])  # 16:9 to 16:10, 16:10 to 4:3, 16:9 to 4:3 and to 5:4
@pytest.mark.parametrize("place", [0.0, 0.23, 0.5, 0.85])
@pytest.mark.parametrize("axis", [0, 1])
def test_cuts_to_another_aspect_ratio_are_found_wherever_the_rest_lies(measured, kept, place, axis):
    whole = photographs.coffee()
    side = whole.shape[axis]
    start = round(place * (1 - kept) * side)
    part = np.ascontiguousarray(np.take(whole, range(start, start + round(kept * side)), axis))
    (copy,) = found(measured({"whole.jpg": whole, "part.jpg": part, "other.jpg": photographs.chelsea()})).values()
    assert (copy["path"], copy["kept_path"]) == ("part.jpg", "whole.jpg")


def test_a_crop_that_is_too_far_from_the_whole_is_a_part_of_it(measured):
    pictures = {"whole.jpg": photographs.coffee(), "part.jpg": cropped(photographs.coffee(), 1, 0, 0.1)}
    (part,) = found(measured(pictures)).values()
    assert part["relation"] == "crop"
    assert part["reason"].startswith("part of whole.jpg")
    assert not found(measured(pictures), DuplicateConfig(crops=False))


# (top, bottom, left, right) cut off from each of two parts, as shares.
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((0, 0, 0.15, 0), (0, 0, 0, 0.1)),
        ((0, 0.17, 0, 0), (0.2, 0, 0, 0)),
        ((0, 0, 0.1, 0.12), (0.08, 0.08, 0, 0)),
        ((0.17, 0, 0, 0), (0, 0, 0.25, 0)),
    ],
)
def test_two_parts_of_one_picture_are_copies(measured, one, other):
    picture = photographs.coffee()

    def part(top, bottom, left, right):
        height, width = picture.shape[:2]
        rows, columns = (round(top * height), height - round(bottom * height)), (left * width, width * (1 - right))
        return np.ascontiguousarray(picture[slice(*rows), round(columns[0]) : round(columns[1])])

    pictures = {"one.jpg": part(*one), "other.jpg": part(*other), "cat.jpg": photographs.chelsea()}
    (copy,) = found(measured(pictures)).values()
    assert {copy["path"], copy["kept_path"]} == {"one.jpg", "other.jpg"}
    assert copy["relation"] == "overlap"
    assert copy["reason"].startswith(f"overlaps {copy['kept_path']}, which has more pixels")
    assert not found(measured(pictures), DuplicateConfig(crops=False))


@pytest.mark.parametrize(("bits", "copies"), [(6, 1), (8, 0)])
def test_windows_of_both_pictures_may_differ_in_six_bits(numbers, bits, copies):
    right, left = (WINDOWS.round(2).tolist().index(window) for window in ([0.12, 1, 0, 1], [0, 0.88, 0, 1]))
    words = np.random.default_rng(6).integers(0, 2**64, (2, 40 + len(WINDOWS)), np.uint64)
    words[1, 40 + left] = words[0, 40 + right] ^ np.uint64(2**bits - 1)
    rows = [
        {"path": f"{at}.jpg", **hashed(at, some[:8], some[8:40]), "phash_64_windows": some[40:].tobytes()}
        for at, some in enumerate(words)
    ]
    assert [row["relation"] for row in found(numbers(rows)).values()] == ["overlap"] * copies


def test_copies_of_a_crop_are_copies_of_the_whole_or_stay_a_group(measured, jpeg):
    whole, part = photographs.coffee(), cropped(photographs.coffee(), 1, 0, 0.1)
    mirrored = np.ascontiguousarray(part[:, ::-1])
    copies = found(
        measured(
            {
                "whole.jpg": whole,
                "part.jpg": part,
                "part again.jpg": jpeg(part, quality=50),
                "mirrored 1.jpg": jpeg(mirrored, quality=60),
                "mirrored 2.jpg": jpeg(mirrored, quality=40),
            }
        )
    )
    assert {path: row["kept_path"] for path, row in copies.items()} == {
        "part.jpg": "whole.jpg",
        "part again.jpg": "whole.jpg",
        "mirrored 2.jpg": "mirrored 1.jpg",
    }
    assert copies["mirrored 2.jpg"]["relation"] == "identity"


def test_a_moon_and_a_sun_at_the_same_place_are_no_copies(measured):
    def disc(sky, colour, radius):
        picture = np.full((300, 300, 3), sky, np.uint8)
        return cv2.circle(picture, (140, 120), radius, colour, -1)

    moon, sun = disc((12, 22, 40), (240, 236, 220), 18), disc((60, 20, 12), (250, 120, 30), 20)
    config = DuplicateConfig(min_contrast=0.0)
    assert not found(measured({"moon.jpg": moon, "sun.jpg": sun}), config)
    assert found(measured({"moon.jpg": moon, "again.jpg": disc((12, 22, 40), (240, 236, 220), 20)}), config)


def test_flat_pictures_with_the_same_pixels_are_copies(measured, jpeg):
    flat = np.full((64, 64, 3), (120, 122, 119), np.uint8)
    pictures = {"a.jpg": jpeg(flat, quality=95), "b.jpg": jpeg(flat, quality=70), "c.jpg": jpeg(flat, quality=40)}
    copies = found(measured(pictures | {"other.jpg": np.full((64, 64, 3), (120, 132, 119), np.uint8)}))
    assert {path: row["kept_path"] for path, row in copies.items()} == {"b.jpg": "a.jpg", "c.jpg": "a.jpg"}


EDITS = {
    "exposed": lambda rgb: np.clip(rgb * 1.25, 0, 255),
    "gamma": lambda rgb: 255 * (rgb / 255) ** 0.7,
    "warm": lambda rgb: np.clip(rgb * np.array([1.15, 1.0, 0.8]), 0, 255),
    "framed": lambda rgb: np.pad(rgb, ((20, 20), (20, 20), (0, 0)), constant_values=255),
    "letterbox": lambda rgb: np.pad(rgb, ((40, 40), (0, 0), (0, 0))),
    "15% cut from the right": lambda rgb: rgb[:, : rgb.shape[1] * 85 // 100],
    "12% cut from the top": lambda rgb: rgb[rgb.shape[0] * 12 // 100 :],
    "10% cut all around": lambda rgb: rgb[40:-40, 60:-60],
    "4:3 cut from 3:2": lambda rgb: rgb[:, 33:-33],
}


@pytest.mark.parametrize("edit", EDITS)
def test_edited_copies_are_found(measured, edit):
    copy = np.ascontiguousarray(EDITS[edit](photographs.coffee())).astype(np.uint8)
    copies = found(measured({"a.jpg": photographs.coffee(), "b.jpg": copy, "other.jpg": photographs.chelsea()}))
    assert len(copies) == 1
    assert "other.jpg" not in copies


def test_the_original_is_kept_instead_of_its_enlargement_and_the_reason_says_so(measured):
    original = cv2.resize(photographs.coffee(), (300, 200), interpolation=cv2.INTER_AREA)
    enlarged = cv2.resize(original, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    copies = found(measured({"a.jpg": enlarged, "b.jpg": original}))
    assert set(copies) == {"a.jpg"}
    assert "which has more detail: this one is an enlargement" in copies["a.jpg"]["reason"]


def test_the_copy_without_a_frame_is_kept_and_the_reason_says_so(measured):
    framed = np.pad(photographs.coffee(), ((20, 20), (20, 20), (0, 0)), constant_values=255)
    copies = found(measured({"a.jpg": framed, "b.jpg": photographs.coffee()}))
    assert set(copies) == {"a.jpg"}
    assert "no frame" in copies["a.jpg"]["reason"]


def test_a_crop_with_more_pixels_is_kept_instead_of_the_whole(measured):
    whole = photographs.coffee()
    small = cv2.resize(whole, (300, 200), interpolation=cv2.INTER_AREA)
    copies = found(measured({"part.jpg": np.ascontiguousarray(whole[40:-40, 60:-60]), "whole.jpg": small}))
    assert copies["whole.jpg"]["kept_path"] == "part.jpg"
    assert copies["whole.jpg"]["relation"] == "whole"
    assert copies["whole.jpg"]["reason"].startswith("shows more of part.jpg")
