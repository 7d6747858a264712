"""Still and moving water: a reflection distorted by ripples, over the water's own colour."""

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor.demo.noise import Array, linear, mixed, rows_within, sampled, smoothstep
from recolor.demo.scene import Scene
from recolor.demo.terrain import Camera, View

_TILE_PX = 256


def render_water(rng: np.random.Generator, scene: Scene, camera: Camera, view: View, dry: Array) -> Array:
    """Draws water where the land is below height 0.

    Args:
        rng: Generator of the ripples.
        scene: The landscape.
        camera: Camera of the picture.
        view: The point of the land that each pixel shows.
        dry: The picture without water, linear RGB float32 [H,W,3].

    Returns:
        The picture with water, from row `view.top_px` on, float32 [H - view.top_px, W, 3].
    """
    wet = view.land & (view.height_m < 0.0)
    bottom = dry[view.top_px :]
    if not wet.any():
        return bottom
    waves = _waves(rng, scene, camera, view)
    mirror = _mirror(view.top_px, wet, waves, dry)
    # Fresnel reflectance for the viewing angle, by Schlick's approximation.
    grazing = 1.0 - np.clip(-camera.above_horizon_px[view.top_px :] / camera.focal_px, 0.0, 1.0)[:, None]
    reflectance = np.clip(0.10 + 0.85 * grazing**5 + 0.30 * waves, 0.05, 0.92)
    depth = smoothstep(0.0, -2.2, view.height_m)
    water = mixed(_body(rng, scene, depth, bottom), mirror, reflectance.astype(np.float32))
    water = _add_foam(scene, view, waves, water)
    return np.where(wet[..., None], water, bottom)


def _waves(rng: np.random.Generator, scene: Scene, camera: Camera, view: View) -> Array:
    """Returns the slope of the waves towards the viewer, about -1..1.

    Waves are wider across than along the view.
    """
    tile = cv2.GaussianBlur(rng.standard_normal((_TILE_PX, _TILE_PX), np.float32), (0, 0), 1.0) * 2.0
    rough = rng.uniform(0.5, 1.0) if scene.biome in {"beach", "coast"} else rng.uniform(0.12, 0.6)
    metre_px = np.log2(np.float32(camera.focal_px) / np.maximum(view.y_m, 1.0))
    total = np.zeros_like(view.x_m)
    for octave in range(-2, 5):
        scale = np.float32(2.0**octave)
        rows = rows_within(metre_px, octave - 0.2, octave + 4.6)
        fit = np.exp(-((metre_px[rows] - octave - 2.2) ** 2) / 2.0)
        total[rows] += fit * sampled(tile, view.x_m[rows] * scale * 0.35, view.y_m[rows] * scale, cv2.BORDER_WRAP)
    return np.asarray(total * np.float32(rough * 0.6), np.float32)


def _mirror(top_px: int, wet: NDArray[np.bool_], waves: Array, dry: Array) -> Array:
    """Returns the picture mirrored at the far shore of each column and distorted by the waves."""
    shore = (top_px + np.where(wet.any(axis=0), wet.argmax(axis=0), 0)).astype(np.float32)
    shore = cv2.blur(shore[None, :], (15, 1))[0]
    rows = np.arange(top_px, len(dry), dtype=np.float32)[:, None]
    columns = np.arange(dry.shape[1], dtype=np.float32)[None, :]
    y = np.minimum(2.0 * shore - rows - 14.0 * np.abs(waves), shore - 1.0)
    return sampled(dry, (columns + 5.0 * waves).astype(np.float32), y.astype(np.float32))


def _body(rng: np.random.Generator, scene: Scene, depth: Array, bottom: Array) -> Array:
    deep, shallow = (
        linear(0x0E3F56, 0x3E9AA0) if scene.biome in {"beach", "coast"} else linear(0x123C48, 0x3C7068)
    ) * np.float32(rng.uniform(0.8, 1.2))
    light = scene.light.ambient * 0.6 + scene.light.sun * 0.35
    own = mixed(shallow, deep, depth) * light
    return mixed(bottom, own.astype(np.float32), smoothstep(0.0, 0.25, depth))


def _add_foam(scene: Scene, view: View, waves: Array, water: Array) -> Array:
    if scene.biome not in {"beach", "coast"}:
        return water
    lines = np.sin(view.height_m * 16.0 + 2.5 * waves + 0.06 * view.x_m)
    breaking = smoothstep(-0.9, -0.05, view.height_m) * smoothstep(0.55, 0.95, lines + 0.5 * waves)
    edge = smoothstep(-0.10, -0.02, view.height_m + 0.03 * waves)
    foam = np.maximum(breaking * 0.8, edge * 0.7)
    white = (scene.light.ambient + scene.light.sun * 0.4) * 0.75
    return mixed(water, white.astype(np.float32), foam)
