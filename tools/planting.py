"""What the cleaning benchmark plants into real photographs: every defect, and clean pictures that look like one.

Sizes in pixels are those of the photograph as it is; nothing is scaled with it.
"""

import zlib
from collections.abc import Callable, Mapping
from functools import partial
from io import BytesIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from planting_copies import EDITS

from recolor.color.lab import lab_to_rgb, rgb_to_lab
from recolor.demo import copies, damage, defects
from recolor.demo.copies import jpeg

Rgb = NDArray[np.uint8]
Plant = Callable[[bytes, Rgb, np.random.Generator], bytes]


def half_grey(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """A broken decode, saved again: from some row on, mid-grey."""
    out = rgb.copy()
    row = int(len(rgb) * rng.uniform(0.3, 0.7)) // 16 * 16
    out[row:] = 128
    out[row - 16 : row, int(rgb.shape[1] * rng.uniform(0.1, 0.9)) // 16 * 16 :] = 128
    return out


def bad_crc(data: bytes, rgb: Rgb, rng: np.random.Generator) -> bytes:
    """A PNG whose pixels are whole and whose checksum of the first IDAT chunk is not."""
    del data, rng
    file = BytesIO()
    Image.fromarray(rgb).save(file, "PNG", compress_level=1)
    png = bytearray(file.getvalue())
    at = png.index(b"IDAT")
    size = int.from_bytes(png[at - 4 : at], "big")
    assert zlib.crc32(png[at : at + 4 + size]) == int.from_bytes(png[at + 4 + size : at + 8 + size], "big")
    png[at + 4 + size] ^= 0xFF
    return bytes(png)


def cut(data: bytes, rgb: Rgb, rng: np.random.Generator, *, share: float) -> bytes:
    """The first part of the file alone."""
    del rgb, rng
    return data[: int(len(data) * share)]


def crop(data: bytes, rgb: Rgb, rng: np.random.Generator, *, share: float) -> bytes:
    """A share of the width and of the height cut off, anywhere."""
    del data
    height_px, width_px = rgb.shape[:2]
    top, left = round(height_px * share * rng.random()), round(width_px * share * rng.random())
    return jpeg(
        np.ascontiguousarray(
            rgb[top : top + round(height_px * (1 - share)), left : left + round(width_px * (1 - share))]
        )
    )


def flat(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """One colour all over, and the noise of a sensor."""
    colour = rng.uniform(20, 235, 3)
    return _rounded(colour + rng.normal(0, 1.0, rgb.shape))


def solarise(rgb: Rgb, _: np.random.Generator) -> Rgb:
    """Inverts what is brighter than the middle (Pillow's and CSS's filter of that name)."""
    return np.where(rgb >= 128, 255 - rgb, rgb).astype(np.uint8)


def white_balance(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Tungsten light read as daylight, or the reverse: gains in linear light, of about 3,000 K of error."""
    warm = rng.random() < 0.5
    gains = np.array([1.5, 1.0, 0.45]) if warm else np.array([0.55, 1.0, 1.75])
    linear = (rgb / 255.0) ** 2.2 * gains
    return _rounded(255.0 * np.clip(linear, 0, 1) ** (1 / 2.2))


def gaussian(rgb: Rgb, _: np.random.Generator, *, sigma_px: float) -> Rgb:
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), sigma_px), np.uint8)


def motion(rgb: Rgb, rng: np.random.Generator, *, length_px: int) -> Rgb:
    """Means along a line in any direction."""
    size = length_px | 1
    kernel = np.zeros((size, size), np.float32)
    angle, half = rng.uniform(0, np.pi), (size - 1) / 2
    along = np.linspace(-half, half, 8 * size)
    rows, columns = np.rint(half + along * np.sin(angle)), np.rint(half + along * np.cos(angle))
    kernel[rows.astype(np.intp), columns.astype(np.intp)] = 1.0
    return np.asarray(cv2.filter2D(rgb, -1, kernel / kernel.sum()), np.uint8)


def soft(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """A poor lens: a narrow blur under a wide one."""
    narrow, wide = gaussian(rgb, rng, sigma_px=1.6), gaussian(rgb, rng, sigma_px=6.0)
    return _rounded(0.6 * narrow + 0.4 * wide)


def fog(rgb: Rgb, _: np.random.Generator) -> Rgb:
    """Fog that thickens with distance, which grows upwards; a photograph of fog is not blurred."""
    share = np.linspace(0.85, 0.3, len(rgb))[:, None, None]
    return _rounded(rgb * (1 - share) + np.array([216.0, 220.0, 224.0]) * share)


def pale_winter(rgb: Rgb, _: np.random.Generator) -> Rgb:
    """Snow and an overcast sky: bright, with a third of the chroma."""
    lab = rgb_to_lab(rgb)
    lab[..., 0] = 35 + 0.65 * lab[..., 0]
    lab[..., 1:] *= 0.33
    return lab_to_rgb(lab)


def night(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """A dark, bluish picture with the noise of a high sensitivity."""
    dark = 255.0 * (rgb / 255.0) ** 1.6 * np.array([0.30, 0.34, 0.42])
    return _rounded(dark + rng.normal(0, 1.5, rgb.shape))


def sky(rgb: Rgb, _: np.random.Generator) -> Rgb:
    """The upper 30%: mostly sky."""
    return np.ascontiguousarray(rgb[: max(300, len(rgb) * 3 // 10)])


def shallow_focus(rgb: Rgb, _: np.random.Generator) -> Rgb:
    """A sharp subject of a fifth of the picture before a soft background."""
    height_px, width_px = rgb.shape[:2]
    y, x = np.mgrid[:height_px, :width_px]
    distance = np.hypot((x / width_px - 0.5) / 0.25, (y / height_px - 0.6) / 0.25)
    mask = np.clip(1.5 - distance, 0, 1)[..., None]
    return _rounded(mask * rgb + (1 - mask) * cv2.GaussianBlur(rgb, (0, 0), 10.0))


def _rounded(values: NDArray[np.float64]) -> Rgb:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def _of_bytes(change: damage.Damage) -> Plant:
    return lambda data, _, rng: change(data, rng)


def _of_copy(change: copies.Copy) -> Plant:
    return lambda _, rgb, __: change(rgb)


def _of_rgb(change: defects.Defect) -> Plant:
    return lambda _, rgb, rng: jpeg(change(rgb, rng), 90)


_CASTS = ("orange_cast", "blue_cast", "green_cast", "magenta_cast", "swapped_channels", "single_hue")

PLANTS: Mapping[str, Mapping[str, Plant]] = {
    "corrupt": {
        "cut_50": partial(cut, share=0.5),
        "cut_98": partial(cut, share=0.98),
        "false_marker": _of_bytes(damage.make_marker),
        "bit_flips": _of_bytes(damage.flip_bits),
        "zero_tail": _of_bytes(damage.zero_tail),
        "header_only": _of_bytes(damage.keep_header),
        "empty": _of_bytes(damage.make_empty),
        "html": _of_bytes(damage.save_web_page),
        "random_bytes": _of_bytes(damage.randomise),
        "png_bad_crc": bad_crc,
        "half_grey": _of_rgb(half_grey),
    },
    "duplicate": {
        "same_bytes": lambda data, _, __: data,
        "same_pixels": lambda data, _, __: data[:2] + b"\xff\xfe\x00\x06copy" + data[2:],  # a comment (T.81, B.2.4.5)
        "resized": _of_copy(copies.resize),
        "quality_60": _of_copy(copies.reencode),
        "brighter": _of_copy(copies.brighten),
        "crop_3": partial(crop, share=0.03),
        "crop_10": partial(crop, share=0.10),
        "flipped": _of_copy(copies.mirror),
        "rotated": _of_copy(copies.rotate),
        "exif_rotated": _of_copy(copies.rotate_in_exif),
        "grey_copy": _of_rgb(defects.to_grey),
        **{name: _of_rgb(edit) for name, edit in EDITS.items()},
    },
    "monochrome": {
        "mode_l": _of_rgb(defects.to_grey),
        "grey_rgb": _of_rgb(defects.to_grey_rgb),
        "sepia": _of_rgb(defects.to_sepia),
        "duotone": _of_rgb(defects.to_duotone),
        "tinted": _of_rgb(defects.tint),
        "flat": _of_rgb(flat),
    },
    "skewed": {
        **{name: _of_rgb(defects.DEFECTS["skewed"][name]) for name in _CASTS},
        "solarised": _of_rgb(solarise),
        "white_balance": _of_rgb(white_balance),
    },
    "blurry": {
        "gaussian_2": _of_rgb(partial(gaussian, sigma_px=2.0)),
        "gaussian_4": _of_rgb(partial(gaussian, sigma_px=4.0)),
        "gaussian_8": _of_rgb(partial(gaussian, sigma_px=8.0)),
        "motion_15": _of_rgb(partial(motion, length_px=15)),
        "motion_31": _of_rgb(partial(motion, length_px=31)),
        "upscaled_4": _of_rgb(defects.upscale),
        "soft": _of_rgb(soft),
    },
    "clean": {
        "original": lambda data, _, __: data,
        "fog": _of_rgb(fog),
        "pale_winter": _of_rgb(pale_winter),
        "night": _of_rgb(night),
        "sky": _of_rgb(sky),
        "shallow_focus": _of_rgb(shallow_focus),
    },
}
