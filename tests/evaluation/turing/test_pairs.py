import io

import numpy as np
import pytest
from PIL import Image
from skimage import data
from skimage.color import rgb2lab

from recolor.evaluation.turing.pairs import Photograph, make_pairs, rejoined


def opened(jpeg):
    return Image.open(io.BytesIO(jpeg))


def pixels(jpeg):
    with opened(jpeg) as picture:
        return np.asarray(picture)


def photograph(path, **options):
    return Photograph(path, path.name, **options)


def only_pair(path, colorizer, size_px=384):
    (pair,), skipped = make_pairs([photograph(path)], colorizer, 1, size_px)
    assert skipped == ()
    return pair


def test_only_colour_tells_the_two_pictures_apart(photos, colorizer):
    pair = only_pair(photos / "1.png", colorizer)
    real, coloured = (rgb2lab(pixels(jpeg)) for jpeg in (pair.photograph, pair.coloured))
    assert np.abs(real - coloured)[..., 0].mean() < 0.5
    assert np.linalg.norm((real - coloured)[..., 1:], axis=2).mean() > 5


def test_both_are_encoded_alike_and_without_metadata(photos, colorizer, tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "this is the real one"
    Image.open(photos / "1.png").save(tmp_path / "1.jpg", exif=exif, comment=b"real", dpi=(300, 300))
    pair = only_pair(tmp_path / "1.jpg", colorizer)
    with opened(pair.photograph) as real, opened(pair.coloured) as coloured:
        assert real.quantization == coloured.quantization
        assert real.layer == coloured.layer  # subsampling
        assert real.info == coloured.info
        assert set(real.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    for jpeg in (pair.photograph, pair.coloured):
        assert b"Exif" not in jpeg
        assert b"real" not in jpeg


def test_the_photograph_goes_through_lab_and_back_unharmed():
    rgb = data.astronaut()[::2, ::2]
    assert np.abs(rejoined(rgb).astype(int) - rgb).max() <= 1
    assert (rejoined(rgb) == rgb).mean() > 0.98


def test_large_photographs_are_shrunk_to_the_long_side_and_small_ones_stay(photos, colorizer, tmp_path):
    Image.fromarray(data.rocket()).save(tmp_path / "large.png")
    assert pixels(only_pair(tmp_path / "large.png", colorizer, 200).photograph).shape == (133, 200, 3)
    assert pixels(only_pair(photos / "1.png", colorizer, 384).coloured).shape == (120, 160, 3)


def test_the_model_sees_the_picture_that_is_shown(photos, colorizer, monkeypatch):
    seen = []
    monkeypatch.setattr(colorizer, "colorize_rgb", lambda rgb: seen.append(rgb) or rgb)
    pair = only_pair(photos / "1.png", colorizer, 100)
    assert [rgb.shape for rgb in seen] == [(75, 100, 3)]
    assert np.abs(pixels(pair.coloured).astype(int) - seen[0]).mean() < 2


@pytest.mark.parametrize("as_colour", [False, True])
def test_greyscale_photographs_are_named_and_passed_over(photos, colorizer, tmp_path, as_colour):
    grey = Image.fromarray(data.camera()).convert("RGB" if as_colour else "L")
    grey.save(tmp_path / "grey.jpg", quality=80)
    tried = [photograph(tmp_path / "grey.jpg"), photograph(photos / "1.png")]
    (pair,), (skipped,) = make_pairs(tried, colorizer, 1, 384)
    assert pair.name == "1.png"
    assert skipped.name == "grey.jpg"
    assert "no colour" in skipped.why


def test_photographs_that_cannot_be_read_are_named_and_the_next_ones_taken(photos, colorizer, tmp_path):
    whole = (photos / "1.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.jpg").touch()
    bad = [photograph(tmp_path / name) for name in ("cut.png", "empty.jpg", "gone.jpg")]
    good = [photograph(photos / f"{number}.png") for number in range(5)]
    pairs, skipped = make_pairs([*bad, *good], colorizer, 3, 384)
    assert [pair.name for pair in pairs] == ["0.png", "1.png", "2.png"]
    assert {item.name: item.why.partition(":")[0] for item in skipped} == {
        "cut.png": "truncated",
        "empty.jpg": "empty",
        "gone.jpg": "unreadable",
    }
