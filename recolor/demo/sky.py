"""The sky: a gradient, the glow of the sun, and clouds on a plane overhead."""

import numpy as np

from recolor.demo.noise import FRACTAL_PX, Array, Fractal, fractal_noise, linear, mixed, sampled, smoothstep
from recolor.demo.scene import Scene
from recolor.demo.terrain import Camera

_CLOUDS = Fractal(cells=6, octaves=7, gain=0.55)


def render_sky(rng: np.random.Generator, scene: Scene, camera: Camera, rows_px: int) -> Array:
    """Draws the sky over the first rows; below the horizon it keeps the horizon's colour.

    Returns:
        Linear RGB, float32 [rows_px,W,3].
    """
    above_px = camera.above_horizon_px[:rows_px]
    share = np.minimum((np.maximum(above_px, 0.0) / (camera.height_px * 0.62)) ** 0.65, 1.1)
    share = np.broadcast_to(share[:, None], (rows_px, camera.width_px)).astype(np.float32)
    sky = mixed(scene.light.horizon, scene.light.zenith, share)
    sky = _add_glow(sky, scene, camera)
    if scene.clouds > 0.0:
        sky = _add_clouds(rng, sky, scene, camera)
    return sky


def _sun_distance(scene: Scene, camera: Camera, rows_px: int) -> Array | None:
    """Returns each pixel's distance to the sun in focal lengths.

    Returns None if the sun is behind the viewer.
    """
    x, y, z = scene.light.direction
    if y <= 0.05:
        return None
    column = camera.centred_px / camera.focal_px - x / y
    row = camera.above_horizon_px[:rows_px] / camera.focal_px - z / y
    return np.asarray(np.hypot(column[None, :], row[:, None]), np.float32)


def _add_glow(sky: Array, scene: Scene, camera: Camera) -> Array:
    distance = _sun_distance(scene, camera, len(sky))
    if distance is None or scene.hour == "overcast":
        return sky
    glow = 0.75 * np.exp(-((distance / 0.22) ** 1.2)) + 0.35 * np.exp(-((distance / 0.7) ** 1.5))
    sky = mixed(sky, scene.light.glow * 1.15, np.minimum(glow, 1.0).astype(np.float32))
    disc = smoothstep(0.03, 0.018, distance)
    return mixed(sky, np.full(3, 1.6, np.float32), disc)


def _add_clouds(rng: np.random.Generator, sky: Array, scene: Scene, camera: Camera) -> Array:
    noise = fractal_noise(rng, _CLOUDS)
    above = np.maximum(camera.above_horizon_px[: len(sky)], 0.5)[:, None] / camera.focal_px
    stretch = rng.uniform(1.0, 2.6)
    distance = 1.0 / (above + 0.12)
    x = np.asarray(
        camera.centred_px[None, :] / camera.focal_px * distance * 62.0 + FRACTAL_PX / 2 + rng.uniform(-90, 90),
        np.float32,
    )
    y = np.asarray(np.broadcast_to(distance * 48.0 * stretch, x.shape), np.float32)
    density = sampled(noise, x, y)
    towards = sampled(noise, x + np.float32(5.0 * np.sign(scene.light.direction[0] or 1.0)), y - np.float32(6.0))
    cover = smoothstep(0.52 - scene.clouds, 1.0 - scene.clouds * 0.9, density)
    cover *= smoothstep(0.0, 0.10, np.broadcast_to(above, x.shape).astype(np.float32)) * 0.94
    lit = np.clip(0.62 + 1.1 * (density - towards) - 0.35 * np.maximum(density - 0.3, 0.0), 0.0, 1.0)
    return mixed(sky, _cloud_colour(scene, lit), cover)


def _cloud_colour(scene: Scene, lit: Array) -> Array:
    light = scene.light
    bright = light.sun / light.sun.max() * (0.55 if scene.hour == "dusk" else 0.98)
    if scene.hour == "overcast":
        bright = linear(0xE2E8EE)
    shade = 0.55 * light.zenith + 0.45 * light.horizon if scene.hour in {"sunset", "dusk"} else linear(0x92A2B8)
    return mixed((shade * 0.8).astype(np.float32), bright.astype(np.float32), lit)
