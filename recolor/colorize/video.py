"""Colours videos frame by frame, with colour smoothed over time where nothing moves."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice, repeat
from pathlib import Path

import numpy as np

from recolor.color.arrays import Pixels
from recolor.color.gamut import join, join16, lightness_of
from recolor.colorize.colorizer import Colorizer, Float32Array
from recolor.colorize.look import Look
from recolor.colorize.outputs import temporary_beside
from recolor.colorize.smoothing import Colours, smoothed
from recolor.colorize.upsample import upsample
from recolor.colorize.video_encoding import Encoding, encoding_for, write_frames
from recolor.colorize.video_segments import ResumeState, segments_beside, segments_key
from recolor.colorize.video_source import Clip, TimedFrame, look_through, read_frames
from recolor.colorize.video_tracks import Sound, join_tracks
from recolor.errors import ConfigError, InputError
from recolor.pipeline.parallel import in_threads
from recolor.pipeline.progress import Progress
from recolor.pipeline.storage import replace_atomically, storage_errors

SEGMENT_S = 60.0
_READ_AHEAD = 2  # frames beyond a batch
_FINISH_BEHIND = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoResult:
    """The outcome of colouring a video.

    Attributes:
        frames: Number of frames written.
        reused: How many of them an earlier run, which did not end, had coloured.
        fps: Frames per second; the mean if the frames are unevenly spaced.
        length_s: Length in seconds.
        audio: `kept`: all sound was copied. `encoded`: some was encoded again, because the container does not hold
            its codec. `dropped`: some is missing. `none`: the source has none.
        flicker_before: Mean |Δab| of still pixels between frames, at the models' size, as predicted.
        flicker_after: The same after smoothing.
        missing: Number of frames that the source announces but that could not be read.
        drift_s: Largest distance of a frame from its time in the source, in seconds: 0 except in AVI files, whose
            frames are evenly spaced.
        notes: What the result does not keep, or has otherwise than the source, each a phrase.
    """

    frames: int
    reused: int
    fps: float
    length_s: float
    audio: Sound
    flicker_before: float
    flicker_after: float
    missing: int
    drift_s: float
    notes: tuple[str, ...]


def colorize_video(
    source: Path,
    target: Path,
    colorizer: Colorizer,
    *,
    look: Look | None = None,
    smoothing: float = 0.8,
    overwrite: bool = False,
    batch: int = 1,
    crf: int | None = None,
    segment_s: float = SEGMENT_S,
) -> VideoResult | None:
    """Colours a video at its full size; memory does not grow with its length.

    Every frame keeps its time and shape. Sounds, subtitles, chapters and tags are copied; what the container of the
    target cannot hold is encoded again or named in the result. Pictures are written in segments beside the target;
    after an interruption, the same call goes on after the last finished one. The target is written atomically.

    Args:
        source: Any video that FFmpeg reads.
        target: Output path; the suffix decides the format: .mp4, .m4v, .mov, .mkv, .webm or .avi.
        colorizer: The models.
        look: How bold the colours are; None for the defaults.
        smoothing: Weight of the preceding frames' colour where nothing moves, 0 (off) to below 1.
        overwrite: Whether to colour the video again if the target exists.
        batch: Number of frames coloured together.
        crf: Constant rate factor of the encoder, 0 (best) to 51, or 63 for .webm; None for 18, or 24 for .webm.
        segment_s: Length of a segment in seconds.

    Returns:
        The outcome; None if the target existed already.

    Raises:
        InputError: The source cannot be read, or the target would overwrite it. Nothing was written.
        ConfigError: A setting is out of range, or the target has another suffix. Nothing was written.
        WorkspaceBusyError: Another process writes this target.
        StorageError: The disk is full or not writable. Finished segments are kept.
    """
    encoding = _check(source, target, smoothing, batch, crf)
    if target.exists() and not overwrite:
        return None
    clip, look = look_through(source), look or Look()
    segment_frames = max(1, round(segment_s * clip.rate))
    key = segments_key(source, colorizer, look, smoothing, crf, target.suffix.lower(), segment_frames)
    with segments_beside(target, key) as segments:
        done = segments.resume_state()
        reused = done.frames
        frames = read_frames(source, clip, skip=reused)
        with Progress("colorize", clip.frames, "frames", initial=reused) as progress:
            while (first := next(frames, None)) is not None:
                part = chain([first], islice(frames, segment_frames - 1))
                coloured = _coloured(part, colorizer, look, smoothing=smoothing, batch=batch, done=done)
                write_frames(segments.unfinished, _counted(coloured, progress), clip, encoding, crf)
                segments.add(done)
        with temporary_beside(target) as joined:
            tracks = join_tracks(segments.finished, source, joined, clip, encoding)
            with storage_errors(target):
                replace_atomically(joined, target)
    return VideoResult(
        frames=done.frames,
        reused=reused,
        fps=float(clip.rate),
        length_s=float(done.frames / clip.rate),
        audio=tracks.sound,
        flicker_before=done.before.mean,
        flicker_after=done.after.mean,
        missing=_missing(clip, done),
        drift_s=0.0 if encoding.keeps_times else clip.drift_s,
        notes=(*_notes(clip, encoding, done), *(f"not kept: {lost}" for lost in tracks.lost)),
    )


def _check(source: Path, target: Path, smoothing: float, batch: int, crf: int | None) -> Encoding:
    if not 0 <= smoothing < 1:
        raise ConfigError(f"smoothing = {smoothing}: not allowed. Allowed: 0 (none) to below 1.")
    if batch < 1:
        raise ConfigError(f"batch = {batch}: not allowed. Allowed: 1 or more.")
    encoding = encoding_for(target, crf)
    if os.path.realpath(source) == os.path.realpath(target):
        raise InputError(f"{target}: the coloured video would replace the original. Give another name.")
    if target.is_dir():
        raise InputError(f"{target}: a folder with this name exists. Give another name.")
    return encoding


def _coloured(
    frames: Iterator[TimedFrame], colorizer: Colorizer, look: Look, *, smoothing: float, batch: int, done: ResumeState
) -> Iterator[TimedFrame]:
    """Colours frames, and brings `done` up to date with each. Two threads read and finish them meanwhile."""

    def predicted() -> Iterator[_Predicted]:
        ahead = _read_ahead(reader, frames, batch + _READ_AHEAD)
        while some := list(islice(ahead, batch)):
            small = [colorizer.at_model_size(L) for _, L in some]
            colours = colorizer.predict_ab(np.stack(small), look)
            for (frame, L), L_small, ab in zip(some, small, colours, strict=True):
                done.deinterlaced = frame.deinterlaced
                yield _Predicted(frame, L, _smooth(Colours(L_small, ab), smoothing, done))

    def finish(one: _Predicted) -> TimedFrame:
        ab = upsample(one.colours.ab * np.float32(look.saturation), one.colours.L, one.L)
        rgb: Pixels = join16(one.L, ab) if one.frame.rgb.dtype == np.uint16 else join(one.L, ab)
        return TimedFrame(rgb, one.frame.time)

    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as finisher:
        yield from in_threads(finisher, finish, predicted(), ahead=_FINISH_BEHIND)


@dataclass(frozen=True, slots=True)
class _Predicted:
    """A frame, its L at full size, and its smoothed colour at the models' size."""

    frame: TimedFrame
    L: Float32Array
    colours: Colours


