"""Single trees: silhouettes from fixed seeds, drawn on the land from far to near."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor.demo.noise import Array, linear
from recolor.demo.scene import Scene
from recolor.demo.terrain import MAP_M, Camera

_SPRITE_PX = 160
_VARIANTS = 6


@dataclass(frozen=True, slots=True)
class Sprite:
    """A tree from the side: opacity, brightness and share of leaves, each float32 [160,160]."""

    opacity: Array
    brightness: Array
    leaf: Array


def render_trees(rng: np.random.Generator, scene: Scene, camera: Camera, height: Array, picture: Array) -> Array:
    """Draws the scene's single trees onto the picture.

    Args:
        rng: Generator of positions, sizes and kinds.
        scene: The landscape.
        camera: Camera of the picture.
        height: Height map on which the trees stand.
        picture: Linear RGB, float32 [H,W,3]; not changed.

    Returns:
        A copy of the picture with the trees.
    """
    picture = picture.copy()
    conifers = rng.uniform() if scene.biome not in {"alps", "snow"} else 1.0
    distances = np.sort(16.0 * (170.0 / 16.0) ** rng.uniform(0.0, 1.0, scene.trees))[::-1]
    for distance_m in distances:
        _place(
            rng, scene, camera, height, picture, distance_m=float(distance_m), conifer=bool(rng.uniform() < conifers)
        )
    return picture


def _place(
    rng: np.random.Generator,
    scene: Scene,
    camera: Camera,
    height: Array,
    picture: Array,
    *,
    distance_m: float,
    conifer: bool,
) -> None:
    column = rng.uniform(0.0, camera.width_px)
    size_m, variant, tone = rng.uniform(3.5, 8.0), int(rng.integers(_VARIANTS)), rng.uniform(0.75, 1.2)
    shade = _shades(scene)[int(rng.integers(4))]
    x_m = (column - camera.width_px / 2) * distance_m / camera.focal_px + MAP_M / 2
    ground_m = float(height[int(distance_m), int(np.clip(x_m, 0, MAP_M - 1))])
    if (scene.water and ground_m < 0.25) or ground_m > 38.0:
        return
    scale = camera.focal_px / distance_m
    foot = camera.horizon_px - (ground_m - camera.eye_m) * scale
    side = round(size_m * scale)
    if not 5 <= side <= 1.2 * camera.height_px:
        return
    sprite = _conifer(variant) if conifer else _broadleaf(variant)
    haze = 1.0 - np.exp(-distance_m / scene.haze_m)
    light = scene.light.ambient * 0.55 + scene.light.sun * (0.16 if scene.light.direction[1] > 0.5 else 0.34)
    leaf, bark = shade * np.float32(tone) * light, linear(0x4A3A2C) * light
    clear = np.float32(1.0 - haze)
    veil = scene.light.horizon * np.float32(0.85 * haze)
    _stamp(picture, sprite, (round(column), round(foot), side), (leaf * clear, bark * clear), veil)


def _stamp(
    picture: Array, sprite: Sprite, place: tuple[int, int, int], colours: tuple[Array, Array], veil: Array
) -> None:
    """Blends one sprite into the picture; parts outside the picture are cut off.

    Args:
        picture: Linear RGB, float32 [H,W,3]; changed in place.
        sprite: The tree.
        place: Column and row of the tree's foot, and its size, in pixels.
        colours: Colours of leaves and bark.
        veil: Light of the haze in front of the tree.
    """
    column, foot, side = place
    leaf, bark = colours
    left, top = column - side // 2, foot - side
    y0, y1 = max(top, 0), min(foot, picture.shape[0])
    x0, x1 = max(left, 0), min(left + side, picture.shape[1])
    if y0 >= y1 or x0 >= x1:
        return
    window = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    opacity, brightness, share = (
        cv2.resize(layer, (side, side), interpolation=cv2.INTER_AREA if side < _SPRITE_PX else cv2.INTER_CUBIC)[window]
        for layer in (sprite.opacity, sprite.brightness, sprite.leaf)
    )
    colour = (bark + (leaf - bark) * share[..., None]) * brightness[..., None] + veil
    area = picture[y0:y1, x0:x1]
    area += (colour - area) * np.clip(opacity, 0.0, 1.0)[..., None]


def _shades(scene: Scene) -> Array:
    if scene.biome == "autumn":
        return linear(0xB0702A, 0xC89A3A, 0x8A3E20, 0x6A7030)
    if scene.biome == "snow":
        return linear(0x24382A, 0x2E4232, 0x56665E, 0x1E3026)
    return linear(0x35562A, 0x4A6A30, 0x2A4A26, 0x5A7434)


@cache
def _conifer(variant: int) -> Sprite:
    """Returns a fir: tiers of branches with ragged ends, wider towards the foot."""
    rng = np.random.Generator(np.random.Philox(1000 + variant))
    rows, columns = np.mgrid[0:_SPRITE_PX, 0:_SPRITE_PX].astype(np.float32) / _SPRITE_PX
    tiers = rng.integers(9, 15)
    saw = rows * tiers % 1.0
    reach = (0.05 + 0.95 * rows) * rng.uniform(0.20, 0.27) * (0.55 + 0.5 * saw)
    ragged = 1.0 + 0.45 * _speckle(rng, 1.0) + 0.25 * _speckle(rng, 3.0)
    inside = np.abs(columns - 0.5 - 0.02 * _speckle(rng, 12.0)) < reach * ragged
    needles = inside & (rows > 0.01) & (rows < 0.93)
    trunk = (np.abs(columns - 0.5) < 0.016) & (rows >= 0.85)
    brightness = 0.55 + 0.45 * saw + 0.35 * _speckle(rng, 1.0) + 0.9 * (columns - 0.5)
    return _sprite(needles, trunk, brightness)


@cache
def _broadleaf(variant: int) -> Sprite:
    """Returns a broad-leaved tree: a trunk and a crown of overlapping balls of leaves."""
    rng = np.random.Generator(np.random.Philox(2000 + variant))
    rows, columns = np.mgrid[0:_SPRITE_PX, 0:_SPRITE_PX].astype(np.float32) / _SPRITE_PX
    crown = np.zeros(rows.shape, bool)
    brightness = np.full(rows.shape, 0.6, np.float32)
    ragged = 1.0 + 0.30 * _speckle(rng, 1.0) + 0.30 * _speckle(rng, 3.0)
    for _ in range(16):
        y, x, r = 0.40 + 0.17 * rng.standard_normal(), 0.5 + 0.15 * rng.standard_normal(), rng.uniform(0.08, 0.17)
        y, x = np.clip(y, r, 0.72), np.clip(x, r + 0.02, 0.98 - r)
        ball = np.hypot(rows - y, columns - x) < r * ragged
        crown |= ball
        lit = 0.85 - 1.5 * (rows - y) / (2 * r) * 0.45 + 0.5 * (columns - x) / (2 * r)
        brightness = np.where(ball, lit.astype(np.float32), brightness)
    trunk = (np.abs(columns - 0.5) < 0.022 + 0.03 * np.maximum(rows - 0.9, 0) * 6) & (rows > 0.5)
    return _sprite(crown, trunk & ~crown, brightness + 0.35 * _speckle(rng, 1.0))


def _sprite(
    leaves: NDArray[np.bool_],
    trunk: NDArray[np.bool_],
    brightness: Array,
) -> Sprite:
    return Sprite(
        opacity=(leaves | trunk).astype(np.float32),
        brightness=np.clip(brightness, 0.15, 1.6).astype(np.float32),
        leaf=leaves.astype(np.float32),
    )


def _speckle(rng: np.random.Generator, sigma_px: float) -> Array:
    noise = cv2.GaussianBlur(rng.standard_normal((_SPRITE_PX, _SPRITE_PX)).astype(np.float32), (0, 0), sigma_px)
    return np.asarray(noise / noise.std() * 0.7, np.float32)
