"""Renders landscapes in which colours depend on the contents, as in photographs."""

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor.demo.ground import canopy, forest_map, render_ground
from recolor.demo.noise import Array, mixed
from recolor.demo.scene import Scene, draw_scene
from recolor.demo.sky import render_sky
from recolor.demo.terrain import Camera, View, height_map, view_from
from recolor.demo.trees import render_trees
from recolor.demo.water import render_water

_SENSOR_NOISE = 1.3
_GAMMA = 2.2


def render_landscape(seed: int, width_px: int, height_px: int) -> NDArray[np.uint8]:
    """Renders a landscape; the same arguments give the same picture.

    Args:
        seed: Seed of the landscape, at least 0.
        width_px: Columns.
        height_px: Rows.

    Returns:
        sRGB, uint8 [height_px, width_px, 3].
    """
    rng = np.random.Generator(np.random.Philox(seed))
    scene = draw_scene(rng)
    height = height_map(rng, scene)
    camera = _camera(scene, height, width_px, height_px)
    wooded = forest_map(rng, scene)
    surface = height + canopy(rng, wooded, height)
    view = view_from(surface, camera, scene.water)
    picture = _compose(rng, scene, camera, view, wooded)
    if scene.water:
        picture[view.top_px :] = render_water(rng, scene, camera, view, picture)
    picture = render_trees(rng, scene, camera, height, picture)
    return _developed(rng, scene, picture)


def _camera(scene: Scene, height: Array, width_px: int, height_px: int) -> Camera:
    middle = height.shape[1] // 2
    ground_m = float(height[:8, middle - 8 : middle + 8].max())
    standing_m = max(ground_m, 0.0) if scene.water else ground_m
    return Camera(
        width_px=width_px, height_px=height_px, horizon_px=scene.horizon * height_px, eye_m=standing_m + scene.eye_m
    )


def _compose(rng: np.random.Generator, scene: Scene, camera: Camera, view: View, wooded: Array) -> Array:
    """Draws the land in front of the sky, with haze between them."""
    has_sky = np.flatnonzero(~view.land.all(axis=1))
    bottom_px = view.top_px + (int(has_sky[-1]) + 1 if len(has_sky) else 0)
    picture = np.zeros((camera.height_px, camera.width_px, 3), np.float32)
    picture[:bottom_px] = render_sky(rng, scene, camera, bottom_px)
    land = render_ground(rng, scene, camera, view, wooded)
    clear = np.exp(-view.y_m / np.float32(scene.haze_m))
    haze = 0.6 * scene.light.horizon + 0.4 * scene.light.zenith
    land = mixed(haze.astype(np.float32), land, clear)
    picture[view.top_px :] = np.where(view.land[..., None], land, picture[view.top_px :])
    return picture


def _developed(rng: np.random.Generator, scene: Scene, picture: Array) -> NDArray[np.uint8]:
    """Converts linear light to sRGB as a camera does: exposure, tone curve, gamma, noise."""
    exposure = np.float32(rng.uniform(0.85, 1.15) * (0.8 if scene.hour == "dusk" else 1.0))
    light = np.maximum(picture * exposure, 0.0)
    light = light * (1.0 + light / 4.0) / (1.0 + light * 0.65)
    noise = _SENSOR_NOISE * rng.standard_normal(picture.shape[:2], np.float32)
    codes = 255.0 * np.asarray(cv2.pow(light, 1.0 / _GAMMA)) + cv2.merge([noise, noise, noise])
    return np.asarray(np.rint(np.clip(codes, 0.0, 255.0)), np.uint8)