def _read_ahead(
    pool: ThreadPoolExecutor, frames: Iterator[TimedFrame], count: int
) -> Iterator[tuple[TimedFrame, Float32Array]]:
    """Yields frames and their L; the pool's only thread reads this number of frames ahead."""

    def read(_: None) -> tuple[TimedFrame, Float32Array] | None:
        frame = next(frames, None)
        return None if frame is None else (frame, lightness_of(frame.rgb))

    for one in in_threads(pool, read, repeat(None), ahead=count):
        if one is None:
            return
        yield one


def _smooth(predicted: Colours, smoothing: float, done: ResumeState) -> Colours:
    smooth = smoothed(predicted, done.smooth, smoothing)
    if done.predicted is not None and done.smooth is not None:
        done.before.add(done.predicted, predicted)
        done.after.add(done.smooth, smooth)
    done.predicted, done.smooth, done.frames = predicted, smooth, done.frames + 1
    return smooth


def _counted(frames: Iterator[TimedFrame], progress: Progress) -> Iterator[TimedFrame]:
    for frame in frames:
        yield frame
        progress.update()


def _missing(clip: Clip, done: ResumeState) -> int:
    in_fields = done.deinterlaced and abs(clip.frames - 2 * done.frames) <= 2  # some streams have a packet a field
    return 0 if in_fields else max(0, clip.frames - done.frames)


def _notes(clip: Clip, encoding: Encoding, done: ResumeState) -> Iterator[str]:
    if done.deinterlaced:
        yield "interlaced: deinterlaced, one frame for each two fields"
    if clip.has_alpha:
        yield "not kept: transparency"
    if clip.is_deep and encoding.deep_pixel_format is None:
        yield f"not kept: more than 8 bits, which {encoding.encoder} does not write"
    if clip.pixel_aspect != 1 and not encoding.keeps_shape:
        yield "pixels were not square: the width was scaled"
