"""Writes frames as a video: one codec for each container, with colour tags, pixel shape and the frames' times."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation
from av.video.stream import VideoStream

from recolor.color.arrays import Pixels
from recolor.colorize.video_source import Clip, TimedFrame
from recolor.errors import ConfigError, StorageError
from recolor.pipeline.storage import is_disk_error, storage_errors

MAX_CRF = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How the pictures of a container are written.

    Attributes:
        container: FFmpeg's name of the container.
        encoder: FFmpeg's name of the encoder.
        pixel_format: Pixel format; all have 4:2:0 chroma, which every player reads.
        deep_pixel_format: Pixel format of 10 bits; None if the encoder has none.
        crf: Default constant rate factor; None if the encoder has none.
        options: Other options of the encoder.
        is_full_range: Whether codes are 0..255 instead of 16..235.
        needs_even_sides: Whether an odd last row or column is repeated.
        keeps_times: Whether each frame has a time of its own; otherwise the rate is constant.
        keeps_shape: Whether pixels that are not square can be written; otherwise frames are scaled to square ones.
    """

    container: str
    encoder: str
    pixel_format: str = "yuv420p"
    deep_pixel_format: str | None = None
    crf: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    is_full_range: bool = False
    needs_even_sides: bool = True
    keeps_times: bool = True
    keeps_shape: bool = True


def _h264(container: str) -> Encoding:
    return Encoding(container=container, encoder="libx264", deep_pixel_format="yuv420p10le", crf=18)


_VP9 = {"b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}
ENCODINGS: Mapping[str, Encoding] = {
    ".mp4": _h264("mp4"),
    ".m4v": _h264("mp4"),
    ".mov": _h264("mov"),
    ".mkv": _h264("matroska"),
    ".webm": Encoding(
        container="webm", encoder="libvpx-vp9", crf=24, options=_VP9, needs_even_sides=False, keeps_shape=False
    ),
    ".avi": Encoding(
        container="avi",
        encoder="mjpeg",
        pixel_format="yuvj420p",
        is_full_range=True,
        keeps_times=False,
        options={"qmin": "2", "qmax": "2"},
        keeps_shape=False,
    ),
}


def encoding_for(path: Path, crf: int | None = None) -> Encoding:
    """Returns the encoding for the suffix of a path.

    Raises:
        ConfigError: Videos with this suffix are not written, or its encoder has no constant rate factor.
    """
    encoding = ENCODINGS.get(path.suffix.lower())
    if encoding is None:
        raise ConfigError(
            f"{path}: videos are written as {', '.join(ENCODINGS)}. Give a name that ends in one of these."
        )
    if crf is not None and encoding.crf is None:
        raise ConfigError(f"crf = {crf}: {path.suffix} has no such setting. Leave it out, or write .mp4 or .mkv.")
    highest = 51 if encoding.encoder == "libx264" else MAX_CRF
    if crf is not None and not 0 <= crf <= highest:
        raise ConfigError(f"crf = {crf}: not allowed. Allowed for {path.suffix}: 0 (best) to {highest}.")
    return encoding


def write_frames(path: Path, frames: Iterator[TimedFrame], clip: Clip, encoding: Encoding, crf: int | None) -> int:
    """Writes frames as an MP4 file that holds nothing else; the frames' times are kept exactly.

    Args:
        path: Output path.
        frames: sRGB frames of the clip's size; times in units of the clip.
        clip: Size, shape, rate and colour coding.
        encoding: What `encoding_for` returned.
        crf: Constant rate factor; None for the default.

    Returns:
        Number of frames written.

    Raises:
        StorageError: The file cannot be written whole.
    """
    time_base = clip.time_base if encoding.keeps_times else 1 / clip.rate
    written = 0
    with writing(path), av.open(str(path.absolute()), "w", format="mp4") as container:
        stream = _stream(container, clip, encoding, crf, time_base)
        for frame in frames:
            picture = _picture(frame.rgb, clip, encoding, (stream.width, stream.height))
            picture.pts, picture.time_base = (frame.time if encoding.keeps_times else written), time_base
            container.mux(stream.encode(picture))
            written += 1
        container.mux(stream.encode(None))
    return written


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns FFmpeg's errors into those of the disk.

    Raises:
        StorageError: Such an error was raised inside the context.
    """
    with storage_errors(path):
        try:
            yield
        except FFmpegError as error:
            if isinstance(error, OSError) and is_disk_error(error):
                raise
            raise StorageError(
                f"{path.parent}: the video could not be written whole ({error.strerror}). Free some space there; run"
                " again."
            ) from error


def _stream(
    container: av.container.OutputContainer, clip: Clip, encoding: Encoding, crf: int | None, time_base: Fraction
) -> VideoStream:
    chosen = {"crf": str(encoding.crf if crf is None else crf)} if encoding.crf is not None else {}
    stream = container.add_stream(
        encoding.encoder, rate=clip.rate, options={**encoding.options, **chosen}, time_base=time_base
    )
    assert isinstance(stream, VideoStream)
    stream.width, stream.height = _size(clip, encoding)
    deep = encoding.deep_pixel_format if clip.is_deep else None
    stream.pix_fmt = deep or encoding.pixel_format
    context = stream.codec_context
    if encoding.keeps_shape and clip.pixel_aspect != 1:
        context.sample_aspect_ratio = clip.pixel_aspect
    is_709 = _is_709(clip, encoding)
    context.color_range = ColorRange.JPEG if encoding.is_full_range else ColorRange.MPEG
    context.colorspace = 1 if is_709 else 6  # ITU-T H.273: BT.709, BT.601
    context.color_primaries = ColorPrimaries.BT709 if is_709 else ColorPrimaries.SMPTE170M
    context.color_trc = ColorTrc.BT709 if is_709 else ColorTrc.SMPTE170M
    return stream


def _size(clip: Clip, encoding: Encoding) -> tuple[int, int]:
    width_px, height_px = clip.width_px, clip.height_px
    if not encoding.keeps_shape:
        width_px = max(1, round(width_px * clip.pixel_aspect))
    if encoding.needs_even_sides:
        width_px, height_px = width_px + width_px % 2, height_px + height_px % 2
    return width_px, height_px


def _is_709(clip: Clip, encoding: Encoding) -> bool:
    """Returns whether to write BT.709: as the source, except that BT.2020 becomes it and JPEG is always BT.601."""
    return clip.matrix != "bt601" and not encoding.is_full_range


def _picture(rgb: Pixels, clip: Clip, encoding: Encoding, size: tuple[int, int]) -> VideoFrame:
    """Returns a frame in the encoder's format: an odd row or column repeated, or scaled to square pixels."""
    if encoding.needs_even_sides and (rgb.shape[0] % 2 or rgb.shape[1] % 2):
        rgb = np.pad(rgb, ((0, rgb.shape[0] % 2), (0, rgb.shape[1] % 2), (0, 0)), mode="edge")
    deep = encoding.deep_pixel_format if clip.is_deep else None
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24" if rgb.dtype == np.uint8 else "rgb48le")
    return frame.reformat(
        width=size[0],
        height=size[1],
        format=deep or encoding.pixel_format,
        src_color_range=ColorRange.JPEG,
        dst_colorspace=Colorspace.ITU709 if _is_709(clip, encoding) else Colorspace.ITU601,
        dst_color_range=ColorRange.JPEG if encoding.is_full_range else ColorRange.MPEG,
        interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP,
    )
