"""Land cover: grass, fields, sand, rock, forest and snow, lit by the sun and the sky."""

import cv2
import numpy as np

from recolor.demo.noise import Array, Fractal, fractal_noise, linear, mixed, rows_within, sampled, smoothstep
from recolor.demo.scene import Scene
from recolor.demo.terrain import MAP_M, Camera, View

_TILE_PX = 256
_OCTAVES = range(-1, 6)
_BARE = frozenset({"desert", "beach", "canyon"})


def forest_map(rng: np.random.Generator, scene: Scene) -> Array:
    """Returns the density of the forest on the map, float32 [512,512] in 0..1."""
    if scene.forest <= 0.0:
        return np.zeros((MAP_M, MAP_M), np.float32)
    noise = fractal_noise(rng, Fractal(cells=8, octaves=5))
    away = np.arange(MAP_M, dtype=np.float32)[:, None]
    limit = 0.55 - 1.1 * scene.forest
    return np.asarray(smoothstep(limit - 0.05, limit + 0.05, noise) * smoothstep(35.0, 75.0, away), np.float32)


def canopy(rng: np.random.Generator, wooded: Array, height: Array) -> Array:
    """Returns the height of the crowns above the ground in metres, float32 [512,512].

    It is 0 above the tree line and in the water.
    """
    crowns = rng.random(wooded.shape, np.float32) ** 2
    crowns = np.asarray(cv2.GaussianBlur(crowns, (0, 0), 0.7), np.float32)
    grows = smoothstep(0.6, 1.6, height) * smoothstep(50.0, 40.0, height)
    return np.asarray(wooded * grows * (1.0 + 5.0 * crowns), np.float32)


def render_ground(rng: np.random.Generator, scene: Scene, camera: Camera, view: View, wooded: Array) -> Array:
    """Draws the land without sky, water and haze.

    Returns:
        Linear RGB, float32 [H - view.top_px, W, 3].
    """
    grain = _grain(rng, camera, view)
    patches = sampled(fractal_noise(rng, Fractal(cells=14, octaves=6, gain=0.6)), view.x_m, view.y_m)
    steepness = np.hypot(view.slope_x, view.slope_y)
    colour = _cover(rng, scene, view, patches, grain)
    colour = _add_rock(rng, scene, view, colour, steepness=steepness + 0.18 * grain, patches=patches)
    woods = (
        sampled(wooded, view.x_m, view.y_m) * smoothstep(0.6, 1.6, view.height_m) * smoothstep(58, 44, view.height_m)
    )
    colour = mixed(colour, _leaves(rng, scene, view, patches), woods)
    colour = _add_snow(scene, view, colour, steepness=steepness, patches=patches, woods=woods)
    if scene.biome not in _BARE | {"snow"}:
        grain = grain + 0.5 * _blades(rng, camera, view) * smoothstep(60.0, 10.0, view.y_m)
    texture = grain * _roughness(scene) * (1.0 + 0.5 * woods)
    lit = colour * _lighting(scene, view, grain, woods) * np.clip(1.0 + texture, 0.35, 1.8)[..., None]
    return np.asarray(lit, np.float32)


def _grain(rng: np.random.Generator, camera: Camera, view: View) -> Array:
    """Returns a texture of equal fineness in pixels at every distance.

    Octaves of noise are weighted by the distance.
    """
    tile = rng.standard_normal((_TILE_PX, _TILE_PX), np.float32)
    metre_px = np.log2(np.float32(camera.focal_px) / np.maximum(view.y_m, 1.0))
    total = np.zeros(view.x_m.shape, np.float32)
    for octave in _OCTAVES:
        scale = np.float32(2.0**octave)
        rows = rows_within(metre_px, octave - 1.2, octave + 3.6)
        fit = np.exp(-((metre_px[rows] - octave - 1.2) ** 2) / 2.4)
        total[rows] += fit * sampled(tile, view.x_m[rows] * scale, view.y_m[rows] * scale * 0.5, cv2.BORDER_WRAP)
    return np.asarray(total * 0.55, np.float32)


