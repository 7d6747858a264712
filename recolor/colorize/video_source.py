"""Reads videos with PyAV: what a file holds, and its frames as upright sRGB with their times."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal, cast

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.filter import Graph
from av.packet import Packet
from av.sidedata.sidedata import SideData, Type
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, ColorTrc, Interpolation
from av.video.stream import VideoStream
from numpy.typing import NDArray

from recolor.color.arrays import Pixels
from recolor.errors import InputError

Matrix = Literal["bt709", "bt601", "bt2020"]

_STILL = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
_HDR = {ColorTrc.SMPTE2084: "PQ", ColorTrc.ARIB_STD_B67: "HLG"}
_CODED_AS = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020", 10: "bt2020"}  # AVColorSpace: ITU-T H.273, table 4
_COLORSPACE = {"bt709": Colorspace.ITU709, "bt601": Colorspace.ITU601, "bt2020": Colorspace.BT2020}
_HD_PX = 720  # from this height on, untagged video is BT.709, as players take it
_CLOCK_FORMATS = ("mpegts", "mpeg")  # their times count from an arbitrary moment
_DURATION_TAG = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")
_MOST_REORDERED = 32  # pictures between decoding and showing: H.264 allows 16 frames
_DEFAULT_RATE = Fraction(25)  # for files that state no rate
_MAX_RATE = 1000
_ROUNDING_S = 0.002  # Matroska rounds times to milliseconds
_MAX_FAILED_PACKETS = 250  # consecutive packets that cannot be decoded: ten seconds of damage


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """What a video file holds.

    Attributes:
        stream: Index of the video stream: the first one with more than one picture that is not a cover.
        codec: Name of its codec.
        width_px: Width of the upright frames.
        height_px: Height of the upright frames.
        frames: Number of frames that the file has or announces, whichever is more.
        rate: Frames per second; the mean rate if the frames are unevenly spaced.
        drift_s: Largest distance of a frame from its time at `rate`, in seconds; 0 if all are evenly spaced.
        last_s: Duration of the last frame in seconds.
        time_base: Seconds of one unit of the frames' times.
        origin_s: Time of the file that becomes 0; not 0 only in MPEG streams, whose clock starts anywhere.
        pixel_aspect: Width of a pixel divided by its height, of the upright frames.
        is_deep: Whether a channel has more than 8 bits.
        has_alpha: Whether the frames have transparency, which is not read.
        matrix: How RGB is coded, as tagged or, without a tag, as usual for the height.
    """

    stream: int
    codec: str
    width_px: int
    height_px: int
    frames: int
    rate: Fraction
    drift_s: float
    last_s: Fraction
    time_base: Fraction
    origin_s: Fraction
    pixel_aspect: Fraction
    is_deep: bool
    has_alpha: bool
    matrix: Matrix


@dataclass(frozen=True, slots=True)
class TimedFrame:
    """A frame.

    Attributes:
        rgb: Upright sRGB [H, W, 3], uint8 or, if it has more bits, uint16.
        time: Time in units of `Clip.time_base`.
        deinterlaced: Whether it, or a frame before it, consisted of two fields.
    """

    rgb: Pixels
    time: int
    deinterlaced: bool = False


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """Opens a video file for reading.

    Raises:
        InputError: There is no such file, or it is not a video.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file.")
    try:
        # Playlists, whatever their name, may not open addresses.
        container = av.open(str(path.absolute()), options={"protocol_whitelist": "file"}, metadata_errors="replace")
    except FFmpegError as error:
        raise InputError(f"{path}: cannot be read as a video. The file is damaged, cut off or not a video.") from error
    with container:
        yield container


def look_through(path: Path) -> Clip:
    """Reads the times of all frames, and decodes the first one.

    Headers do not state the number of frames and their times reliably.

    Raises:
        InputError: The file does not exist, none of its frames can be read, or it has a high dynamic range.
    """
    with opened(path) as container:
        stream, pictures = _main_stream(path, container)
        time_base = stream.time_base or Fraction(1, 1000)
        origin_s = Fraction(container.start_time or 0, av.time_base) if _has_clock(container) else Fraction(0)
        nominal, codec, shape = stream.guessed_rate, stream.codec_context.name, stream.sample_aspect_ratio
        announced = _announced(container, stream, pictures.times) - pictures.unshown
        index = stream.index
    first = next(_decoded(path, index), None)
    if first is None:
        raise InputError(f"{path}: no frame can be read. The file is empty, damaged or not a video.")
    if first.color_trc in _HDR:
        name = _HDR[ColorTrc(first.color_trc)]
        raise InputError(f"{path}: high dynamic range ({name}) is not supported. Convert the video to BT.709 first.")
    rate, drift_s = _rate(np.array(sorted(pictures.times)) * float(time_base), nominal)
    turned = _turn(first)[0]
    width_px, height_px = (first.height, first.width) if turned else (first.width, first.height)
    pixel_aspect = shape or Fraction(1)
    return Clip(
        stream=index,
        codec=codec,
        width_px=width_px,
        height_px=height_px,
        frames=max(announced, len(pictures.times)),
        rate=rate,
        drift_s=drift_s,
        last_s=pictures.last * time_base or 1 / rate,
        time_base=time_base,
        origin_s=origin_s,
        pixel_aspect=1 / pixel_aspect if turned else pixel_aspect,
        is_deep=max(component.bits for component in first.format.components) > 8,
        has_alpha=any(component.is_alpha for component in first.format.components),
        matrix=_matrix(first),
    )


