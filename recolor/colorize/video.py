"""A video, frame by frame: each frame's own lightness, with colour that stays where nothing moves."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from recolor.color.arrays import RGB
from recolor.color.gamut import join, lightness_of
from recolor.colorize.clip import check_codec, look_through, read_frames, write_frames
from recolor.colorize.colorizer import Colorizer, Look
from recolor.colorize.outputs import publish, temporary_beside
from recolor.colorize.smoothing import Colours, Flicker, smoothed
from recolor.colorize.sound import Sound, add_sound
from recolor.colorize.upsample import upsample
from recolor.errors import ConfigError, InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoResult:
    """A video that was coloured.

    Attributes:
        frames: Written.
        fps: Frames per second, constant.
        length_s: Its length.
        audio: `kept`; `dropped`, as it could not be copied; `none`, as the source has none; `unknown`, and then left
            out if there is any, as no `ffmpeg` is on the PATH to tell and to copy it.
        flicker_before: Mean |Δab| of what stands still between frames, at the models' size, as predicted.
        flicker_after: The same after smoothing.
        missing: Frames that the source announces and that could not be read.
        drift_s: How far a frame is from its time in the source at most, as those are unevenly spaced there; else 0.
    """

    frames: int
    fps: float
    length_s: float
    audio: Sound
    flicker_before: float
    flicker_after: float
    missing: int
    drift_s: float


@dataclass(slots=True)
class _Measured:
    before: Flicker = field(default_factory=Flicker)
    after: Flicker = field(default_factory=Flicker)


def colorize_video(
    source: Path,
    target: Path,
    colorizer: Colorizer,
    *,
    look: Look | None = None,
    smoothing: float = 0.8,
    overwrite: bool = False,
    batch: int = 1,
) -> VideoResult | None:
    """Colours a video at its full size; memory does not grow with its length.

    The source is looked through once first, to know its frames and their rate. The frame rate is constant: the source's
    own, or the mean of one that is not. The sound is copied where `ffmpeg` is on the PATH. The target appears when it
    is whole.

    Args:
        source: Any video that OpenCV reads.
        target: Its suffix decides the format: .mp4, .mov, .mkv, .avi or .webm.
        colorizer: The models.
        look: What a person may turn.
        smoothing: Share of the earlier frames' colour where nothing moves, 0 to below 1; 0 is none.
        overwrite: Whether to colour again what is there already.
        batch: Frames that go through the networks together.

    Returns:
        What was written; None if the target was there already.

    Raises:
        InputError: The source cannot be read, or the target would overwrite it. Nothing was written.
        ConfigError: A setting is impossible, or this OpenCV has no codec for the target. Nothing was written.
        StorageError: The disk is full or cannot be written to. Nothing was written.
    """
    _check(source, target, smoothing, batch)
    if target.exists() and not overwrite:
        return None
    clip, measured = look_through(source), _Measured()
    with temporary_beside(target) as silent, temporary_beside(target.with_stem(f"{target.stem}.sound")) as sounding:
        frames = tqdm(read_frames(source, clip), "colorize", clip.frames, unit=" frames", disable=None, delay=1)
        coloured = _coloured(
            iter(frames), colorizer, look or Look(), smoothing=smoothing, batch=batch, measured=measured
        )
        written = write_frames(silent, coloured, clip)
        audio = add_sound(silent, source, sounding)
        publish(sounding if audio == "kept" else silent, target)
    return VideoResult(
        frames=written,
        fps=clip.fps,
        length_s=written / clip.fps,
        audio=audio,
        flicker_before=measured.before.mean,
        flicker_after=measured.after.mean,
        missing=clip.missing,
        drift_s=clip.drift_s,
    )


def _check(source: Path, target: Path, smoothing: float, batch: int) -> None:
    if not 0 <= smoothing < 1:
        raise ConfigError(f"smoothing = {smoothing}: not allowed. Allowed: 0 (none) to below 1.")
    if batch < 1:
        raise ConfigError(f"batch = {batch}: not allowed. Allowed: 1 or more.")
    check_codec(target)
    if os.path.realpath(source) == os.path.realpath(target):
        raise InputError(f"{target}: the coloured video would take the original's place. Give another name.")
    if target.is_dir():
        raise InputError(f"{target}: this folder is in the way of the video. Give another name.")


def _coloured(
    frames: Iterator[RGB], colorizer: Colorizer, look: Look, *, smoothing: float, batch: int, measured: _Measured
) -> Iterator[RGB]:
    predicted_before = smooth_before = None
    while some := list(islice(frames, batch)):
        lightnesses = [lightness_of(frame) for frame in some]
        small = [colorizer.at_model_size(L) for L in lightnesses]
        for L, L_small, ab in zip(lightnesses, small, colorizer.predict_ab(np.stack(small), look), strict=True):
            predicted = Colours(L_small, ab)
            smooth = smoothed(predicted, smooth_before, smoothing)
            if predicted_before is not None and smooth_before is not None:
                measured.before.add(predicted_before, predicted)
                measured.after.add(smooth_before, smooth)
            predicted_before, smooth_before = predicted, smooth
            yield join(L, upsample(smooth.ab * np.float32(look.saturation), L_small, L))