def _blades(rng: np.random.Generator, camera: Camera, view: View) -> Array:
    """Returns upright streaks, longer towards the viewer: blades of grass, float32 [H, W]."""
    noise = rng.standard_normal(view.x_m.shape, np.float32)
    short = cv2.blur(noise, (1, 3)) * 1.5
    long = cv2.blur(noise, (1, 9)) * 2.4
    near = np.clip(-camera.above_horizon_px[view.top_px :] / (0.5 * camera.height_px), 0.0, 1.0)[:, None]
    return np.asarray(short + (long - short) * near, np.float32)


def _cover(rng: np.random.Generator, scene: Scene, view: View, patches: Array, grain: Array) -> Array:
    match scene.biome:
        case "desert":
            colour = _sand(rng, view, patches, linear(0xA67C4E, 0xBC9868))
        case "beach":
            colour = _shore(view, _sand(rng, view, patches, linear(0xA8967A, 0xC4B292)))
        case "canyon":
            colour = _strata(rng, view, grain)
        case "farmland":
            colour = _fields(rng, view, patches)
        case "snow":
            colour = mixed(linear(0x98A6BC), linear(0xA6B0C0), smoothstep(-0.4, 0.5, patches))
        case "coast":
            colour = mixed(linear(0x6E6455), linear(0x59692F), smoothstep(1.2, 3.0, view.height_m + patches))
        case _:
            colour = _grass(rng, scene, view, patches, grain)
    return colour


def _grass(rng: np.random.Generator, scene: Scene, view: View, patches: Array, grain: Array) -> Array:
    palettes = linear(0x46562C, 0x74793F), linear(0x3E5229, 0x66763A), linear(0x5C6234, 0x938A50)
    dry = linear(0x6B6430, 0xA58F4E)
    first, second = dry if scene.biome == "autumn" else palettes[int(rng.integers(len(palettes)))]
    colour = mixed(first, second, smoothstep(-0.6, 0.6, patches + 0.25 * grain))
    if scene.water:
        colour = mixed(linear(0x8A8070), colour, smoothstep(0.15, 0.9, view.height_m + 0.3 * patches))
    if scene.biome == "meadow" and rng.uniform() < 0.6:
        colour = _add_flowers(rng, view, colour, patches)
    return colour


def _add_flowers(rng: np.random.Generator, view: View, colour: Array, patches: Array) -> Array:
    petals = linear(0xD9C23A, 0xE6E2DA, 0x9A6FC0, 0xC8443A)[int(rng.integers(4))]
    tile = rng.random((_TILE_PX, _TILE_PX), np.float32)
    scale = np.float32(rng.uniform(4.0, 7.0))
    dots = sampled(tile, view.x_m * scale, view.y_m * scale * 0.5, cv2.BORDER_WRAP)
    share = smoothstep(0.90, 0.95, dots + 0.08 * patches) * smoothstep(70.0, 20.0, view.y_m) * 0.85
    return mixed(colour, petals, share)


def _sand(rng: np.random.Generator, view: View, patches: Array, palette: Array) -> Array:
    ripples = np.sin(view.y_m * 5.5 + view.x_m * rng.uniform(-1.5, 1.5) + 5.0 * patches)
    near = smoothstep(45.0, 10.0, view.y_m)
    return mixed(palette[0], palette[1], 0.5 + 0.35 * patches + 0.22 * ripples.astype(np.float32) * near)


def _shore(view: View, sand: Array) -> Array:
    wet = smoothstep(0.30, 0.10, view.height_m)
    return np.asarray(sand * (1.0 - 0.5 * wet)[..., None], np.float32)


def _strata(rng: np.random.Generator, view: View, grain: Array) -> Array:
    """Returns the colour of horizontal bands of rock."""
    bands = linear(0x8C4A30, 0xB06A42, 0xC98A5E, 0x9A5638, 0xD0A27C, 0x7E4530)
    heights = np.sort(rng.uniform(0.0, 80.0, 48))
    band = np.searchsorted(heights, (view.height_m + 0.2 * grain + 20.0) * 0.8)
    return bands[rng.integers(0, len(bands), 49)][band]


