import itertools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data
from skimage.color import deltaE_ciede2000, rgb2lab

from recolor.color.gamut import grey_of, lightness_of
from recolor.color.lab import lab_to_rgb, rgb_to_lab
from recolor.colorize import Colorizer, Look
from recolor.colorize.colorizer import model_size
from recolor.errors import ImageError, MissingStageError, WeightsError
from recolor.shards.rows import to_square


@pytest.fixture(scope="module")
def photograph():
    return Image.fromarray(data.coffee())


def test_a_picture_comes_back_whole_and_coloured(colorizer, photograph):
    coloured = colorizer(photograph)
    assert coloured.size == photograph.size
    assert coloured.mode == "RGB"
    assert np.abs(rgb2lab(coloured)[..., 1:]).mean() > 1


@pytest.mark.parametrize("grey", [True, False])
def test_the_grey_of_every_pixel_is_the_photographs(colorizer, grey):
    """In or out of gamut: colour is reduced, lightness is kept."""
    rgb = data.coffee()[:200, :300]
    rgb = np.repeat(rgb[..., 1:2], 3, axis=2) if grey else rgb
    before, after = (255 * grey_of(lightness_of(image)) for image in (rgb, colorizer.colorize_rgb(rgb)))
    clear = np.abs(before % 1 - 0.5) > 1e-3
    assert np.array_equal(np.rint(before)[clear], np.rint(after)[clear])
    assert clear.mean() > 0.99


def test_colour_of_the_input_has_no_influence(colorizer):
    rgb = data.coffee()[:240, :260]
    grey = lab_to_rgb(rgb_to_lab(rgb) * np.array([1, 0, 0], np.float32))
    coloured, from_grey = (rgb_to_lab(colorizer.colorize_rgb(image)) for image in (rgb, grey))
    assert np.linalg.norm(coloured - from_grey, axis=2).mean() < 1.5


@pytest.mark.parametrize("largest_px", [1024, pytest.param(4096, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["chelsea", "astronaut"])
def test_the_same_photograph_gets_the_same_colours_at_every_size(colorizer, name, largest_px):
    """256, 512 and more pixels on the short side, compared at 256."""
    rgb = getattr(data, name)()
    height_px, width_px = rgb.shape[:2]
    seen = []
    for px in (256, 512, largest_px):
        scale = px / min(height_px, width_px)
        filter_kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        coloured = colorizer.colorize_rgb(cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=filter_kind))
        size = (round(width_px * 256 / min(height_px, width_px)), round(height_px * 256 / min(height_px, width_px)))
        seen.append(rgb2lab(cv2.resize(coloured, size, interpolation=cv2.INTER_AREA)))
    assert np.linalg.norm(seen[0][..., 1:], axis=2).mean() > 5
    for first, second in itertools.combinations(seen, 2):
        assert deltaE_ciede2000(first, second).mean() < 2


@pytest.mark.parametrize("factor", [4, 11])
def test_the_models_see_the_same_at_every_size(colorizer, factor):
    """L as in a shard: sRGB values are reduced by area, not L."""
    small = np.repeat(data.camera()[::4, ::4, None], 3, axis=2)
    large = np.repeat(np.repeat(small, factor, axis=0), factor, axis=1)
    L = colorizer.at_model_size(lightness_of(large))
    assert np.abs(L - lightness_of(small)).max() < 1e-2
    stripes = np.zeros((1024, 1024, 3), np.uint8)
    stripes[:, ::2] = 255
    stored = to_square(stripes, 128)
    assert np.abs(colorizer.at_model_size(lightness_of(stripes)) - lightness_of(stored)).max() < 0.25


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "HSV"])
def test_every_mode_is_coloured(colorizer, mode):
    grey = Image.fromarray(data.camera()[::4, ::4])
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    else:
        picture = grey.convert("RGB").convert(mode) if mode in {"P", "CMYK", "YCbCr", "HSV"} else grey.convert(mode)
    coloured = colorizer(picture)
    assert coloured.mode == ("RGBA" if mode in {"LA", "RGBA"} else "RGB")
    assert coloured.size == (128, 128)


