"""Terrain: a fractal height map and its perspective view.

The view is computed for all columns at once: planes of increasing distance cut the height map, the skyline of each
plane is projected, and a pixel shows the first plane whose running maximum reaches it.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor.demo.noise import FRACTAL_PX, Array, Fractal, fractal_noise, sampled, smoothstep
from recolor.demo.scene import Scene

MAP_M = FRACTAL_PX
FAR_M = 500.0
_PLANES = 420


@dataclass(frozen=True, kw_only=True, slots=True)
class Camera:
    """A camera that looks level, away from the viewer.

    Attributes:
        width_px: Columns of the picture.
        height_px: Rows of the picture.
        horizon_px: Row of the horizon.
        eye_m: Height of the eye, in the coordinates of the height map.
    """

    width_px: int
    height_px: int
    horizon_px: float
    eye_m: float

    @property
    def focal_px(self) -> float:
        """Focal length; a square picture has a field of view of 53°."""
        return float(np.sqrt(self.width_px * self.height_px))

    @property
    def above_horizon_px(self) -> Array:
        """Height of every row above the horizon, float32 [H]."""
        return (self.horizon_px - np.arange(self.height_px)).astype(np.float32)

    @property
    def centred_px(self) -> Array:
        """Position of every column right of the middle, float32 [W]."""
        return (np.arange(self.width_px) - (self.width_px - 1) / 2).astype(np.float32)


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """The point of the land that each pixel shows.

    Arrays start at the first row that shows land; they are float32 [H - top_px, W] unless stated otherwise.

    Attributes:
        top_px: First row that shows land.
        land: Whether the pixel shows land or water rather than sky, bool.
        x_m: Position on the map, from the left.
        y_m: Distance from the viewer.
        height_m: Height of the land; below 0 is under water.
        slope_x: Rise of the land to the right.
        slope_y: Rise of the land away from the viewer.
        hollow: Mean height of the surroundings minus the height, in metres.
    """

    top_px: int
    land: NDArray[np.bool_]
    x_m: Array
    y_m: Array
    height_m: Array
    slope_x: Array
    slope_y: Array
    hollow: Array


def height_map(rng: np.random.Generator, scene: Scene) -> Array:
    """Returns the heights of the land in metres, float32 [512,512].

    Rows go away from the viewer, columns to the right.
    """
    relief = scene.relief
    away = np.arange(MAP_M, dtype=np.float32)[:, None]
    rolling = fractal_noise(rng, Fractal(cells=6, octaves=6, gain=0.42))
    crests = fractal_noise(rng, Fractal(cells=4, octaves=7, gain=0.43, ridged=True))
    mountains = rolling + np.float32(relief.ridged) * (crests - rolling)
    hills = smoothstep(25.0, 150.0, away) * relief.hills_m
    peaks = smoothstep(150.0, 430.0, away) * relief.peaks_m
    height = relief.base_m + relief.slope * away + relief.near_m * rolling
    height = height + hills * (rolling + 0.25) + peaks * np.maximum(mountains + 0.30, -0.1)
    if scene.biome == "desert":
        height = _dunes(rng, height, relief.hills_m)
    if scene.biome == "canyon":
        height = _mesas(height)
    return height.astype(np.float32)


def _dunes(rng: np.random.Generator, height: Array, size_m: float) -> Array:
    """Adds long crests, gentle on one side and steep on the other."""
    away, across = np.mgrid[0:MAP_M, 0:MAP_M].astype(np.float32)
    bend = fractal_noise(rng, Fractal(cells=4, octaves=4, gain=0.4))
    total = 0.5 * height
    for wave_m, share in ((rng.uniform(95, 150), 1.0), (rng.uniform(34, 55), 0.28)):
        turn = rng.uniform(-1.0, 1.0)
        phase = ((away * np.cos(turn) + across * np.sin(turn)) / wave_m + 0.55 * bend + rng.uniform()) % 1.0
        profile = np.where(phase < 0.72, phase / 0.72, (1.0 - phase) / 0.28)
        profile = cv2.GaussianBlur(profile.astype(np.float32) ** 1.3, (0, 0), 1.0)
        total += share * smoothstep(8.0, 70.0, away) * size_m * (profile - 0.3)
    return np.asarray(total, np.float32)


def _mesas(height: Array) -> Array:
    """Turns slopes into steps: flat tops and steep walls."""
    step = np.float32(11.0)
    level = np.floor(height / step)
    rise = height / step - level
    return np.asarray(step * (level + smoothstep(0.55, 0.85, rise.astype(np.float32)) + 0.12 * rise), np.float32)


def view_from(height: Array, camera: Camera, water: bool) -> View:
    """Returns the point of the land that each pixel shows.

    Args:
        height: Height map including the objects on it.
        camera: Camera at the middle of the map's first row.
        water: Whether water fills the map up to height 0.
    """
    planes_m = _plane_distances(camera)
    skyline = _skylines(np.maximum(height, 0.0) if water else height, planes_m, camera)
    first = _first_plane(skyline, camera)
    land = first < len(planes_m)
    top = int(land.any(axis=1).argmax())
    first, land = first[top:], land[top:]
    distance = _distance(first, skyline, planes_m, camera)
    x = (camera.centred_px[None, :] * distance / np.float32(camera.focal_px) + np.float32(MAP_M / 2)).astype(np.float32)
    ground = sampled(_ground_layers(height), x, distance)
    return View(
        top_px=top,
        land=land,
        x_m=x,
        y_m=distance,
        height_m=ground[..., 0],
        slope_x=ground[..., 1],
        slope_y=ground[..., 2],
        hollow=ground[..., 3],
    )


def _plane_distances(camera: Camera) -> Array:
    nearest_m = 0.5 * camera.focal_px * max(camera.eye_m, 1.0) / (camera.height_px - camera.horizon_px)
    return np.geomspace(min(nearest_m, 40.0), FAR_M, _PLANES).astype(np.float32)


def _skylines(height: Array, planes_m: Array, camera: Camera) -> Array:
    """Returns the running maximum of the projected heights over the planes.

    Values are pixels above the horizon, float32 [planes, W].
    """
    x = camera.centred_px[None, :] * (planes_m / camera.focal_px)[:, None] + np.float32(MAP_M / 2)
    y = np.broadcast_to(planes_m[:, None], x.shape)
    cut = sampled(height, x.astype(np.float32), y.astype(np.float32))
    projected = (cut - np.float32(camera.eye_m)) * (np.float32(camera.focal_px) / planes_m)[:, None]
    return np.asarray(np.maximum.accumulate(projected, axis=0), np.float32)


def _first_plane(skyline: Array, camera: Camera) -> NDArray[np.intp]:
    """Returns the index of the first plane that reaches each pixel, int [H,W].

    It is the number of planes if none does.
    """
    rows = np.ceil(camera.horizon_px - skyline).clip(0, camera.height_px).astype(np.intp)
    flat = rows * camera.width_px + np.arange(camera.width_px)
    counts = np.bincount(flat.ravel(), minlength=(camera.height_px + 1) * camera.width_px)
    counts = counts.reshape(camera.height_px + 1, camera.width_px)
    return np.asarray(counts[::-1].cumsum(axis=0)[::-1][1:], np.intp)


def _distance(first: NDArray[np.intp], skyline: Array, planes_m: Array, camera: Camera) -> Array:
    """Returns the distance of the land in each pixel, interpolated linearly between two planes."""
    behind = np.clip(first, 1, len(planes_m) - 1)
    columns = np.arange(camera.width_px)
    low, high = skyline[behind - 1, columns], skyline[behind, columns]
    share = (camera.above_horizon_px[-len(first) :, None] - low) / np.maximum(high - low, 1e-3)
    near, far = planes_m[behind - 1], planes_m[behind]
    return np.asarray(near + (far - near) * np.clip(share, 0.0, 1.0), np.float32)


def _ground_layers(height: Array) -> Array:
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    hollow = cv2.blur(height, (9, 9)) - height
    return np.asarray(cv2.merge([height, slope_x, slope_y, hollow]), np.float32)