def read_frames(path: Path, clip: Clip, skip: int = 0) -> Iterator[TimedFrame]:
    """Yields the frames in order, all of the clip's size; their times increase.

    Frames that cannot be decoded are left out. A frame without a usable time comes one frame's duration after the
    preceding one.

    Args:
        path: The video.
        clip: What `look_through` returned for it.
        skip: Number of frames to leave out at the beginning.

    Raises:
        InputError: The file cannot be opened.
    """
    frames = _decoded(path, clip.stream)
    duration = max(1, round(1 / (clip.rate * clip.time_base)))
    before: int | None = None
    for number, (frame, deinterlaced) in enumerate(_deinterlaced(frames)):
        time = _time(frame, clip)
        if time is None or (before is not None and time <= before):
            time = 0 if before is None else before + duration
        before = time
        if number >= skip:
            yield TimedFrame(_upright_rgb(frame, clip), time, deinterlaced)


@dataclass(slots=True)
class _Pictures:
    """The pictures of a stream: their times, the number of those that are not shown, the last one's duration."""

    times: list[int] = field(default_factory=list)
    unshown: int = 0
    last: int = 0

    def add(self, packet: "Packet[Stream]") -> None:
        time = packet.dts if packet.pts is None else packet.pts
        if packet.is_discard or (packet.size == 0 and time is not None):
            self.unshown += 1  # outside of the edit list, or empty, which repeats the one before
        elif packet.size:
            time = len(self.times) if time is None else time
            if not self.times or time > max(self.times[-_MOST_REORDERED:]):
                self.last = packet.duration or 0
            self.times.append(time)


def _main_stream(path: Path, container: InputContainer) -> tuple[VideoStream, _Pictures]:
    """Returns the stream to colour and its pictures."""
    streams = {stream.index: stream for stream in container.streams.video if not stream.disposition & _STILL}
    if not streams:
        raise InputError(f"{path}: no video in this file, only {_kinds(container)}.")
    pictures = {index: _Pictures() for index in streams}
    try:
        for packet in container.demux(*streams.values()):
            pictures[packet.stream.index].add(packet)
    except FFmpegError:
        pass  # cut off: what was read before counts
    index = next((index for index in streams if len(pictures[index].times) > 1), min(streams))
    return streams[index], pictures[index]


def _kinds(container: InputContainer) -> str:
    kinds = {"audio": "sound", "video": "pictures"}
    found = dict.fromkeys(kinds.get(stream.type, stream.type) for stream in container.streams)
    return " and ".join(found) or "nothing that can be read"


def _announced(container: InputContainer, stream: VideoStream, times: list[int]) -> int:
    """Returns the number of frames that the header states or that fit into the length that it states."""
    if stream.frames:
        return stream.frames
    time_base, rate, end_s = stream.time_base, stream.guessed_rate, _end_s(container, stream)
    if not (times and time_base and rate and end_s):
        return 0
    after = int((end_s - max(times) * time_base) * rate + Fraction(1, 2)) - 1
    return len(times) + max(0, after)


