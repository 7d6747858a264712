"""Video files, by OpenCV: looked through, read frame by frame, and written. Of sound OpenCV knows nothing."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from recolor.color.arrays import RGB
from recolor.errors import ConfigError, InputError, StorageError

# What is written for a suffix; the first that this OpenCV can.
CODECS: Mapping[str, tuple[str, ...]] = {
    ".mp4": ("avc1", "mp4v"),
    ".mov": ("avc1", "mp4v"),
    ".mkv": ("avc1", "mp4v"),
    ".avi": ("MJPG",),
    ".webm": ("VP90", "VP80"),
}
_COUNT_FRAMES = (".mp4", ".mov", ".avi")  # others tell their length in seconds, with the sound's
_USUAL_FPS = 25.0  # where a file says nothing
_MAX_FPS = 1000.0
_PATIENCE = 250  # frames in a row that cannot be decoded: the end, or ten seconds of damage
_ROUNDING_S = 0.002  # of times in milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """What a video file holds.

    Attributes:
        width_px: Upright, as all frames are read.
        height_px: Upright.
        frames: Those that can be read.
        fps: Frames per second; their mean rate if they are unevenly spaced.
        missing: Frames that the file announces and that cannot be read.
        drift_s: The farthest that a frame is from its place at `fps`, in seconds; 0 if all are evenly spaced.
    """

    width_px: int
    height_px: int
    frames: int
    fps: float
    missing: int
    drift_s: float


def look_through(path: Path) -> Clip:
    """Decodes all of a video once: only then is it known how many frames there are, and when they are shown.

    Raises:
        InputError: There is no such file, or no frame of it can be read.
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
        raise InputError(f"{path}: no frame of this video can be read; it is empty, damaged or no video.")
    fps, drift_s = _rate(np.array(times_s), nominal)
    missing = _missing(path, announced, len(times_s), fps)
    height_px, width_px = shape[:2]
    return Clip(width_px=width_px, height_px=height_px, frames=len(times_s), fps=fps, missing=missing, drift_s=drift_s)


def read_frames(path: Path, clip: Clip) -> Iterator[RGB]:
    """The frames in their order, upright, uint8 sRGB [H, W, 3], all of the clip's size.

    Raises:
        InputError: The file cannot be opened.
    """
    capture = _open(path)
    try:
        for _ in _grabbed(capture):
            frame = cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB)
            if frame.shape[:2] != (clip.height_px, clip.width_px):  # some streams change their size on the way
                frame = cv2.resize(frame, (clip.width_px, clip.height_px), interpolation=cv2.INTER_AREA)
            yield np.asarray(frame, np.uint8)
    finally:
        capture.release()


def check_codec(path: Path) -> None:
    """Refuses a suffix that no codec is known for.

    Raises:
        ConfigError: There is none.
    """
    if path.suffix.lower() not in CODECS:
        raise ConfigError(f"{path}: videos are written as {', '.join(CODECS)}. Give a name that ends in one of these.")


def write_frames(path: Path, frames: Iterator[RGB], clip: Clip) -> int:
    """Writes a video, and reads it once to see that it is whole: OpenCV does not tell of a full disk.

    Args:
        path: Its suffix decides the container and the codec.
        frames: uint8 sRGB [H, W, 3] of the clip's size. Codecs want even sides: an odd last row or column comes twice.
        clip: Says size and rate.

    Returns:
        How many frames were written.

    Raises:
        ConfigError: This OpenCV has no codec for the container, at this size.
        StorageError: What was written is not whole.
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


def _open(path: Path) -> cv2.VideoCapture:
    if not path.is_file():
        raise InputError(f"{path}: there is no such file.")
    capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise InputError(f"{path}: cannot be read as a video; it is damaged, cut off or no video.")
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    return capture


def _grabbed(capture: cv2.VideoCapture) -> Iterator[None]:
    """Stops at each frame that can be decoded; where some cannot, those behind them may be."""
    failed = 0
    while failed < _PATIENCE:
        if capture.grab():
            yield
            failed = 0
        else:
            failed += 1


def _shape(capture: cv2.VideoCapture) -> tuple[int, ...] | None:
    found, frame = capture.retrieve()
    return frame.shape if found else None


def _rate(times_s: NDArray[np.float64], nominal: float) -> tuple[float, float]:
    """Frames per second, and the largest distance of a frame from its place; `nominal` may be any nonsense."""
    known = 0 < nominal <= _MAX_FPS
    numbers, elapsed_s = np.arange(len(times_s)), times_s - times_s[0]
    if not elapsed_s[-1] > 0:  # one frame, or a stream without times
        return (nominal if known else _USUAL_FPS), 0.0
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
        level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # a codec that is not there is noisy
        writer = cv2.VideoWriter(str(path.absolute()), cv2.CAP_FFMPEG, fourcc, clip.fps, size)
        cv2.utils.logging.setLogLevel(level)
        if writer.isOpened():
            return writer
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise StorageError(f"{path.parent}: nothing can be written to this folder. Make it writable, or give another.")
    raise ConfigError(
        f"{path.name} at {size[0]}x{size[1]}: this OpenCV has none of the codecs for that that are known here"
        f" ({', '.join(CODECS[path.suffix.lower()])}). Give a name that ends in .avi or .mp4."
    )


def _readable(path: Path) -> int:
    """How many frames of a video can be read."""
    try:
        return look_through(path).frames
    except InputError:
        return 0
