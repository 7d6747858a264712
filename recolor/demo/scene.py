"""Random but coherent scenes: biome, season, time of day and relief of a landscape."""

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from recolor.demo.noise import Array, linear

T = TypeVar("T")
Biome = Literal["alps", "lake", "meadow", "farmland", "forest", "autumn", "desert", "beach", "coast", "snow", "canyon"]
Hour = Literal["noon", "morning", "golden", "sunset", "dusk", "overcast"]

BIOMES: tuple[tuple[Biome, float], ...] = (
    ("alps", 0.13),
    ("lake", 0.14),
    ("meadow", 0.14),
    ("farmland", 0.10),
    ("forest", 0.11),
    ("autumn", 0.08),
    ("desert", 0.08),
    ("beach", 0.08),
    ("coast", 0.06),
    ("snow", 0.04),
    ("canyon", 0.04),
)
HOURS: tuple[tuple[Hour, float], ...] = (
    ("noon", 0.36),
    ("morning", 0.20),
    ("golden", 0.16),
    ("sunset", 0.12),
    ("dusk", 0.04),
    ("overcast", 0.11),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Light:
    """The light of an hour, in linear RGB.

    Attributes:
        zenith: Sky colour overhead.
        horizon: Sky colour at the horizon; also the colour of haze.
        glow: Colour of the sky around the sun.
        sun: Light of the sun on a surface that faces it.
        ambient: Light of the sky on every surface.
        direction: Unit vector to the sun: x right, y away from the viewer, z up.
    """

    zenith: Array
    horizon: Array
    glow: Array
    sun: Array
    ambient: Array
    direction: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Relief:
    """The relief of the land; the sides of the map are 512 m long.

    Attributes:
        near_m: Amplitude of the unevenness of the ground everywhere.
        hills_m: Height of the hills in the middle distance.
        peaks_m: Height of the mountains at the end of the map.
        ridged: Share of sharp crests in the mountains, 0..1.
        base_m: Height of the land at the viewer's feet above the water's level.
        slope: Rise of the land away from the viewer.
    """

    near_m: float
    hills_m: float
    peaks_m: float
    ridged: float
    base_m: float
    slope: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """A landscape before it is drawn.

    Attributes:
        biome: The kind of landscape.
        hour: Time of day and weather.
        light: Light of that hour.
        relief: Relief of the land.
        eye_m: Height of the viewer above the ground, in metres.
        horizon: Height of the horizon, as a share of the picture's height from the top.
        haze_m: Distance at which haze replaces 63% (1 - 1/e) of a colour.
        clouds: Share of the sky that is clouded; 0 or less is a clear sky.
        water: Whether water covers the land below height 0.
        snow_m: Height above which snow lies.
        forest: Share of the land that is wooded, 0..1.
        trees: Number of single trees.
    """

    biome: Biome
    hour: Hour
    light: Light
    relief: Relief
    eye_m: float
    horizon: float
    haze_m: float
    clouds: float
    water: bool
    snow_m: float
    forest: float
    trees: int


def draw_scene(rng: np.random.Generator) -> Scene:
    """Returns a random scene."""
    biome = _choice(rng, BIOMES)
    hour = _choice(rng, HOURS)
    return Scene(
        biome=biome,
        hour=hour,
        light=_light(rng, hour),
        relief=_relief(rng, biome),
        eye_m=_between(rng, *_EYE_M.get(biome, (2.2, 6.0))),
        horizon=_between(rng, 0.36, 0.60),
        haze_m=_between(rng, 330, 1100) * (0.6 if hour in {"overcast", "dusk"} else 1.0),
        clouds=_between(rng, 0.75, 0.95) if hour == "overcast" else _between(rng, -0.05, 0.7),
        water=biome in {"lake", "beach", "coast"},
        snow_m=_SNOW_M.get(biome, 1e6) * _between(rng, 0.8, 1.3),
        forest=_between(rng, *_FOREST.get(biome, (0.0, 0.0))),
        trees=int(_between(rng, *_TREES.get(biome, (0, 1)))),
    )


_EYE_M = {"farmland": (5.0, 14.0), "forest": (6.0, 18.0), "autumn": (5.0, 16.0), "canyon": (4.0, 14.0)}
_SNOW_M = {"alps": 40.0, "lake": 48.0, "snow": -40.0, "meadow": 70.0}
_FOREST = {
    "alps": (0.2, 0.6),
    "lake": (0.3, 0.8),
    "meadow": (0.15, 0.5),
    "farmland": (0.1, 0.3),
    "forest": (0.6, 0.95),
    "autumn": (0.55, 0.9),
    "snow": (0.1, 0.5),
    "coast": (0.0, 0.4),
}
_TREES = {
    "alps": (5, 40),
    "lake": (5, 50),
    "meadow": (3, 40),
    "farmland": (3, 25),
    "forest": (40, 120),
    "autumn": (30, 90),
    "snow": (10, 60),
    "coast": (0, 12),
    "beach": (0, 6),
}


def _relief(rng: np.random.Generator, biome: Biome) -> Relief:
    near, hills, peaks, ridged, base, slope = _RELIEF[biome]
    vary = rng.uniform(0.65, 1.35, 5)
    return Relief(
        near_m=near * vary[0],
        hills_m=hills * vary[1],
        peaks_m=peaks * vary[2],
        ridged=min(1.0, ridged * vary[3]),
        base_m=base * vary[4],
        slope=slope,
    )


_RELIEF: dict[Biome, tuple[float, float, float, float, float, float]] = {
    "alps": (0.8, 14.0, 100.0, 0.85, 0.0, 0.0),
    "lake": (0.6, 12.0, 80.0, 0.7, -3.0, 0.0),
    "meadow": (0.5, 10.0, 38.0, 0.3, 0.0, 0.0),
    "farmland": (0.6, 11.0, 20.0, 0.1, 0.0, 0.0),
    "forest": (1.2, 20.0, 50.0, 0.3, 0.0, 0.0),
    "autumn": (1.0, 18.0, 45.0, 0.3, 0.0, 0.0),
    "desert": (0.8, 17.0, 10.0, 0.2, 0.0, 0.0),
    "beach": (0.25, 0.5, 0.0, 0.1, 1.2, -0.09),
    "coast": (1.6, 11.0, 36.0, 0.6, -3.0, -0.008),
    "snow": (1.3, 14.0, 75.0, 0.8, 0.0, 0.0),
    "canyon": (1.0, 20.0, 55.0, 0.4, 0.0, 0.0),
}


def _light(rng: np.random.Generator, hour: Hour) -> Light:
    zenith, horizon, glow, sun, strength, ambient, sky_strength, low, high = _LIGHT[hour]
    elevation = np.deg2rad(_between(rng, low, high))
    azimuth = np.deg2rad(_between(rng, -60, 60) if hour in {"sunset", "dusk"} else _between(rng, 20, 340))
    direction = (np.cos(elevation) * np.sin(azimuth), np.cos(elevation) * np.cos(azimuth), np.sin(elevation))
    tone = rng.uniform(0.88, 1.12, 3).astype(np.float32)
    return Light(
        zenith=linear(zenith) * tone * np.float32(_between(rng, 0.8, 1.15)),
        horizon=linear(horizon) * tone,
        glow=linear(glow),
        sun=linear(sun) * np.float32(strength),
        ambient=linear(ambient) * np.float32(sky_strength),
        direction=(float(direction[0]), float(direction[1]), float(direction[2])),
    )


_LIGHT: dict[Hour, tuple[int, int, int, int, float, int, float, float, float]] = {
    "noon": (0x3A77C2, 0xB4D2EC, 0xFFF6E0, 0xFFF6E8, 2.7, 0xBFD3F0, 1.0, 32, 60),
    "morning": (0x5A95D2, 0xDDE4E4, 0xFFF0D0, 0xFFE8C8, 2.4, 0xC4D2E8, 0.95, 18, 35),
    "golden": (0x5C8CC8, 0xEED8B4, 0xFFDFA0, 0xFFD8A4, 2.3, 0xB8C6E4, 0.95, 9, 18),
    "sunset": (0x4A6AA8, 0xF0B078, 0xFFC468, 0xFFB078, 1.6, 0xB4BCDC, 1.25, 4, 9),
    "dusk": (0x30447C, 0xD09A8C, 0xF09868, 0xD89888, 0.5, 0x9CA8CC, 1.35, 1, 3),
    "overcast": (0x8598AE, 0xC6D3DE, 0xE8E8E4, 0xFFF8EC, 0.7, 0xDCE6F0, 1.4, 40, 70),
}


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _choice(rng: np.random.Generator, weighted: tuple[tuple[T, float], ...]) -> T:
    bounds = np.cumsum([weight for _, weight in weighted])
    return weighted[int(np.searchsorted(bounds, rng.uniform(0.0, bounds[-1])))][0]