def _fields(rng: np.random.Generator, view: View, patches: Array) -> Array:
    """Returns the colour of a patchwork of fields with furrows and green edges."""
    crops = linear(0x55702C, 0x7B8E3A, 0xB49A4E, 0x6A5136, 0xC4B03C, 0x466428, 0x8E9A50)
    turn = rng.uniform(-0.5, 0.5)
    along = np.cos(turn) * view.x_m - np.sin(turn) * view.y_m + 3.0 * patches
    across = np.sin(turn) * view.x_m + np.cos(turn) * view.y_m + 3.0 * patches
    size_x, size_y = rng.uniform(28, 55), rng.uniform(18, 45)
    row = np.floor(across / size_y).astype(np.intp)
    column = np.floor(along / size_x + 0.37 * row).astype(np.intp)
    crop = rng.integers(0, len(crops), 1024)[(row * 31 + column) % 1024]
    furrows = np.sin(along * 4.5) * smoothstep(120.0, 25.0, view.y_m) * 0.16
    edge = np.minimum(across / size_y % 1.0, (along / size_x + 0.37 * row) % 1.0)
    colour = crops[crop] * (1.0 + furrows + 0.12 * patches)[..., None]
    return mixed(colour.astype(np.float32), linear(0x3E5524), smoothstep(0.05, 0.03, edge.astype(np.float32)))


def _add_rock(
    rng: np.random.Generator, scene: Scene, view: View, colour: Array, *, steepness: Array, patches: Array
) -> Array:
    if scene.biome in _BARE:
        return colour
    rocks = linear(0x6F6A66, 0x8A8078), linear(0x5E6066, 0x84868A), linear(0x6C5F52, 0x94826C)
    first, second = rocks[int(rng.integers(len(rocks)))]
    rock = mixed(first, second, smoothstep(-0.5, 0.6, patches))
    limit = 0.5 if scene.biome in {"alps", "lake", "coast"} else 0.85
    high = smoothstep(34.0, 60.0, view.height_m + 10.0 * patches)
    return mixed(colour, rock, np.maximum(smoothstep(limit, limit + 0.3, steepness + 0.15 * patches), 0.85 * high))


def _leaves(rng: np.random.Generator, scene: Scene, view: View, patches: Array) -> Array:
    """Returns the colour of the crowns; each tree has its own shade."""
    if scene.biome == "autumn":
        shades = linear(0x8A5424, 0x9A7430, 0x74402A, 0x5E6432, 0xA08440, 0x4E5A30)
    else:
        shades = linear(0x24401E, 0x33522A, 0x1E3820, 0x3E5C2A, 0x2C4A30, 0x466230)
    crowns = shades[rng.integers(0, len(shades), (_TILE_PX, _TILE_PX))]
    tree = cv2.remap(crowns, view.x_m, view.y_m, cv2.INTER_NEAREST, borderMode=cv2.BORDER_WRAP)
    return np.asarray(tree * (1.0 + 0.25 * patches)[..., None], np.float32)


def _add_snow(scene: Scene, view: View, colour: Array, *, steepness: Array, patches: Array, woods: Array) -> Array:
    if scene.snow_m > 1e5:
        return colour
    lies = smoothstep(scene.snow_m, scene.snow_m + 9.0, view.height_m + 9.0 * patches)
    lies *= smoothstep(1.25, 0.7, steepness + 0.2 * patches)
    return mixed(colour, linear(0xA8B2C2), lies * (1.0 - 0.75 * woods))


def _lighting(scene: Scene, view: View, grain: Array, woods: Array) -> Array:
    """Returns the light of the sky and of the sun (Lambert's cosine law), [H,W,3]."""
    x, y, z = scene.light.direction
    bump = 0.10 * grain
    slope_x, slope_y = view.slope_x + bump, view.slope_y + bump
    cosine = (z - x * slope_x - y * slope_y) / np.sqrt(1.0 + slope_x**2 + slope_y**2)
    open_sky = np.clip(1.0 - 0.16 * np.maximum(view.hollow, 0.0) * (1.0 + woods), 0.35, 1.0)
    sun = np.maximum(cosine, 0.0) * open_sky + 0.06
    return np.asarray(scene.light.ambient * open_sky[..., None] * 0.75 + scene.light.sun * sun[..., None], np.float32)


def _roughness(scene: Scene) -> float:
    return {"desert": 0.15, "beach": 0.17, "snow": 0.10, "canyon": 0.20, "farmland": 0.22}.get(scene.biome, 0.30)
