import builtins
import io

import numpy as np
import pytest
from PIL import Image
from skimage import data as photographs

from recolor.config.settings import MeasureConfig
from recolor.errors import ImageError
from recolor.images import decode

LIMITS = MeasureConfig()
RGB = photographs.chelsea()[:200, :300]


def avif(**options):
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, "AVIF", **({"quality": 95, "speed": 10} | options))
    return buffer.getvalue()


def heic(**options):
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(RGB)).save(buffer, quality=95, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("make", [avif, heic])
def test_a_picture_is_read_whatever_its_name(make):
    decoded = decode(make(), LIMITS)
    assert decoded.format == ("AVIF" if make is avif else "HEIF")
    assert decoded.rgb.shape == RGB.shape
    assert np.abs(decoded.rgb.astype(int) - RGB).mean() < 4


@pytest.mark.parametrize("make", [avif, heic])
def test_the_orientation_is_applied_once(make):
    exif = Image.Exif()
    exif[0x0112] = 6
    decoded = decode(make(exif=exif.tobytes()), LIMITS)
    turned = np.rot90(RGB, -1)
    assert decoded.rgb.shape == turned.shape
    assert np.abs(decoded.rgb.astype(int) - turned).mean() < 4


@pytest.mark.parametrize("make", [avif, heic])
def test_a_file_cut_short_is_truncated(make):
    with pytest.raises(ImageError) as error:
        decode(make()[:-500], LIMITS)
    assert error.value.reason == "truncated"


def test_without_the_extra_a_heic_is_named(monkeypatch):
    data, real = heic(), builtins.__import__

    def without(name, *args, **kwargs):
        if name == "pillow_heif":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImageError, match=r"unsupported: HEIC needs pillow-heif.*recolor\[heif\]"):
        decode(data, LIMITS)


def test_pillow_knows_no_more_formats_afterwards():
    before = set(Image.OPEN)
    decode(heic(), LIMITS)
    assert set(Image.OPEN) == before
