import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data as photographs

from recolor.config import DuplicateConfig
from recolor.detect import duplicate
from recolor.detect.duplicate import detect_duplicate
from recolor.measure.hashes import apply_symmetry
from recolor.schemas import DUPLICATE, SYMMETRIES

DEFAULT = DuplicateConfig()


def found(table, config=DEFAULT):
    outliers = detect_duplicate(table, config)
    assert outliers.schema == DUPLICATE.arrow
    return {row["path"]: row for row in outliers.to_pylist()}


def hashed(sha, words_64, words_256, *, pixels=(100, 100), size=1, contrast=20.0):
    """A row with given hashes, the same under every symmetry but those of other bits."""
    return {
        "sha256": f"{sha:064x}",
        "phash_64": np.array(words_64, np.uint64).tobytes(),
        "phash_256": np.array(words_256, np.uint64).tobytes(),
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
    undone = np.ascontiguousarray(apply_symmetry(turned, copies["b.jpg"]["symmetry"]))
    assert (undone == photographs.coffee()).all()
    assert not found(measured({"a.jpg": photographs.coffee(), "b.jpg": turned}), DuplicateConfig(symmetries=False)) or (
        symmetry == "identity"
    )


def test_a_copy_turned_by_exif_is_found(measured, jpeg):
    exif = Image.Exif()
    exif[0x0112] = 6
    sideways = np.ascontiguousarray(np.rot90(photographs.coffee()))
    copies = found(measured({"a.jpg": photographs.coffee(), "b.jpg": jpeg(sideways, quality=70, exif=exif.tobytes())}))
    assert copies["b.jpg"]["symmetry"] == "identity"


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
    assert not found(numbers(rows))
    assert set(found(numbers(rows), DuplicateConfig(max_hamming_distance_256=49))) == {"b.jpg"}


@pytest.mark.parametrize("seed", range(3))
def test_groups_are_those_of_brute_force(numbers, seed):
    """Greedy stars, best copy first, over all pairs compared one by one."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(150):
        base = np.random.default_rng(number % 25).integers(0, 2**64, 40, dtype=np.uint64)
        flips = rng.random((40, 64)) < rng.choice([0, 0.03, 0.08])
        words = base ^ np.packbits(flips, axis=1).view(np.uint64)[:, 0]
        row = hashed(
            number, words[:8], words[8:], pixels=(int(rng.integers(50, 60)), 50), size=int(rng.integers(1, 99))
        )
        rows.append({"path": f"{number:03}.jpg", **row})
    expected, kept = {}, []
    for row in sorted(rows, key=lambda row: (-row["width_px"], -row["size_bytes"], row["path"])):
        star = next((best for best in kept if _near(best, row)), None)
        if star is None:
            kept.append(row)
        else:
            expected[row["path"]] = star["path"]
    copies = found(numbers(rows))
    assert {path: row["kept_path"] for path, row in copies.items()} == expected
    assert 20 < len(expected) < 130
    for row in copies.values():
        assert row["hamming_distance"] <= 10
        assert row["hamming_distance_256"] <= 48
        assert row["score"] < row["threshold"]


def _near(best, row):
    words = [np.frombuffer(each["phash_256"], np.uint64).reshape(8, 4) for each in (best, row)]
    distances = np.bitwise_count(words[0][0] ^ words[1]).sum(axis=1)
    symmetry = distances.argmin()
    own = [np.frombuffer(each["phash_64"], np.uint64) for each in (best, row)]
    return distances[symmetry] <= 48 and np.bitwise_count(own[0][0] ^ own[1][symmetry]) <= (6 if symmetry else 10)


def test_thousands_of_equal_hashes_are_one_comparison(numbers, monkeypatch):
    compared = []
    pairs_within = duplicate.pairs_within
    monkeypatch.setattr(duplicate, "pairs_within", lambda *rest: compared.append(len(rest[0])) or pairs_within(*rest))
    rows = [{"path": f"{number:05}.jpg", **hashed(number, [7] * 8, [7] * 32)} for number in range(5000)]
    assert len(found(numbers(rows))) == 4999
    assert max(compared) == 1


def test_images_that_were_not_decoded_are_no_copies(measured):
    assert not found(measured({"a.jpg": b"broken", "b.jpg": b"broken"}))
    assert not found(measured({"a.jpg": b""}))
