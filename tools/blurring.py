"""Photographs as files, by chance: sharp ones in the guises that sharp ones come in, and blurred ones.

`tools/fit_blurry.py` learns from these.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from planting import fog, night, pale_winter

Rgb = NDArray[np.uint8]
Change = Callable[[Rgb, np.random.Generator], Rgb]

FILTERS = (cv2.INTER_CUBIC, cv2.INTER_LINEAR, cv2.INTER_LANCZOS4, cv2.INTER_CUBIC, cv2.INTER_NEAREST)
SMALL_PX = 288  # pictures of at least twice this short side are measured at half their size, and so on


@dataclass(frozen=True, slots=True)
class Sample:
    """A file, and by how much it is blurred: the standard deviation along a line, in pixels; 0 if it is sharp."""

    data: bytes
    blur_px: float


def sharp_sample(rgb: Rgb, rng: np.random.Generator) -> Sample:
    """A sharp photograph in a guise, at some size and quality."""
    picture = framed(rgb, rng)
    if rng.random() < 0.7:
        picture = GUISES[rng.integers(len(GUISES))](picture, rng)
    return Sample(saved(picture, rng), 0.0)


def blurred_sample(rgb: Rgb, rng: np.random.Generator) -> Sample:
    """A blurred photograph, of a kind and strength by chance, at some size and quality."""
    picture = framed(rgb, rng)
    if rng.random() < 0.3:
        picture = TONES[rng.integers(len(TONES))](picture, rng)
    largest = 0.06 * min(picture.shape[:2])
    sigma_px = float(np.exp(rng.uniform(np.log(0.6 * seen_scale(picture)), np.log(largest))))
    kind = rng.random()
    if kind < 0.26:
        picture = smoothed(picture, sigma_px)
    elif kind < 0.36:
        picture = out_of_focus(picture, sigma_px)
    elif kind < 0.7:
        sigma_px = max(1.6 * seen_scale(picture), sigma_px)
        angle = rng.uniform(0, np.pi) if rng.random() < 0.7 else 0.0  # a camera that pans
        picture = moved(picture, sigma_px * 12**0.5, angle)
    elif kind < 0.93:
        factor = max(1.7, min(sigma_px / 0.35, 12.0))
        picture, sigma_px = enlarged(picture, factor, FILTERS[rng.integers(len(FILTERS))]), 0.35 * factor
    else:
        wide = smoothed(picture, 3.7 * sigma_px)
        picture = rounded(0.6 * smoothed(picture, sigma_px) + 0.4 * wide)
    if rng.random() < 0.3:
        before = min(picture.shape[:2])
        least = max(160, before * min(1.0, 1.0 / sigma_px))
        if least < before:
            picture = to_side(picture, int(rng.uniform(least, before)))
            sigma_px *= min(picture.shape[:2]) / before
    return Sample(saved(picture, rng), sigma_px)


def seen_scale(rgb: Rgb) -> int:
    """By how much a picture is reduced before its sharpness is measured: 1, 2, 4 and so on."""
    scale = 1
    while min(rgb.shape[:2]) >= 2 * scale * SMALL_PX:
        scale *= 2
    return scale


def framed(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """A part of it, or all; never enlarged, and mostly at one of the sizes that sets have."""
    if min(rgb.shape[:2]) >= 2 * SMALL_PX and rng.random() < 0.6:
        return rgb  # or few would be large enough to be halved
    if rng.random() < 0.3:
        height_px, width_px = (max(min(side, 160), int(side * rng.uniform(0.5, 1))) for side in rgb.shape[:2])
        top, left = rng.integers(rgb.shape[0] - height_px + 1), rng.integers(rgb.shape[1] - width_px + 1)
        rgb = np.ascontiguousarray(rgb[top : top + height_px, left : left + width_px])
    side = min(rgb.shape[:2])
    if rng.random() < 0.35:
        return rgb
    if rng.random() < 0.4:
        return to_side(rgb, min(side, int((250, 256, 300, 384, 512, 640)[rng.integers(6)])))
    return to_side(rgb, int(rng.uniform(max(160, side // 4), side)) if side > 160 else side)


def to_side(rgb: Rgb, side_px: int) -> Rgb:
    """Resized until its short side has so many pixels."""
    height_px, width_px = rgb.shape[:2]
    scale = side_px / min(height_px, width_px)
    if scale == 1:
        return rgb
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(rgb, (round(width_px * scale), round(height_px * scale)), interpolation=how), np.uint8)


def saved(rgb: Rgb, rng: np.random.Generator) -> bytes:
    """As a JPEG of some quality, once or twice, sometimes after the noise of a sensor; as PNG now and then."""
    if rng.random() < 0.2:
        rgb = rounded(rgb + rng.normal(0, rng.uniform(0.5, 4.0), rgb.shape[:2])[..., None])
    if rng.random() < 0.2:
        rgb = decoded(jpeg(rgb, int(rng.uniform(10, 90))))
    if rng.random() < 0.08:
        return bytes(cv2.imencode(".png", rgb[..., ::-1])[1])
    return jpeg(rgb, int(rng.uniform(10, 60)) if rng.random() < 0.3 else int(rng.uniform(60, 98)))


def jpeg(rgb: Rgb, quality: int) -> bytes:
    return bytes(cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def decoded(data: bytes) -> Rgb:
    return np.ascontiguousarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1])


def smoothed(rgb: Rgb, sigma_px: float) -> Rgb:
    """A Gaussian blur; wide ones on a smaller copy, which differs by less than rounding to bytes."""
    scale = int(sigma_px // 4)
    if scale < 2:
        return np.asarray(cv2.GaussianBlur(rgb, (0, 0), sigma_px), np.uint8)
    size = max(2, rgb.shape[1] // scale), max(2, rgb.shape[0] // scale)
    small = cv2.GaussianBlur(
        cv2.resize(rgb.astype(np.float32), size, interpolation=cv2.INTER_AREA), (0, 0), sigma_px / scale
    )
    return rounded(cv2.resize(small, rgb.shape[1::-1], interpolation=cv2.INTER_CUBIC))


def out_of_focus(rgb: Rgb, sigma_px: float) -> Rgb:
    """Means over a disc, as a lens makes them, of this standard deviation along a line."""
    radius = 2 * sigma_px
    scale = max(1, int(radius // 8))
    small = cv2.resize(rgb, (rgb.shape[1] // scale, rgb.shape[0] // scale), interpolation=cv2.INTER_AREA)
    half = int(np.ceil(radius / scale))
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    disc = np.clip(radius / scale + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    blurred = cv2.filter2D(small, -1, disc / disc.sum())
    return np.asarray(cv2.resize(blurred, rgb.shape[1::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def moved(rgb: Rgb, length_px: float, angle: float) -> Rgb:
    """Means along a line."""
    size = max(3, int(length_px)) | 1
    kernel = np.zeros((size, size), np.float32)
    half = (size - 1) / 2
    along = np.linspace(-half, half, 8 * size)
    rows, columns = np.rint(half + along * np.sin(angle)), np.rint(half + along * np.cos(angle))
    kernel[rows.astype(np.intp), columns.astype(np.intp)] = 1.0
    return np.asarray(cv2.filter2D(rgb, -1, kernel / kernel.sum()), np.uint8)


def enlarged(rgb: Rgb, factor: float, how: int) -> Rgb:
    """As it is if a copy of a fraction of the size is enlarged."""
    height_px, width_px = rgb.shape[:2]
    size = max(2, round(width_px / factor)), max(2, round(height_px / factor))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width_px, height_px), interpolation=how), np.uint8)


def rounded(values: NDArray[np.floating]) -> Rgb:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def sky_part(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """The upper part: mostly sky."""
    return np.ascontiguousarray(rgb[: max(min(160, len(rgb)), int(len(rgb) * rng.uniform(0.25, 0.5)))])


def calm_part(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """The part of a third to a half of each side that has the least contrast: sky, water, fog, sand."""
    height_px, width_px = (max(min(side, 160), int(side * rng.uniform(0.35, 0.6))) for side in rgb.shape[:2])
    places = [
        rgb[top : top + height_px, left : left + width_px]
        for top in np.linspace(0, rgb.shape[0] - height_px, 4).astype(int)
        for left in np.linspace(0, rgb.shape[1] - width_px, 4).astype(int)
    ]
    return np.ascontiguousarray(min(places, key=lambda place: float(place[::3, ::3].std())))


def lone_object(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """A disc of the picture before a plain gradient: a moon, a sun, a balloon, a bird in the sky."""
    height_px, width_px = rgb.shape[:2]
    y, x = np.mgrid[:height_px, :width_px]
    radius = min(height_px, width_px) * rng.uniform(0.02, 0.12)
    middle = rng.uniform(0.15, 0.85, 2) * (width_px, height_px)
    mask = np.clip(radius + 0.5 - np.hypot(x - middle[0], y - middle[1]), 0, 1)[..., None]
    top, bottom = rng.uniform(10, 230, (2, 3))
    plain = top + (bottom - top) * rng.uniform(0.1, 1) * (y / height_px)[..., None]
    noisy = plain + rng.normal(0, rng.uniform(0, 1.5), rgb.shape)
    return rounded(mask * (rgb if rng.random() < 0.5 else rng.uniform(0, 255, 3)) + (1 - mask) * noisy)


def shallow_focus(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """A sharp subject before a soft background: macro, portrait."""
    height_px, width_px = rgb.shape[:2]
    y, x = np.mgrid[:height_px, :width_px]
    size = rng.uniform(0.12, 0.35)
    middle = rng.uniform(0.3, 0.7, 2)
    mask = np.clip(1.5 - np.hypot((x / width_px - middle[0]) / size, (y / height_px - middle[1]) / size), 0, 1)
    soft = smoothed(rgb, min(height_px, width_px) * rng.uniform(0.008, 0.03))
    return rounded(mask[..., None] * rgb + (1 - mask[..., None]) * soft)


def long_exposure(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """One side of a line across it smoothed along a direction, as water and clouds are."""
    height_px, width_px = rgb.shape[:2]
    y = np.arange(height_px)[:, None, None] / height_px
    mask = np.clip((y - rng.uniform(0.35, 0.65)) * 30 + 0.5, 0, 1)
    mask = mask if rng.random() < 0.6 else 1 - mask
    soft = moved(rgb, min(height_px, width_px) * rng.uniform(0.02, 0.08), rng.uniform(-0.2, 0.2))
    return rounded(mask * soft + (1 - mask) * rgb)


def without_texture(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Edges without texture: dunes, snow fields, strong noise reduction."""
    return np.asarray(cv2.bilateralFilter(rgb, 5 if min(rgb.shape[:2]) < 400 else 7, rng.uniform(20, 60), 3), np.uint8)


