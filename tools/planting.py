"""What the cleaning benchmark plants into real photographs: every defect, and clean pictures that look like one.

Blur is stated in pixels of a photograph whose long side is 1024 px, and scaled with the photograph. A scaled blur is
never narrower than the narrowest that can be seen: a standard deviation of 1 px, or a line of 5 px.
"""

import zlib
from collections.abc import Callable, Mapping
from functools import partial
from io import BytesIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance

from recolor.color.lab import lab_to_rgb, rgb_to_lab
from recolor.demo import copies, damage, defects
from recolor.demo.copies import jpeg

Rgb = NDArray[np.uint8]
Plant = Callable[[bytes, Rgb, np.random.Generator], bytes]

LONG_SIDE_PX = 1024  # of the photograph for which blur is stated
NARROWEST_PX, SHORTEST_PX = 1.0, 5  # a blur narrower, or a line shorter, cannot be seen
_REDUCED_SIGMA_PX = 6.0


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


def white_balance(rgb: Rgb, _: np.random.Generator, *, gains: tuple[float, float, float]) -> Rgb:
    """One light read as another: gains in linear light."""
    linear = np.outer((np.arange(256) / 255.0) ** 2.2, gains)
    curves = _rounded(255.0 * np.clip(linear, 0, 1) ** (1 / 2.2))
    return np.stack([curve[channel] for curve, channel in zip(curves.T, np.moveaxis(rgb, -1, 0), strict=True)], axis=-1)


def order_channels(rgb: Rgb, _: np.random.Generator, *, order: tuple[int, int, int]) -> Rgb:
    """Reads the channels in another order."""
    return np.ascontiguousarray(rgb[..., list(order)])


