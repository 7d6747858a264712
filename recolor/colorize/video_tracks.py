"""Puts the written pictures and everything else of the source into one file, mostly without encoding it again."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, cast

import av
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream

from recolor.colorize.video_encoding import Encoding, writing
from recolor.colorize.video_source import Clip, opened

AnyPacket: TypeAlias = "Packet[Stream]"  # quoted: generic only for type checkers
Sound = Literal["kept", "encoded", "dropped", "none"]

# Sound that players read in each container; other sound is encoded by the codec of `_SOUND_ENCODERS`.
_MP4_SOUND = ("aac", "mp3", "mp3float", "ac3", "eac3", "opus", "flac", "alac")
_KEPT_SOUND = {"mp4": _MP4_SOUND, "webm": ("opus", "vorbis")}  # by container; all else that others can hold is kept
_SOUND_ENCODERS = {"mp4": "aac", "mov": "aac", "matroska": "flac", "webm": "libopus", "avi": "libmp3lame"}
_TEXT_ENCODERS = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
_TEXT_CODECS = ("mov_text", "subrip", "srt", "ass", "ssa", "webvtt", "text")
_KINDS = {"audio": "sound", "subtitle": "subtitles", "video": "a cover or second video"}
_SYNC_S = 0.05  # a distance of sound and pictures that is seen
_LOSSY_RATE = 48_000  # the only one of Opus, the highest of MP3
_SOUND_BITS_PER_S = 192_000
# Tags that describe the file that they stand in, not its content.
_OWN_TAGS = (
    "encoder",
    "major_brand",
    "minor_version",
    "compatible_brands",
    "handler_name",
    "vendor_id",
    "duration",
    "software",
)
_OWN_TAG_STARTS = ("_statistics", "bps", "number_of_", "duration-")


@dataclass(slots=True)
class Tracks:
    """What became of the tracks that are not pictures.

    Attributes:
        sound: `kept` if every sound track is there, copied; `encoded` if one was encoded again because the container
            does not hold its codec; `dropped` if one is missing; `none` if the source has none.
        lost: What the result does not have, each as a phrase such as `subtitles (hdmv_pgs_subtitle)`.
    """

    sound: Sound = "none"
    lost: list[str] = field(default_factory=list)


class _Track(Protocol):
    def packets(self, packet: "AnyPacket | None") -> Iterator[AnyPacket]:
        """Yields the packets to write for one of the source, or the last ones for None."""
        ...


def join_tracks(segments: Sequence[Path], source: Path, out: Path, clip: Clip, encoding: Encoding) -> Tracks:
    """Writes one file of the pictures of the segments and of the sounds, subtitles, chapters and tags of the source.

    Sounds and subtitles are copied unless the container cannot hold them; all keep their times relative to the
    pictures.

    Args:
        segments: Files of `write_frames`, in order.
        source: The video that was coloured.
        out: Output path; its name does not matter.
        clip: What `look_through` returned for the source.
        encoding: Container and codec.

    Raises:
        InputError: The source cannot be opened any more.
        StorageError: The file cannot be written whole.
    """
    with opened(source) as container, writing(out):
        try:
            tracks = _join(segments, container, out, clip, encoding)
        except FFmpegError as error:
            if isinstance(error, OSError) or len(container.streams) == 1:
                raise
            tracks = None  # a track that the container refuses only when it is written
    if tracks is None:
        with opened(source) as container, writing(out):
            tracks = _join(segments, container, out, clip, encoding, alone=True)
    return tracks


def _join(
    segments: Sequence[Path],
    source: InputContainer,
    out: Path,
    clip: Clip,
    encoding: Encoding,
    *,
    alone: bool = False,
) -> Tracks:
    """Writes the file; with `alone`, without the other tracks."""
    tracks = Tracks()
    fast_start = {"movflags": "+faststart"} if encoding.container in ("mp4", "mov") else {}
    with (
        av.open(str(segments[0].absolute())) as first,
        av.open(str(out.absolute()), "w", format=encoding.container, options=fast_start) as output,
    ):
        pictures: Stream = output.add_stream_from_template(first.streams.video[0], opaque=True)
        pictures.metadata.update(_tags(source.streams[clip.stream].metadata))
        if not encoding.keeps_times:
            pictures.time_base = 1 / clip.rate
        others = _other_tracks(source, None if alone else output, clip, encoding, tracks)
        output.metadata.update(_tags(source.metadata))
        if source.chapters():
            output.set_chapters(source.chapters())
        output.start_encoding()
        shown = _timed(_pictures(segments, pictures, clip, encoding))
        for _, packet in heapq.merge(shown, _timed(_copied(source, others)), key=lambda timed: timed[0]):
            output.mux_one(packet)
    _compare(source, out, tracks)
    return tracks


def _pictures(segments: Sequence[Path], stream: Stream, clip: Clip, encoding: Encoding) -> Iterator[AnyPacket]:
    """Yields the packets of all segments; their decoding times increase across the borders."""
    last, number = None, 0
    for segment in segments:
        durations = _durations(segment, clip)
        with av.open(str(segment.absolute())) as container:
            for packet in cast("Iterator[AnyPacket]", container.demux(container.streams.video[0])):
                if packet.dts is None:
                    continue
                if not encoding.keeps_times:
                    packet.time_base, packet.pts, packet.dts, packet.duration = 1 / clip.rate, number, number, 1
                else:
                    packet.dts = packet.dts if last is None else max(packet.dts, last + 1)
                    packet.duration = durations[packet.pts]
                last, number = packet.dts, number + 1
                packet.stream = stream
                yield packet


def _durations(segment: Path, clip: Clip) -> dict[int | None, int]:
    """Returns the duration of each picture by its time; MP4 states the times between pictures as they are decoded."""
    with av.open(str(segment.absolute())) as container:
        stream = container.streams.video[0]
        times = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None)
        last = max(1, round(clip.last_s / (stream.time_base or clip.time_base)))
    return {time: after - time for time, after in pairwise([*times, times[-1] + last])}


def _timed(packets: Iterator[AnyPacket]) -> Iterator[tuple[Fraction, AnyPacket]]:
    for packet in packets:
        time = packet.dts if packet.dts is not None else packet.pts
        yield (time or 0) * packet.time_base, packet


def _other_tracks(
    container: InputContainer, output: OutputContainer | None, clip: Clip, encoding: Encoding, tracks: Tracks
) -> dict[int, "_Track"]:
    """Adds a stream to the output, if given, for each of the source that it can hold; notes the others."""
    others: dict[int, _Track] = {}
    for stream in container.streams:
        if stream.index == clip.stream or _is_of_chapters(stream, container):
            continue
        track = None if output is None else _track(stream, output, clip, encoding)
        if track is not None:
            others[stream.index] = track
        if stream.type == "audio":
            tracks.sound = _together(tracks.sound, track)
            late_s = _late_s(stream, container.streams[clip.stream])
            if track is not None and not encoding.keeps_times and abs(late_s) > _SYNC_S:
                tracks.lost.append(f"the distance of sound from the pictures ({late_s:+.2f} s)")
        if track is None:
            codec = f" ({stream.codec_context.name})" if _is_known(stream) else ""
            tracks.lost.append(f"{_KINDS.get(stream.type, stream.type)}{codec}")
    return others


def _track(stream: Stream, output: OutputContainer, clip: Clip, encoding: Encoding) -> "_Track | None":
    if isinstance(stream, AudioStream) and _is_known(stream):
        return _sound_track(stream, output, clip, encoding)
    if isinstance(stream, SubtitleStream) and _is_known(stream):
        return _subtitle_track(stream, output, clip, encoding)
    if stream.type == "attachment" and encoding.container == "matroska":
        return _copy(stream, output, clip)
    return None


def _is_known(stream: Stream) -> bool:
    """Returns whether FFmpeg knows the codec; data and attachments have none."""
    return getattr(stream, "codec_context", None) is not None


def _together(sound: Sound, track: "_Track | None") -> Sound:
    """Returns what became of all sound, given that of the tracks before and one more track."""
    if track is None or sound == "dropped":
        return "dropped"
    return "encoded" if isinstance(track, _EncodedSound) or sound == "encoded" else "kept"


def _late_s(stream: Stream, pictures: Stream) -> float:
    """Returns how much later than the pictures a track begins, in seconds."""
    start_s, shown_s = (float((one.start_time or 0) * (one.time_base or 0)) for one in (stream, pictures))
    return start_s - shown_s


def _is_of_chapters(stream: Stream, container: InputContainer) -> bool:
    """Returns whether a stream holds the titles of the chapters, as in MP4; chapters are copied as such."""
    return stream.type == "data" and bool(container.chapters()) and container.format.name.startswith("mov")


def _sound_track(stream: AudioStream, output: OutputContainer, clip: Clip, encoding: Encoding) -> _Track | None:
    kept = _KEPT_SOUND.get(encoding.container)
    if (kept is None or stream.codec_context.name in kept) and (copied := _copy(stream, output, clip)):
        return copied
    try:
        return _EncodedSound(stream, output, _SOUND_ENCODERS[encoding.container], clip)
    except (FFmpegError, ValueError):
        return None


def _subtitle_track(stream: SubtitleStream, output: OutputContainer, clip: Clip, encoding: Encoding) -> _Track | None:
    name, encoder = stream.codec_context.name, _TEXT_ENCODERS.get(encoding.container)
    if encoder is not None and name in _TEXT_CODECS and name != encoder and encoding.container != "matroska":
        return _EncodedText(stream, output, encoder, clip)
    if encoding.container in ("mp4", "mov", "webm") and name != encoder:
        return None
    copied = _copy(stream, output, clip)
    if copied is None and encoder is not None and name in _TEXT_CODECS:
        return _EncodedText(stream, output, encoder, clip)
    return copied


def _copy(stream: Stream, output: OutputContainer, clip: Clip) -> _Track | None:
    """Returns a track that is copied; None if the container does not hold it."""
    try:
        return _Copied(stream, output, clip)
    except (FFmpegError, ValueError):
        return None


def _described(target: Stream, source: Stream) -> None:
    target.metadata.update(_tags(source.metadata))
    target.disposition = source.disposition


class _Copied:
    """A track whose packets are copied."""

    def __init__(self, source: Stream, output: OutputContainer, clip: Clip) -> None:
        self._stream = output.add_stream_from_template(source, opaque=True)
        self._origin_s = clip.origin_s
        self._last: int | None = None
        self._begins_at_0 = output.format.name == "avi"  # else all times would be shifted
        _described(self._stream, source)

    def packets(self, packet: "AnyPacket | None") -> Iterator[AnyPacket]:
        if packet is None or packet.dts is None:
            return
        _shift(packet, self._origin_s)
        if self._last is not None and packet.dts <= self._last:  # clocks that jump; containers refuse them
            packet.dts = self._last + 1
            packet.pts = max(packet.pts if packet.pts is not None else packet.dts, packet.dts)
        self._last = packet.dts
        if self._begins_at_0 and packet.dts < 0:
            return
        packet.stream = self._stream
        yield packet


class _EncodedSound:
    """A sound track that is decoded and encoded again."""

    def __init__(self, source: AudioStream, output: OutputContainer, encoder: str, clip: Clip) -> None:
        rate, layout = source.codec_context.sample_rate, source.codec_context.layout
        is_too_high = rate > _LOSSY_RATE and encoder != "flac"
        stream = output.add_stream(encoder, rate=_LOSSY_RATE if is_too_high or encoder == "libopus" else rate)
        assert isinstance(stream, AudioStream)
        is_too_wide = layout.nb_channels > 2 and encoder == "libmp3lame"
        stream.codec_context.layout = av.AudioLayout("stereo") if is_too_wide else layout
        if encoder != "flac":
            stream.codec_context.bit_rate = _SOUND_BITS_PER_S
        self._source, self._stream, self._origin_s = source, stream, clip.origin_s
        self._resampler: AudioResampler | None = None
        _described(stream, source)

    def packets(self, packet: "AnyPacket | None") -> Iterator[AnyPacket]:
        try:
            frames = self._source.decode(packet)
        except FFmpegError:
            frames = []  # damaged
        context = self._stream.codec_context
        if self._resampler is None:
            self._resampler = AudioResampler(context.format, context.layout, context.sample_rate, context.frame_size)
        for frame in [*frames, *([None] if packet is None else [])]:
            if frame is not None and frame.pts is not None and frame.time_base:
                frame.pts -= round(self._origin_s / frame.time_base)
            for sound in self._resampler.resample(frame):
                yield from self._stream.encode(sound)
        if packet is None:
            yield from self._stream.encode(None)


class _EncodedText:
    """A track of subtitles in the text format of another container."""

    def __init__(self, source: SubtitleStream, output: OutputContainer, encoder: str, clip: Clip) -> None:
        stream = output.add_stream(encoder, time_base=source.time_base)
        assert isinstance(stream, SubtitleStream)
        self._source, self._stream, self._origin_s = source, stream, clip.origin_s
        source.codec_context.open(strict=False)
        stream.codec_context.subtitle_header = source.codec_context.subtitle_header
        _described(stream, source)

    def packets(self, packet: "AnyPacket | None") -> Iterator[AnyPacket]:
        if packet is None or packet.dts is None or not packet.size:
            return
        subtitles = self._source.codec_context.decode2(packet)
        if subtitles is None:
            return
        encoded = self._stream.codec_context.encode_subtitle(subtitles)
        _shift(packet, self._origin_s)
        encoded.time_base, encoded.pts, encoded.dts = packet.time_base, packet.pts, packet.dts
        encoded.duration, encoded.stream = packet.duration, self._stream
        yield encoded


def _shift(packet: AnyPacket, origin_s: Fraction) -> None:
    if origin_s:
        units = round(origin_s / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts - units
        packet.dts = None if packet.dts is None else packet.dts - units


def _copied(container: InputContainer, tracks: dict[int, _Track]) -> Iterator[AnyPacket]:
    wanted = [container.streams[index] for index in tracks if container.streams[index].type != "attachment"]
    if not wanted:
        return
    try:
        for packet in container.demux(*wanted):
            if packet.dts is not None:
                yield from tracks[packet.stream.index].packets(packet)
    except FFmpegError:
        pass  # the source is cut off here
    for track in tracks.values():
        yield from track.packets(None)


def _tags(metadata: dict[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in metadata.items()
        if name.lower() not in _OWN_TAGS and not name.lower().startswith(_OWN_TAG_STARTS)
    }


def _compare(source: InputContainer, out: Path, tracks: Tracks) -> None:
    """Notes the tags and chapters that the written file does not have."""
    with av.open(str(out.absolute()), metadata_errors="replace") as written:
        there = {name.lower() for name in written.metadata}
        lost = [name for name in _tags(source.metadata) if name.lower() not in there]
        chapters = len(source.chapters()) - len(written.chapters())
    if lost:
        tracks.lost.append(f"tags ({', '.join(lost)})")
    if chapters > 0:
        tracks.lost.append(f"{chapters} chapters")
