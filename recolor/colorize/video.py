"""Colours videos frame by frame, with colour smoothed over time where nothing moves."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from recolor.color.arrays import RGB
from recolor.color.gamut import join, lightness_of
from recolor.colorize.clip import Sound, add_sound, check_codec, look_through, read_frames, write_frames
from recolor.colorize.colorizer import Colorizer
from recolor.colorize.look import Look
from recolor.colorize.outputs import temporary_beside
from recolor.colorize.smoothing import Colours, Flicker, smoothed
from recolor.colorize.upsample import upsample
from recolor.errors import ConfigError, InputError
from recolor.pipeline.progress import track
from recolor.pipeline.storage import replace_atomically, storage_errors


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoResult:
    """The outcome of colouring a video.

    Attributes:
        frames: Number of frames written.
        fps: Frames per second, constant.
        length_s: Length in seconds.
        audio: `kept`; `dropped` if it could not be copied; `none` if the source has none; `unknown` if `ffmpeg`, which
            copies the sound, is not on the PATH.
        flicker_before: Mean |Δab| of still pixels between frames, at the models' size, as predicted.
        flicker_after: The same after smoothing.
        missing: Number of frames that the source announces but that could not be read.
        drift_s: Largest distance of a frame from its time in the source, in seconds; 0 if those are evenly spaced.
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

    The source is decoded twice: first to count the frames and find their rate, then to colour them. The output has a
    constant frame rate: that of the source, or its mean if it varies. The sound is copied if `ffmpeg` is on the PATH.
    The target is written atomically.

    Args:
        source: Any video that OpenCV reads.
        target: Output path; the suffix decides the format: .mp4, .mov, .mkv, .avi or .webm.
        colorizer: The models.
        look: Saturation and temperature; None for the defaults.
        smoothing: Weight of the preceding frames' colour where nothing moves, 0 (off) to below 1.
        overwrite: Whether to colour the video again if the target exists.
        batch: Number of frames coloured together.

    Returns:
        The outcome; None if the target existed already.

    Raises:
        InputError: The source cannot be read, or the target would overwrite it. Nothing was written.
        ConfigError: A setting is out of range, or this OpenCV has no codec for the target. Nothing was written.
        StorageError: The disk is full or not writable. Nothing was written.
    """
    _check(source, target, smoothing, batch)
    if target.exists() and not overwrite:
        return None
    clip, measured = look_through(source), _Measured()
    with temporary_beside(target) as silent, temporary_beside(target.with_stem(f"{target.stem}.sound")) as sounding:
        frames = track(read_frames(source, clip), "colorize", clip.frames, "frames")
        coloured = _coloured(
            iter(frames), colorizer, look or Look(), smoothing=smoothing, batch=batch, measured=measured
        )
        written = write_frames(silent, coloured, clip)
        audio = add_sound(silent, source, sounding)
        with storage_errors(target):
            replace_atomically(sounding if audio == "kept" else silent, target)
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
        raise InputError(f"{target}: the coloured video would replace the original. Give another name.")
    if target.is_dir():
        raise InputError(f"{target}: a folder with this name exists. Give another name.")


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