def _end_s(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Returns the end of the pictures by the header; None if it states only that of all streams together."""
    found = _DURATION_TAG.fullmatch(stream.metadata.get("DURATION", ""))  # of Matroska
    if found:
        hours, minutes, seconds = found.groups()
        return Fraction(int(hours) * 3600 + int(minutes) * 60) + Fraction(seconds)
    if len(container.streams) > 1 or _has_clock(container) or not container.duration:
        return None
    return Fraction(container.duration, av.time_base)


def _has_clock(container: InputContainer) -> bool:
    return container.format.name in _CLOCK_FORMATS


def _decoded(path: Path, index: int) -> Iterator[VideoFrame]:
    """Yields the frames that can be decoded."""
    with opened(path) as container:
        stream = container.streams[index]
        assert isinstance(stream, VideoStream)
        stream.thread_type = "AUTO"
        packets, failed = container.demux(stream), 0
        while failed < _MAX_FAILED_PACKETS:
            try:
                packet = next(packets)
                if packet.size == 0 and packet.dts is not None:
                    continue  # an empty packet repeats the last picture; PyAV would take it for the end
                yield from packet.decode()
                failed = 0
            except FFmpegError:
                failed += 1
            except StopIteration:
                return


def _deinterlaced(frames: Iterator[VideoFrame]) -> Iterator[tuple[VideoFrame, bool]]:
    """Yields one progressive frame for each, and whether one has been interlaced so far."""
    graph: Graph | None = None
    for frame in frames:
        if graph is None and frame.interlaced_frame:
            graph = _deinterlacer(frame)
        if graph is None:
            yield frame, False
        else:
            graph.vpush(frame)
            yield from ((progressive, True) for progressive in _pulled(graph))
    if graph is not None:
        graph.vpush(None)
        yield from ((progressive, True) for progressive in _pulled(graph))


def _deinterlacer(frame: VideoFrame) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 1000)
    )
    graph.link_nodes(source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink"))
    graph.configure()
    return graph


def _pulled(graph: Graph) -> Iterator[VideoFrame]:
    while True:
        try:
            yield graph.vpull()
        except (BlockingIOError, EOFError):
            return


def _time(frame: VideoFrame, clip: Clip) -> int | None:
    """Returns the time in units of the clip; filters and streams may count in other ones."""
    if frame.pts is None:
        return None
    return round((frame.pts * (frame.time_base or clip.time_base) - clip.origin_s) / clip.time_base)


def _upright_rgb(frame: VideoFrame, clip: Clip) -> Pixels:
    turned, flip_x, flip_y = _turn(frame)
    width_px, height_px = (clip.height_px, clip.width_px) if turned else (clip.width_px, clip.height_px)
    color_range = ColorRange(frame.color_range)
    if color_range == ColorRange.UNSPECIFIED and not frame.format.name.startswith(("gray", "yuvj")):
        color_range = ColorRange.MPEG
    image = frame.reformat(
        width=width_px,
        height=height_px,
        format="rgb48le" if clip.is_deep else "rgb24",
        src_colorspace=_COLORSPACE[clip.matrix],
        src_color_range=None if frame.format.is_rgb else color_range,
        dst_color_range=ColorRange.JPEG,
        interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT,
    ).to_ndarray()
    image = image.transpose(1, 0, 2) if turned else image
    image = image[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
    return np.ascontiguousarray(image, np.uint16 if clip.is_deep else np.uint8)


def _turn(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """Returns whether rows and columns swap, and whether x and y are flipped after that, by the display matrix.

    The matrix maps x, y to a x + c y, b x + d y (ISO/IEC 14496-12, 8.3.2); phones write turns by 90 degrees.
    """
    found = cast("Mapping[Type, SideData]", frame.side_data).get(Type.DISPLAYMATRIX)
    if found is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(found), np.int32)[:5].tolist()
    turned = abs(b) > abs(a)
    return (True, c < 0, b < 0) if turned else (False, a < 0, d < 0)


def _matrix(frame: VideoFrame) -> Matrix:
    usual: Matrix = "bt709" if frame.height >= _HD_PX else "bt601"
    return _CODED_AS.get(frame.colorspace, usual)  # type: ignore[return-value]


def _rate(times_s: NDArray[np.float64], nominal: Fraction | None) -> tuple[Fraction, float]:
    """Returns frames per second and the largest distance of a frame from its time.

    `nominal`, the rate stated by the file, may be wrong.
    """
    known = nominal is not None and 0 < nominal <= _MAX_RATE
    rate = nominal if nominal is not None and known else _DEFAULT_RATE
    if len(times_s) < 2 or not times_s[-1] > times_s[0]:  # one frame, or a stream without times
        return rate, 0.0
    numbers, elapsed_s = np.arange(len(times_s)), times_s - times_s[0]
    if not known or abs(elapsed_s[-1] - numbers[-1] / float(rate)) > _ROUNDING_S + elapsed_s[-1] / 2000:
        mean = min(numbers[-1] / elapsed_s[-1], _MAX_RATE)
        rate = Fraction(float(mean)).limit_denominator(100_000)
    drift_s = float(np.abs(elapsed_s - numbers / float(rate)).max())
    return rate, drift_s if drift_s > 0.5 / rate else 0.0