def gaussian(rgb: Rgb, _: np.random.Generator, *, sigma_px: float) -> Rgb:
    """Out of focus. A wide blur is of a reduced picture, which looks the same and takes a hundredth of the time."""
    height_px, width_px = rgb.shape[:2]
    sigma_px = max(NARROWEST_PX, sigma_px * max(height_px, width_px) / LONG_SIDE_PX)
    times = max(1, int(sigma_px / _REDUCED_SIGMA_PX))
    small = cv2.resize(rgb, (width_px // times, height_px // times), interpolation=cv2.INTER_AREA) if times > 1 else rgb
    blurred = cv2.GaussianBlur(small, (0, 0), sigma_px / times)
    return np.asarray(cv2.resize(blurred, (width_px, height_px), interpolation=cv2.INTER_CUBIC), np.uint8)


def motion(rgb: Rgb, rng: np.random.Generator, *, length_px: int) -> Rgb:
    """Means along a line in any direction."""
    size = max(SHORTEST_PX, round(length_px * max(rgb.shape[:2]) / LONG_SIDE_PX)) | 1
    kernel = np.zeros((size, size), np.float32)
    angle, half = rng.uniform(0, np.pi), (size - 1) / 2
    along = np.linspace(-half, half, 8 * size)
    rows, columns = np.rint(half + along * np.sin(angle)), np.rint(half + along * np.cos(angle))
    kernel[rows.astype(np.intp), columns.astype(np.intp)] = 1.0
    return np.asarray(cv2.filter2D(rgb, -1, kernel / kernel.sum()), np.uint8)


def enlarge(rgb: Rgb, _: np.random.Generator, *, times: int) -> Rgb:
    """Reduced, and enlarged to the old size again."""
    height_px, width_px = rgb.shape[:2]
    small = cv2.resize(rgb, (width_px // times, height_px // times), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width_px, height_px), interpolation=cv2.INTER_CUBIC), np.uint8)


def soft(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """A poor lens: a narrow blur under a wide one."""
    narrow, wide = gaussian(rgb, rng, sigma_px=1.6), gaussian(rgb, rng, sigma_px=6.0)
    return _rounded(0.6 * narrow + 0.4 * wide)


def black(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """The lens cap was on: black, with little noise."""
    return _rounded(np.abs(rng.normal(0, rng.uniform(0.0, 1.5), rgb.shape)))


def night_without_detail(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """So dark that noise hides nearly everything."""
    return _rounded(255.0 * (rgb / 255.0) ** 1.5 * rng.uniform(0.02, 0.06) + rng.normal(0, 1.2, rgb.shape))


def blown_out(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Three to four stops too bright: nearly all of it is white."""
    linear = (np.arange(256) / 255.0) ** 2.2 * 2 ** rng.uniform(3.0, 4.0) + 0.2
    return _rounded(255.0 * np.clip(linear, 0, 1) ** (1 / 2.2))[rgb]


def blank(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """One colour all over, without noise: a placeholder."""
    return np.full_like(rgb, rng.integers(0, 256, 3 if rng.random() < 0.5 else 1).astype(np.uint8))


def cut_sides(rgb: Rgb, _: np.random.Generator, *, top: float, left: float, bottom: float, right: float) -> Rgb:
    """Shares of the height and of the width cut off."""
    height_px, width_px = rgb.shape[:2]
    rows = slice(round(height_px * top), height_px - round(height_px * bottom))
    return np.ascontiguousarray(rgb[rows, round(width_px * left) : width_px - round(width_px * right)])


def cut_one_side(rgb: Rgb, rng: np.random.Generator, *, share: float) -> Rgb:
    """A share cut off at one side, any."""
    shares = np.zeros(4)
    shares[rng.integers(4)] = share
    top, left, bottom, right = shares
    return cut_sides(rgb, rng, top=top, left=left, bottom=bottom, right=right)


def border(rgb: Rgb, _: np.random.Generator, *, level: int) -> Rgb:
    """A frame of a twentieth of the short side."""
    width_px = max(2, min(rgb.shape[:2]) // 20)
    return np.pad(rgb, ((width_px, width_px), (width_px, width_px), (0, 0)), constant_values=level)


def letterbox(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Black bars above and below."""
    height_px = round(len(rgb) * rng.uniform(0.06, 0.15))
    return np.pad(rgb, ((height_px, height_px), (0, 0), (0, 0)))


def watermark(rgb: Rgb, _: np.random.Generator) -> Rgb:
    """Half-transparent white letters across the middle."""
    image = Image.fromarray(rgb).convert("RGBA")
    layer = Image.new("RGBA", image.size, (255, 255, 255, 0))
    middle = image.width / 2, image.height / 2
    ImageDraw.Draw(layer).text(
        middle, "SAMPLE PICTURE", (255, 255, 255, 128), anchor="mm", font_size=max(12, image.width // 10)
    )
    return np.asarray(Image.alpha_composite(image, layer).convert("RGB"))


def saturate(rgb: Rgb, _: np.random.Generator, *, times: float) -> Rgb:
    """Colours farther from grey (Pillow's `ImageEnhance.Color`)."""
    return np.asarray(ImageEnhance.Color(Image.fromarray(rgb)).enhance(times))


def gamma(rgb: Rgb, _: np.random.Generator, *, power: float) -> Rgb:
    """Another tone curve."""
    return _rounded(255.0 * (np.arange(256) / 255.0) ** power)[rgb]


def enlarged_copy(rgb: Rgb, _: np.random.Generator) -> Rgb:
    """Twice the width and the height, bicubic."""
    return np.asarray(cv2.resize(rgb, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), np.uint8)


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


def _of_rgb(change: defects.Defect, quality: int = 90) -> Plant:
    return lambda _, rgb, rng: jpeg(change(rgb, rng), quality)


def _cast(gains: tuple[float, float, float], strength: float) -> Plant:
    red, green, blue = (1 + (gain - 1) * strength for gain in gains)
    return _of_rgb(partial(defects.cast, gains=(red, green, blue)))


CASTS: Mapping[str, tuple[float, float, float]] = {
    "green": (0.55, 1.2, 0.55),
    "yellow": (1.2, 1.15, 0.5),
    "blue": (0.5, 0.85, 1.35),
    "red": (1.35, 0.6, 0.6),
    "orange": (1.3, 0.9, 0.45),
    "magenta": (1.25, 0.55, 1.15),
}
WARM, COOL = (1.5, 1.0, 0.45), (0.55, 1.0, 1.75)  # tungsten light read as daylight, and the reverse: 3,000 K of error
WARMER, COOLER = (1.25, 1.0, 0.65), (0.72, 1.0, 1.4)  # half of that

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
        "exposure_125": _of_rgb(partial(defects.cast, gains=(1.25, 1.25, 1.25))),
        "gamma_07": _of_rgb(partial(gamma, power=0.7)),
        "warm": _of_rgb(partial(defects.cast, gains=(1.12, 1.0, 0.85))),
        "saturation_15": _of_rgb(partial(saturate, times=1.5)),
        "white_border": _of_rgb(partial(border, level=255)),
        "cut_15_one_side": _of_rgb(partial(cut_one_side, share=0.15)),
        "cut_12_top": _of_rgb(partial(cut_sides, top=0.12, left=0.0, bottom=0.0, right=0.0)),
        "cut_10_left": _of_rgb(partial(cut_sides, top=0.0, left=0.10, bottom=0.0, right=0.0)),
        "cut_7_around": _of_rgb(partial(cut_sides, top=0.075, left=0.075, bottom=0.075, right=0.075)),
        "cut_10_around": _of_rgb(partial(cut_sides, top=0.10, left=0.10, bottom=0.10, right=0.10)),
        "watermark": _of_rgb(watermark),
        "enlarged_2": _of_rgb(enlarged_copy),
        "black_frame": _of_rgb(partial(border, level=0)),
        "letterbox": _of_rgb(letterbox),
    },
    "monochrome": {
        "mode_l": _of_rgb(defects.to_grey),
        "grey_rgb": _of_rgb(defects.to_grey_rgb),
        "sepia": _of_rgb(defects.to_sepia),
        "duotone": _of_rgb(defects.to_duotone),
        "tinted": _of_rgb(defects.tint),
    },
    "skewed": {
        **{f"{name}_cast": _cast(gains, 1.0) for name, gains in CASTS.items()},
        **{f"{name}_cast_half": _cast(gains, 0.5) for name, gains in CASTS.items()},
        "warm_balance": _of_rgb(partial(white_balance, gains=WARM)),
        "cool_balance": _of_rgb(partial(white_balance, gains=COOL)),
        "warm_balance_half": _of_rgb(partial(white_balance, gains=WARMER)),
        "cool_balance_half": _of_rgb(partial(white_balance, gains=COOLER)),
        "single_hue": _of_rgb(defects.to_single_hue),
        "red_blue_swap": _of_rgb(defects.swap_channels),
        "red_green_swap": _of_rgb(partial(order_channels, order=(1, 0, 2))),
        "green_blue_swap": _of_rgb(partial(order_channels, order=(0, 2, 1))),
        "solarised": _of_rgb(solarise),
    },
    "blurry": {
        **{
            f"gaussian_{sigma}": _of_rgb(partial(gaussian, sigma_px=float(sigma))) for sigma in (1, 2, 4, 8, 16, 32, 64)
        },
        **{f"motion_{length}": _of_rgb(partial(motion, length_px=length)) for length in (7, 15, 31, 61, 101)},
        **{f"enlarged_{times}": _of_rgb(partial(enlarge, times=times)) for times in (2, 3, 4, 6, 8)},
        "soft": _of_rgb(soft),
        "gaussian_8_q10": _of_rgb(partial(gaussian, sigma_px=8.0), 10),
        "enlarged_4_q10": _of_rgb(partial(enlarge, times=4), 10),
        "jpeg_q10": _of_rgb(defects.keep, 10),
    },
    "exposure": {
        "black": _of_rgb(black),
        "night_no_detail": _of_rgb(night_without_detail),
        "blown_out": _of_rgb(blown_out),
        "blank": _of_rgb(blank),
        "flat": _of_rgb(flat),
        "night_6_stops": _of_rgb(partial(defects.underexpose, stops=6.0)),
        "night_8_stops": _of_rgb(partial(defects.underexpose, stops=8.0)),
        **{f"clipped_{share:.0%}": _of_rgb(partial(defects.overexpose, lightest=share)) for share in (0.65, 0.8, 0.95)},
        "gradient": _of_rgb(defects.fade),
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

# Blurs that the 256 px pictures of a shard hardly show. They are reported, and left out of the row `VISIBLE`.
LIGHT = frozenset({"gaussian_1", "motion_7", "enlarged_2", "jpeg_q10"})