def silhouette(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Shadows without detail under a bright sky."""
    return rounded(255 * np.clip((rgb / 255 - rng.uniform(0.25, 0.5)) * rng.uniform(1.3, 2), 0, 1))


def misty(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Fog or haze of some density."""
    if rng.random() < 0.4:
        return fog(rgb, rng)
    share = np.linspace(rng.uniform(0.3, 0.93), rng.uniform(0.1, 0.8), len(rgb))[:, None, None]
    return rounded(rgb * (1 - share) + rng.uniform(150, 235) * share)


def darkened(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Night, with or without the noise of a high sensitivity."""
    if rng.random() < 0.5:
        return night(rgb, rng)
    return rounded(255 * (rgb / 255) ** rng.uniform(1.2, 2) * rng.uniform(0.2, 0.8))


def sharpened(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Unsharp masking, as most cameras and web sites do."""
    share = rng.uniform(0.3, 1.2)
    return rounded((1 + share) * rgb - share * smoothed(rgb, rng.uniform(0.7, 1.5)).astype(np.float64))


def slightly_enlarged(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Enlarged by up to a quarter, or stretched to another shape: soft, and not blurred to the eye."""
    height_px, width_px = rgb.shape[:2]
    small = cv2.resize(
        rgb,
        (round(width_px / rng.uniform(1, 1.3)), round(height_px / rng.uniform(1, 1.3))),
        interpolation=cv2.INTER_AREA,
    )
    return np.asarray(cv2.resize(small, (width_px, height_px), interpolation=cv2.INTER_LINEAR), np.uint8)


TONES: tuple[Change, ...] = (misty, pale_winter, darkened, silhouette, lone_object)
GUISES: tuple[Change, ...] = (
    *(misty, pale_winter, darkened, silhouette, sky_part, sky_part, calm_part, calm_part, lone_object, lone_object),
    *(shallow_focus, shallow_focus, long_exposure, long_exposure, without_texture, without_texture, sharpened),
    *(slightly_enlarged, slightly_enlarged),
)
