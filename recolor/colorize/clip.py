"""Video files: frames by OpenCV, sound by the program `ffmpeg` if it is installed."""

import logging
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor.color.arrays import RGB
from recolor.errors import ConfigError, InputError, StorageError

Sound = Literal["kept", "dropped", "none", "unknown"]

# Codecs to write for each suffix; the first one that this OpenCV supports is used.
CODECS: Mapping[str, tuple[str, ...]] = {
    ".mp4": ("avc1", "mp4v"),
    ".mov": ("avc1", "mp4v"),
    ".mkv": ("avc1", "mp4v"),
    ".avi": ("MJPG",),
    ".webm": ("VP90", "VP80"),
}
_COUNT_FRAMES = (".mp4", ".mov", ".avi")  # other containers state a length in seconds, which includes the sound
_DEFAULT_FPS = 25.0  # for files that state no rate
_MAX_FPS = 1000.0
_MAX_FAILED_FRAMES = 250  # consecutive frames that cannot be decoded: the end, or ten seconds of damage
_ROUNDING_S = 0.002  # rounding of times, which OpenCV gives in milliseconds
_SOURCE_SOUND = re.compile(r"^\s*Stream #1:\d+.*: Audio: ", re.MULTILINE)  # the source is ffmpeg's input number 1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """The frames of a video file.

    Attributes:
        width_px: Width of the upright frames.
        height_px: Height of the upright frames.
        frames: Number of frames that can be read.
        fps: Frames per second; the mean rate if the frames are unevenly spaced.
        missing: Number of frames that the file announces but that cannot be read.
        drift_s: Largest distance of a frame from its time at `fps`, in seconds; 0 if all are evenly spaced.
    """

    width_px: int
    height_px: int
    frames: int
    fps: float
    missing: int
    drift_s: float


def look_through(path: Path) -> Clip:
    """Decodes a whole video once to find the number of frames and their times.

    Headers do not state them reliably.

    Raises:
        InputError: The file does not exist, or none of its frames can be read.
    """
    capture = _open(path)
    try:
        announced, nominal = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
        shape, times_s = None, []
        for _ in _grabbed(capture):
            times_s.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
            shape = shape or _shape(capture)
    finally:
        capture.release()
    if shape is None:
        raise InputError(f"{path}: no frame can be read. The file is empty, damaged or not a video.")
    fps, drift_s = _rate(np.array(times_s), nominal)
    missing = _missing(path, announced, len(times_s), fps)
    height_px, width_px = shape[:2]
    return Clip(width_px=width_px, height_px=height_px, frames=len(times_s), fps=fps, missing=missing, drift_s=drift_s)


def read_frames(path: Path, clip: Clip) -> Iterator[RGB]:
    """Yields the frames in order: upright, uint8 sRGB [H, W, 3], all of the clip's size.

    Raises:
        InputError: The file cannot be opened.
    """
    capture = _open(path)
    try:
        for _ in _grabbed(capture):
            frame = cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB)
            if frame.shape[:2] != (clip.height_px, clip.width_px):  # the size can change within a stream
                frame = cv2.resize(frame, (clip.width_px, clip.height_px), interpolation=cv2.INTER_AREA)
            yield np.asarray(frame, np.uint8)
    finally:
        capture.release()


def check_codec(path: Path) -> None:
    """Checks that videos with this suffix can be written.

    Raises:
        ConfigError: No codec is known for the suffix.
    """
    if path.suffix.lower() not in CODECS:
        raise ConfigError(f"{path}: videos are written as {', '.join(CODECS)}. Give a name that ends in one of these.")


def write_frames(path: Path, frames: Iterator[RGB], clip: Clip) -> int:
    """Writes a video and reads it once to check that it is complete.

    OpenCV does not report a full disk.

    Args:
        path: Output path; the suffix decides the container and the codec.
        frames: uint8 sRGB [H, W, 3] of the clip's size. Codecs need even sides: an odd last row or column is repeated.
        clip: Size and rate of the frames.

    Returns:
        Number of frames written.

    Raises:
        ConfigError: This OpenCV has no codec for the container at this size.
        StorageError: The written video is incomplete.
    """
    odd_rows, odd_columns = clip.height_px % 2, clip.width_px % 2
    writer, written = _writer(path, clip), 0
    try:
        for frame in frames:
            bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
            writer.write(cv2.copyMakeBorder(bgr, 0, odd_rows, 0, odd_columns, cv2.BORDER_REPLICATE))
            written += 1
    finally:
        writer.release()
    if _readable(path) != written:
        raise StorageError(f"{path.parent}: the video could not be written whole. Free some space there; run again.")
    return written


def add_sound(video: Path, source: Path, out: Path) -> Sound:
    """Writes a video with the sound of another one, both copied without re-encoding.

    Args:
        video: Video without sound; it is not changed.
        source: Video whose audio streams are all copied.
        out: Output with pictures and sound; complete only if the result is `kept`.

    Returns:
        `kept`: the sound was copied. `none`: the source has no sound. `dropped`: the sound could not be copied, for
        instance because the container does not support it. `unknown`: `ffmpeg` is not on the PATH.
    """
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        return "unknown"
    inputs = ["-i", f"file:{video.absolute()}", "-i", f"file:{source.absolute()}"]
    streams = ["-map", "0:v", "-map", "1:a?", "-c", "copy", f"file:{out.absolute()}"]
    command = [ffmpeg, "-hide_banner", "-nostdin", "-loglevel", "info", "-y", *inputs, *streams]
    try:
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)  # noqa: S603 - no shell
    except OSError as error:
        _log.warning("%s cannot be started, so the sound is not copied: %s", ffmpeg, error)
        return "dropped"
    messages = ended.stderr.decode(errors="replace")
    if not _SOURCE_SOUND.search(messages) and ended.returncode == 0:
        return "none"
    if ended.returncode != 0 or not out.is_file():
        _log.warning("%s: the sound was not copied; ffmpeg says: %s", source, messages.strip().rpartition("\n")[2])
        return "dropped"
    return "kept"


def _open(path: Path) -> cv2.VideoCapture:
    if not path.is_file():
        raise InputError(f"{path}: there is no such file.")
    capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise InputError(f"{path}: cannot be read as a video. The file is damaged, truncated or not a video.")
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    return capture


def _grabbed(capture: cv2.VideoCapture) -> Iterator[None]:
    """Yields once for each frame that can be decoded; damaged frames are skipped."""
    failed = 0
    while failed < _MAX_FAILED_FRAMES:
        if capture.grab():
            yield
            failed = 0
        else:
            failed += 1


def _shape(capture: cv2.VideoCapture) -> tuple[int, ...] | None:
    found, frame = capture.retrieve()
    return frame.shape if found else None


def _rate(times_s: NDArray[np.float64], nominal: float) -> tuple[float, float]:
    """Returns frames per second and the largest distance of a frame from its time.

    `nominal`, the rate stated by the file, may be wrong.
    """
    known = 0 < nominal <= _MAX_FPS
    numbers, elapsed_s = np.arange(len(times_s)), times_s - times_s[0]
    if not elapsed_s[-1] > 0:  # one frame, or a stream without times
        return (nominal if known else _DEFAULT_FPS), 0.0
    fps = nominal
    if not known or abs(elapsed_s[-1] - numbers[-1] / nominal) > _ROUNDING_S + elapsed_s[-1] / 2000:
        fps = min(numbers[-1] / elapsed_s[-1], _MAX_FPS)
    drift_s = float(np.abs(elapsed_s - numbers / fps).max())
    return float(fps), drift_s if drift_s > 0.5 / fps else 0.0


def _missing(path: Path, announced: float, frames: int, fps: float) -> int:
    if not 0 < announced < 1e9:
        return 0
    missing = max(0, int(announced) - frames)
    return missing if path.suffix.lower() in _COUNT_FRAMES or missing > fps / 2 else 0


def _writer(path: Path, clip: Clip) -> cv2.VideoWriter:
    check_codec(path)
    size = (clip.width_px + clip.width_px % 2, clip.height_px + clip.height_px % 2)
    for codec in CODECS[path.suffix.lower()]:
        fourcc = cv2.VideoWriter.fourcc(*codec)
        level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # missing codecs are logged
        writer = cv2.VideoWriter(str(path.absolute()), cv2.CAP_FFMPEG, fourcc, clip.fps, size)
        cv2.utils.logging.setLogLevel(level)
        if writer.isOpened():
            return writer
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise StorageError(f"{path.parent}: this folder cannot be written to. Make it writable, or give another.")
    raise ConfigError(
        f"{path.name} at {size[0]}x{size[1]}: this OpenCV cannot write it with any of the codecs"
        f" {', '.join(CODECS[path.suffix.lower()])}. Give a name that ends in .avi or .mp4."
    )


def _readable(path: Path) -> int:
    """Returns the number of frames of a video that can be read."""
    try:
        return look_through(path).frames
    except InputError:
        return 0
