import numpy as np
import pytest
from PIL import Image
from skimage import data
from skimage.color import rgb2lab

from recolor.colorize import Colorizer
from recolor.colorize.colorizer import model_size
from recolor.errors import ImageError, MissingStageError, WeightsError
from recolor.lab import lab_to_rgb, rgb_to_lab


@pytest.fixture(scope="module")
def photograph():
    return Image.fromarray(data.coffee())


def test_a_picture_comes_back_whole_and_coloured(colorizer, photograph):
    coloured = colorizer(photograph)
    assert coloured.size == photograph.size
    assert coloured.mode == "RGB"
    assert np.abs(rgb2lab(coloured)[..., 1:]).mean() > 1


def test_lightness_stays_where_the_colour_is_in_gamut(colorizer):
    """Against the result before clipping: an in-gamut pixel's lightness is the photograph's to 8-bit rounding."""
    rgb = data.coffee()[:200, :300]
    lab = rgb_to_lab(colorizer.colorize_rgb(rgb))
    truth = rgb_to_lab(rgb)[..., 0]
    inside = np.abs(rgb_to_lab(lab_to_rgb(lab))[..., 0] - lab[..., 0]) < 0.01
    free = inside & (colorizer.colorize_rgb(rgb).min(axis=2) > 0) & (colorizer.colorize_rgb(rgb).max(axis=2) < 255)
    assert free.mean() > 0.2
    assert np.abs(lab[..., 0] - truth)[free].max() < 0.6


def test_colour_of_the_input_has_no_influence(colorizer):
    rgb = data.coffee()[:240, :260]
    grey = lab_to_rgb(rgb_to_lab(rgb) * np.array([1, 0, 0], np.float32))
    coloured, from_grey = (rgb_to_lab(colorizer.colorize_rgb(image)) for image in (rgb, grey))
    assert np.linalg.norm(coloured - from_grey, axis=2).mean() < 1.5


@pytest.mark.parametrize("factor", [2, 3])
def test_the_same_photograph_gets_the_same_colours_at_another_size(colorizer, factor):
    small = Image.fromarray(data.chelsea()[:256, :320])
    large = small.resize((320 * factor, 256 * factor), Image.Resampling.BICUBIC)
    ab, ab_large = (rgb2lab(colorizer(picture).resize((80, 64)))[..., 1:] for picture in (small, large))
    assert np.linalg.norm(ab - ab_large, axis=2).mean() < 2


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "HSV"])
def test_every_mode_is_coloured(colorizer, mode):
    grey = Image.fromarray(data.camera()[::4, ::4])
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    else:
        picture = grey.convert("RGB").convert(mode) if mode in {"P", "CMYK", "YCbCr", "HSV"} else grey.convert(mode)
    coloured = colorizer(picture)
    assert coloured.mode == "RGB"
    assert coloured.size == (128, 128)


def test_sixteen_bits_look_like_eight(colorizer):
    grey = data.camera()[::4, ::4]
    deep = colorizer(Image.fromarray(grey.astype(np.uint16) * 257))
    assert np.array_equal(np.asarray(deep), np.asarray(colorizer(Image.fromarray(grey))))


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_orientation_is_applied_once(colorizer, photograph, tmp_path, suffix):
    """6: the stored picture is to be turned by 90 degrees clockwise (CIPA DC-008).

    The TIFF is compressed: Pillow 13 does not turn uncompressed ones that it maps into memory.
    """
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = photograph.crop((150, 100, 270, 180)).convert("L")
    stored.save(
        tmp_path / f"turned.{suffix}",
        exif=exif,
        **({"compression": "tiff_lzw"} if suffix == "tif" else {"quality": 98}),
    )
    upright = rgb_to_lab(np.repeat(np.rot90(np.asarray(stored), -1)[..., None], 3, axis=2))[..., 0]
    with Image.open(tmp_path / f"turned.{suffix}") as picture:
        coloured = colorizer(picture)
    assert coloured.size == (80, 120)
    assert np.corrcoef(rgb_to_lab(np.asarray(coloured))[..., 0].ravel(), upright.ravel())[0, 1] > 0.99


def test_a_picture_that_is_cut_off_gives_its_reason(colorizer, photograph, tmp_path):
    photograph.save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with Image.open(tmp_path / "cut.png") as picture, pytest.raises(ImageError, match="truncated"):
        colorizer(picture)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (700, 2), (9, 13), (257, 255)])
def test_any_size_comes_back_at_its_size(colorizer, size):
    random = np.random.default_rng(5).integers(0, 256, (size[1], size[0]), dtype=np.uint8)
    assert colorizer(Image.fromarray(random)).size == size


@pytest.mark.parametrize("size", [(1, 1), (256, 256), (1024, 768), (4096, 4096), (333, 517), (20000, 50), (1, 9999)])
def test_models_see_multiples_of_eight_at_the_trained_scale(size):
    width, height = model_size(*size, 256)
    assert width % 8 == height % 8 == 0
    assert 32 <= min(width, height) <= 256
    assert max(width, height) <= 1024
    if max(size) <= 4 * min(size):
        assert min(width, height) == 256
        assert width / height == pytest.approx(size[0] / size[1], rel=0.02)


@pytest.mark.parametrize("name", ["generator", "refiner"])
def test_a_missing_model_names_the_stage_to_run(models, tmp_path, name):
    other = "refiner" if name == "generator" else "generator"
    (tmp_path / other).symlink_to(models / other)
    with pytest.raises(MissingStageError, match=rf"recolor train {name}.*--model"):
        Colorizer.from_folder(tmp_path, "cpu")


def test_damaged_weights_are_refused(models, tmp_path):
    for name in ("generator", "refiner"):
        (tmp_path / name).mkdir()
        for file in (models / name).iterdir():
            (tmp_path / name / file.name).write_bytes(file.read_bytes()[:1000])
    with pytest.raises(WeightsError):
        Colorizer.from_folder(tmp_path, "cpu")


def test_colour_is_predicted_at_the_size_that_the_model_was_trained_at():
    assert model_size(4000, 3000, 128) == (168, 128)
    assert model_size(4000, 3000, 256) == (344, 256)