def test_sixteen_bits_look_like_eight(colorizer):
    grey = data.camera()[::4, ::4]
    deep = colorizer(Image.fromarray(grey.astype(np.uint16) * 257))
    assert np.array_equal(np.asarray(deep), np.asarray(colorizer(Image.fromarray(grey))))


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_orientation_is_applied_once(colorizer, photograph, tmp_path, suffix):
    """Orientation 6: the stored picture must be rotated by 90 degrees clockwise (CIPA DC-008).

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


def test_alpha_is_kept_and_colours_are_not_laid_on_white(colorizer, photograph):
    alpha = Image.linear_gradient("L").resize(photograph.size)
    opaque = colorizer(photograph)
    photograph = photograph.copy()
    photograph.putalpha(alpha)
    coloured = colorizer(photograph)
    assert coloured.mode == "RGBA"
    assert np.array_equal(np.asarray(coloured.getchannel("A")), np.asarray(alpha))
    assert np.array_equal(np.asarray(coloured.convert("RGB")), np.asarray(opaque))


def test_alpha_of_a_palette_is_kept(colorizer):
    grey = Image.fromarray(data.camera()[::8, ::8]).convert("P")
    grey.info["transparency"] = 0
    coloured = colorizer(grey)
    assert np.array_equal(np.asarray(coloured.getchannel("A")) == 0, np.asarray(grey) == 0)


def test_alpha_is_turned_with_its_picture(colorizer, photograph, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = photograph.crop((0, 0, 120, 80))
    stored.putalpha(Image.linear_gradient("L").resize(stored.size))
    stored.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as picture:
        coloured = colorizer(picture)
    assert coloured.size == (80, 120)
    assert np.array_equal(np.asarray(coloured.getchannel("A")), np.rot90(np.asarray(stored.getchannel("A")), -1))


def chroma_of(picture):
    return np.linalg.norm(rgb2lab(np.asarray(picture))[..., 1:], axis=2).mean()


def test_saturation_scales_colour_and_nothing_else(colorizer, photograph):
    grey, plain, vivid = (colorizer(photograph, Look(saturation=saturation)) for saturation in (0, 1, 1.3))
    assert np.ptp(np.asarray(grey), axis=2).max() <= 1
    assert chroma_of(grey) < 0.5 < chroma_of(plain) < chroma_of(vivid)
    L = lightness_of(np.asarray(photograph))
    twice = colorizer.predict_colour(L, Look(saturation=2))
    assert np.allclose(twice, 2 * colorizer.predict_colour(L), atol=1e-3)


def test_temperature_is_that_of_the_annealed_mean(colorizer, photograph):
    """As if the generator had been exported with it."""
    L = lightness_of(np.asarray(photograph))
    own, dull = colorizer.predict_colour(L), colorizer.predict_colour(L, Look(temperature=0.9))
    exported = replace(colorizer, generator=replace(colorizer.generator, temperature=0.9))
    assert np.array_equal(dull, exported.predict_colour(L))
    assert np.array_equal(own, colorizer.predict_colour(L, Look(temperature=colorizer.generator.temperature)))
    assert np.abs(dull - own).max() > 1


@pytest.mark.parametrize("saturation", [0, 100])
def test_extreme_saturation_keeps_lightness(colorizer, saturation):
    rgb = data.coffee()[:100, :120]
    before, after = (lightness_of(image) for image in (rgb, colorizer.colorize_rgb(rgb, Look(saturation=saturation))))
    assert np.abs(before - after).max() < 1


@pytest.mark.slow  # colours many photographs
def test_a_batch_gives_what_single_calls_give(colorizer, photograph):
    """Mixed sizes and kinds; images of equal shape are coloured together."""
    photograph, array = photograph.resize((300, 200)), data.chelsea()[::2, ::2]
    images = [photograph, array, photograph.convert("L"), array[:100, :90], photograph.resize((150, 100)), array[::-1]]
    batch = colorizer.colorize_batch(images)
    assert [type(image) for image in batch] == [
        Image.Image,
        np.ndarray,
        Image.Image,
        np.ndarray,
        Image.Image,
        np.ndarray,
    ]
    for image, together in zip(images, batch, strict=True):
        alone = colorizer(image) if isinstance(image, Image.Image) else colorizer.colorize_rgb(image)
        assert np.abs(np.asarray(together).astype(int) - np.asarray(alone)).max() <= 1
    lightnesses = [lightness_of(np.asarray(image)) for image in (photograph, array, photograph.resize((150, 100)))] * 3
    for L, together in zip(lightnesses, colorizer.predict_colours(lightnesses), strict=True):
        assert np.abs(together - colorizer.predict_colour(L)).max() < 1e-3


def test_nothing_is_a_batch_too(colorizer):
    assert colorizer.colorize_batch([]) == []
    assert colorizer.predict_colours([]) == []


@pytest.mark.slow  # colours many photographs
def test_threads_share_a_colorizer(colorizer):
    """Each photograph has a different saturation and temperature; eight run at a time."""
    random = np.random.default_rng(11)
    work = [
        (random.integers(0, 256, (int(height), 200, 3), dtype=np.uint8), Look(saturation=s, temperature=T))
        for height, s, T in zip(random.integers(60, 200, 12), random.uniform(0, 2, 12), random.uniform(0.1, 1, 12))
    ]
    with ThreadPoolExecutor(8) as pool:
        at_once = list(pool.map(lambda one: colorizer.colorize_rgb(*one), work))
    for one, coloured in zip(work, at_once, strict=True):
        assert np.array_equal(colorizer.colorize_rgb(*one), coloured)


def test_the_models_of_the_package_are_loaded_by_name(models, monkeypatch):
    monkeypatch.setattr("recolor.colorize.colorizer.models_folder", lambda: models)
    rgb = data.camera()[::4, ::4, None].repeat(3, axis=2)
    colorizer = Colorizer.from_pretrained("cpu")
    assert np.array_equal(colorizer.colorize_rgb(rgb), Colorizer.from_folder(models, "cpu").colorize_rgb(rgb))


@pytest.mark.slow  # processes that load torch
def test_colouring_and_initial_weights_import_no_more_than_they_need():
    """Importing each of these takes 0.5 to 2 seconds."""
    code = "import sys, recolor.colorize, recolor.models.weights; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"torchvision", "torch._dynamo", "scipy", "pandas", "matplotlib", "skimage"} & set(done.stdout.split())


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
@pytest.mark.parametrize("multiple", [8, 16, 32])
def test_models_see_multiples_of_what_they_take_at_the_trained_scale(size, multiple):
    width, height = model_size(*size, 256, multiple)
    assert width % multiple == height % multiple == 0
    assert 32 <= min(width, height) <= 256
    assert max(width, height) <= 1024
    if max(size) <= 4 * min(size):
        assert min(width, height) == 256
        assert width / height == pytest.approx(size[0] / size[1], rel=multiple / 2 / 256 + 0.005)


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
