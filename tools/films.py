"""Films of every kind in, coloured ones out, and what became of them: `python tools/films.py`.

Makes small films as real sources have them (pixels that are not square, full range, 10 bits, uneven times, fields,
several sounds, subtitles), colours each, reads both back and prints a table in Markdown. The tests make their films
here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import cv2
import numpy as np
from av.subtitles.subtitle import SubtitleSet
from skimage import data

from recolor.colorize import Colorizer
from recolor.colorize.video import colorize_video

MS = Fraction(1, 1000)
_ASS_HEADER = (
    b"[Script Info]\nScriptType: v4.00+\n\n[Events]\n"
    b"Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """A sound track to write: a tone."""

    codec: str = "aac"
    start_s: float = 0.0
    length_s: float = 0.5
    language: str = "und"
    rate: int = 48_000
    layout: str = "mono"


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """What PyAV reads from a film.

    Attributes:
        codec: Name of the codec of the pictures.
        pixel_format: Their pixel format, with colour range and matrix, as numbers of ITU-T H.273.
        frames: Frames as decoded, uint8 sRGB [H, W, 3], not turned.
        times_s: Their times.
        pixel_aspect: Width of a pixel divided by its height.
        rotation: Turn by the display matrix, in degrees.
        tracks: Type, codec, language, first and last time of the sounds and subtitles.
        chapters: Their titles.
        tags: Tags of the file.
    """

    codec: str
    pixel_format: tuple[str, int, int]
    frames: list[np.ndarray]
    times_s: list[float]
    pixel_aspect: Fraction | None
    rotation: int
    tracks: list[tuple[str, str, str | None, float, float]]
    chapters: list[str]
    tags: dict[str, str] = field(default_factory=dict)


def grey_frames(count: int = 6, width: int = 64, height: int = 48, *, noise: float = 0.0, shift: int = 1):
    """Yields frames of a photograph that moves, uint8 [H, W, 3]."""
    random = np.random.default_rng(1)
    grey = cv2.resize(data.camera(), (width, height), interpolation=cv2.INTER_AREA).astype(float)
    for number in range(count):
        frame = np.roll(grey, shift * number, axis=1) + random.normal(0, noise, grey.shape)
        yield np.repeat(frame.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def write_film(
    path: Path,
    frames: Sequence[np.ndarray] | None = None,
    *,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    rate: Fraction | float = 25,
    times_ms: Sequence[int] | None = None,
    pixel_aspect: Fraction | None = None,
    full_range: bool = False,
    matrix: int = 6,
    rotation: int | None = None,
    sounds: Sequence[Sound] = (),
    subtitles: Sequence[tuple[int, int, str]] = (),
    subtitle_codec: str = "subrip",
    chapters: Sequence[str] = (),
    tags: dict[str, str] | None = None,
    cover: bool = False,
    options: dict[str, str] | None = None,
) -> Path:
    """Writes a film; by default 6 frames of a moving photograph, of 64x48 pixels and 25 frames a second."""
    frames = list(grey_frames()) if frames is None else list(frames)
    rate = Fraction(rate).limit_denominator(1001)
    time_base = MS if times_ms else 1 / rate
    with av.open(str(path), "w") as output:
        still = output.add_stream("mjpeg", rate=1, pix_fmt="yuvj420p", width=32, height=32) if cover else None
        if still is not None:
            still.disposition = av.stream.Disposition.attached_pic
        film = output.add_stream(codec, rate=rate, time_base=time_base, options=_options(codec) | (options or {}))
        film.height, film.width = frames[0].shape[:2]
        film.pix_fmt = pixel_format
        if pixel_aspect:
            film.codec_context.sample_aspect_ratio = pixel_aspect
        if not pixel_format.startswith(("gray", "gbr", "rgb", "bgr")):
            film.codec_context.color_range = 2 if full_range else 1
            film.codec_context.colorspace = film.codec_context.color_primaries = matrix
            film.codec_context.color_trc = matrix
        if rotation is not None:
            film.set_display_rotation(rotation)
        tones = [(sound, _tone_stream(output, sound)) for sound in sounds]
        text = output.add_stream(subtitle_codec, time_base=MS) if subtitles else None
        if text is not None:
            text.codec_context.subtitle_header = _ASS_HEADER
            text.metadata["language"] = "eng"
        output.metadata.update(tags or {})
        if chapters:
            output.set_chapters(
                [
                    {"id": number, "start": 100 * number, "end": 100 * number + 100, "time_base": MS,
                     "metadata": {"title": title}}
                    for number, title in enumerate(chapters)
                ]
            )  # fmt: skip
        output.start_encoding()
        if still is not None:
            picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8)).reformat(format="yuvj420p")
            picture.pts = 0
            output.mux([*still.encode(picture), *still.encode(None)])
        packets = [packet for sound, stream in tones for packet in _tone(sound, stream)]
        packets += [_text(text, *line) for line in subtitles]
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, "rgb48le" if frame.dtype == np.uint16 else "rgb24")
            picture = picture.reformat(
                format=pixel_format, dst_colorspace=1 if matrix == 1 else 5,
                dst_color_range=2 if full_range or pixel_format.startswith("gray") else 1,
            )  # fmt: skip
            picture.pts, picture.time_base = (times_ms[number] if times_ms else number), time_base
            packets += film.encode(picture)
        packets += film.encode(None)
        for packet in sorted(packets, key=lambda one: (one.dts or 0) * one.time_base):
            output.mux_one(packet)
    return path


def _options(codec: str) -> dict[str, str]:
    return {
        "libx264": {"crf": "8", "preset": "ultrafast"},
        "mjpeg": {"qmin": "2", "qmax": "2"},
        "mpeg2video": {"b": "4000000"},
    }.get(codec, {})


def _tone_stream(output: av.container.OutputContainer, sound: Sound):
    stream = output.add_stream(sound.codec, rate=sound.rate)
    stream.codec_context.layout = sound.layout
    stream.metadata["language"] = sound.language
    return stream


def _tone(sound: Sound, stream):
    context = stream.codec_context
    resampler = av.AudioResampler(context.format, context.layout, context.sample_rate, context.frame_size or 1024)
    times_s = np.arange(round(sound.length_s * sound.rate)) / sound.rate
    samples = (8000 * np.sin(2 * np.pi * 440 * times_s)).astype(np.int16)[None]
    frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
    frame.sample_rate, frame.time_base = sound.rate, Fraction(1, sound.rate)
    frame.pts = round(sound.start_s * sound.rate)
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    return [packet for one in [*frames, None] for packet in stream.encode(one)]


def _text(stream, start_ms: int, end_ms: int, text: str):
    line = f"0,0,Default,,0,0,0,,{text}".encode()
    packet = stream.codec_context.encode_subtitle(SubtitleSet.create(line, 0, end_ms - start_ms, start_ms * 1000))
    packet.pts = packet.dts = start_ms
    packet.duration, packet.time_base, packet.stream = end_ms - start_ms, MS, stream
    return packet


def read_film(path: Path) -> Film:
    """Reads a film whole."""
    with av.open(str(path)) as container:
        film = container.streams.video[-1]  # a cover comes before it
        context = film.codec_context
        spans: dict[int, tuple[float, float]] = {}
        frames, rotation = [], 0
        for packet in container.demux():
            if packet.stream.index == film.index:
                frames += film.decode(packet)
            elif packet.pts is not None and packet.size > 2:  # MP4 fills pauses of subtitles with empty ones
                times = float(packet.pts * packet.time_base), float((packet.pts + packet.duration) * packet.time_base)
                first, last = spans.get(packet.stream.index, times)
                spans[packet.stream.index] = min(first, times[0]), max(last, times[1])
        rotation = frames[0].rotation if frames else 0
        tracks = [
            (stream.type, stream.codec_context.name if stream.codec_context else "", stream.language,
             *spans.get(stream.index, (0.0, 0.0)))
            for stream in container.streams if stream.type in ("audio", "subtitle")
        ]  # fmt: skip
        return Film(
            codec=context.name,
            pixel_format=(context.pix_fmt, context.color_range, context.colorspace),
            frames=[as_rgb(frame) for frame in frames],
            times_s=[frame.time for frame in frames],
            pixel_aspect=film.sample_aspect_ratio,
            rotation=rotation,
            tracks=tracks,
            chapters=[chapter["metadata"].get("title", "") for chapter in container.chapters()],
            tags=dict(container.metadata),
        )


def as_rgb(frame: av.VideoFrame) -> np.ndarray:
    """Returns a frame as uint8 sRGB [H, W, 3], by its tags."""
    spaces = {1: 1, 5: 5, 6: 5}
    return frame.reformat(
        format="rgb24", src_colorspace=spaces.get(frame.colorspace, 5), dst_color_range=2, interpolation=4
    ).to_ndarray()


_UNEVEN_MS = (0, 40, 80, 280, 480, 500)
_TEXT = {"subtitles": [(100, 300, "hello")], "chapters": ["one", "two"], "tags": {"title": "Grandfather"}}
_RANGES = {1: "limited", 2: "full"}
_MATRICES = {1: "BT.709", 5: "BT.601", 6: "BT.601"}
# What a film is, its file, how it is made, and the endings of the coloured files.
CASES = (
    ("plain", "plain.mp4", {}, ".mp4 .m4v .mov .mkv .webm .avi"),
    ("pixels 64:45, as of DV", "dv.mp4", {"pixel_aspect": Fraction(64, 45)}, ".mp4 .webm"),
    ("full range, BT.709", "full.mp4", {"full_range": True, "matrix": 1}, ".mp4"),
    ("10 bits", "deep.mkv", {"pixel_format": "yuv420p10le"}, ".mp4 .webm"),
    ("FFV1, 16 bits grey", "grey.mkv", {"codec": "ffv1", "pixel_format": "gray16le"}, ".mkv"),
    ("4:4:4, 65x49", "odd.mkv", {"frames": grey_frames(6, 65, 49), "pixel_format": "yuv444p"}, ".mp4 .webm"),
    (
        "ProRes with alpha",
        "alpha.mov",
        {"codec": "prores_ks", "pixel_format": "yuva444p10le", "options": {"profile": "4444"}},
        ".mov",
    ),
    ("turned by 90 degrees", "turned.mp4", {"rotation": 90}, ".mp4"),
    ("uneven times", "uneven.mp4", {"times_ms": _UNEVEN_MS}, ".mp4 .avi"),
    (
        "pictures 0.5 s after the sound",
        "late.mkv",
        {"times_ms": [500 + 40 * n for n in range(6)], "sounds": [Sound(length_s=1.0)]},
        ".mp4",
    ),
    (
        "two sounds, subtitles, chapters",
        "rich.mkv",
        {"sounds": [Sound(language="deu"), Sound(language="eng", start_s=0.25)], **_TEXT},
        ".mkv .mp4 .webm .avi",
    ),
    ("PCM sound", "pcm.mov", {"sounds": [Sound(codec="pcm_s16le", start_s=0.1)]}, ".mov .mp4"),
    (
        "interlaced MPEG-2",
        "fields.mpg",
        {"codec": "mpeg2video", "options": {"flags": "+ildct+ilme"}, "sounds": [Sound(codec="mp2")]},
        ".mp4",
    ),
    ("a cover first", "cover.mkv", {"cover": True}, ".mp4"),
)


def main() -> None:
    """Prints the table."""
    colorizer = Colorizer.from_pretrained("cpu")
    print("| film | file | pictures | size, shape | times in s | other tracks, from their time in s | told |")
    print("|---|---|---|---|---|---|---|")
    with TemporaryDirectory() as folder:
        for what, name, made, suffixes in CASES:
            source = write_film(Path(folder) / name, **{"frames": grey_frames(6), **made})
            print(_row(what, source, ""))
            for suffix in suffixes.split():
                target = Path(folder) / f"out-{source.stem}{suffix}"
                result = colorize_video(source, target, colorizer)
                assert result is not None
                print(_row("→", target, "; ".join(result.notes)))


def _row(what: str, path: Path, told: str) -> str:
    film = read_film(path)
    height, width, _ = film.frames[0].shape
    pixels, color_range, matrix = film.pixel_format
    tags = f"{_RANGES.get(color_range, '')} {_MATRICES.get(matrix, '')}"
    shape = f", {film.pixel_aspect}" if film.pixel_aspect not in (None, 1) else ""
    turned = f", turned {film.rotation}" if film.rotation else ""
    times = f"{len(film.frames)}: {film.times_s[0]:.2f} to {film.times_s[-1]:.2f}"
    tracks = [
        f"{codec} {'' if language in (None, 'und') else language + ' '}{start_s:.2f}"
        for _, codec, language, start_s, _ in film.tracks
    ]
    tracks += [f"{len(film.chapters)} chapters"] if film.chapters else []
    cells = (what, path.suffix, f"{film.codec} {pixels} {tags}".strip(), f"{width}x{height}{shape}{turned}", times)
    return f"| {' | '.join((*cells, ', '.join(tracks), told))} |"


if __name__ == "__main__":
    main()
