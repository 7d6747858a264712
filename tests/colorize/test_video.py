import os
import resource
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from itertools import islice, pairwise

import av
import numpy as np
import pytest
from click.testing import CliRunner
from films import Sound, grey_frames, read_film, write_film

from recolor.cli.main import cli
from recolor.color.gamut import join, lightness_of
from recolor.colorize import Colorizer, Look
from recolor.colorize.video import colorize_video
from recolor.colorize.video_encoding import ENCODINGS, Encoding
from recolor.colorize.video_source import look_through, read_frames
from recolor.errors import ConfigError, InputError, StorageError, WorkspaceBusyError
from recolor.pipeline.storage import unfinished_folder

WIDTH, HEIGHT, FRAMES = 64, 48, 6
UNEVEN_MS = [0, 40, 80, 280, 480, 500]
GREY = Look(saturation=0.0)


@pytest.fixture(scope="session")
def colorizer(colorizer):
    """A colorizer with a model size of 64 pixels, which is faster."""
    generator = replace(colorizer.generator, details={**colorizer.generator.details, "image_px": 64})
    return replace(colorizer, generator=generator)


@pytest.fixture
def film(tmp_path):
    return write_film(tmp_path / "film.mp4")


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def _error(first, second):
    return np.abs(first.astype(float) - second).mean()


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".mp4", "h264"), (".m4v", "h264"), (".mov", "h264"), (".mkv", "h264"), (".webm", "vp9"), (".avi", "mjpeg")],
)
def test_every_container_keeps_frames_size_and_times(colorizer, film, tmp_path, suffix, codec):
    result = colorize_video(film, tmp_path / f"out{suffix}", colorizer, segment_s=0.08)
    written = read_film(tmp_path / f"out{suffix}")
    assert written.codec == codec
    assert written.times_s == pytest.approx([number / 25 for number in range(FRAMES)])
    assert written.frames[0].shape == (HEIGHT, WIDTH, 3)
    assert (result.frames, result.fps, result.length_s) == (FRAMES, 25, FRAMES / 25)
    assert (result.missing, result.drift_s, result.audio, result.notes) == (0, 0, "none", ())
    assert _names(tmp_path) == ["film.mp4", f"out{suffix}"]


@pytest.mark.parametrize(
    ("suffix", "matrix", "full_range"),
    [(".mp4", 1, False), (".mp4", 6, True), (".mkv", 6, False), (".webm", 1, True), (".avi", 1, False)],
)
def test_black_stays_black_and_colour_is_tagged(colorizer, tmp_path, suffix, matrix, full_range):
    """Steps of grey, from black to white, come back as they were; half of the codes would be wrong by 7 or more."""
    steps = np.repeat(np.repeat(np.arange(0, 256, 51, dtype=np.uint8), 16)[None, :, None], 48, axis=0).repeat(3, axis=2)
    source = write_film(tmp_path / "film.mp4", [steps] * 2, matrix=matrix, full_range=full_range)
    colorize_video(source, tmp_path / f"out{suffix}", colorizer, look=GREY)
    written = read_film(tmp_path / f"out{suffix}")
    assert np.abs(written.frames[0][24, 8::16].astype(int) - steps[24, 8::16]).max() <= 2
    assert written.pixel_format == (("yuvj420p", 2, 5) if suffix == ".avi" else ("yuv420p", 1, matrix))


@pytest.fixture
def lossless(monkeypatch):
    """Makes .mkv files lossless."""
    monkeypatch.setitem(ENCODINGS, ".mkv", Encoding(container="matroska", encoder="ffv1", pixel_format="yuv444p"))


def test_frames_are_coloured_as_photographs_are_and_keep_their_own_lightness(colorizer, film, tmp_path, lossless):
    """Without smoothing."""
    colorize_video(film, tmp_path / "out.mkv", colorizer, smoothing=0.0)
    clip = look_through(film)
    for before, after in zip(read_frames(film, clip), read_film(tmp_path / "out.mkv").frames, strict=True):
        L = lightness_of(before.rgb)
        expected = join(L, colorizer.predict_colour(L))
        assert _error(expected, after) < 1.5
        assert np.ptp(after, axis=2).mean() > 5


def test_smoothing_lowers_the_flicker_that_the_result_tells(colorizer, tmp_path):
    source = write_film(tmp_path / "film.mp4", grey_frames(6, noise=3, shift=0))
    result = colorize_video(source, tmp_path / "smooth.mp4", colorizer)
    assert 0 < result.flicker_after < 0.6 * result.flicker_before
    plain = colorize_video(source, tmp_path / "plain.mp4", colorizer, smoothing=0.0)
    assert plain.flicker_after == plain.flicker_before == result.flicker_before


def test_batches_and_segments_give_the_same_pictures(colorizer, tmp_path, lossless):
    """Smoothing goes on across the borders of segments."""
    source = write_film(tmp_path / "film.mkv", grey_frames(noise=3, shift=0), codec="ffv1")
    whole, batch, segments = (
        colorize_video(source, tmp_path / name, colorizer, **options)
        for name, options in (("0.mkv", {}), ("1.mkv", {"batch": 4}), ("2.mkv", {"segment_s": 0.08}))
    )
    assert whole.flicker_after == segments.flicker_after == pytest.approx(batch.flicker_after, rel=1e-3)
    frames = [read_film(tmp_path / f"{number}.mkv").frames for number in range(3)]
    assert len(frames[1]) == len(frames[2]) == FRAMES
    assert np.array_equal(frames[0], frames[2])
    assert np.abs(np.subtract(frames[0], frames[1], dtype=int)).max() <= 8


def test_a_lower_crf_gives_a_larger_file(colorizer, film, tmp_path):
    for crf in (10, 40):
        colorize_video(film, tmp_path / f"{crf}.mp4", colorizer, crf=crf)
    assert (tmp_path / "10.mp4").stat().st_size > 1.5 * (tmp_path / "40.mp4").stat().st_size


def test_mp4_begins_with_its_index_so_that_it_plays_while_it_loads(colorizer, film, tmp_path):
    colorize_video(film, tmp_path / "out.mp4", colorizer)
    content = (tmp_path / "out.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_uneven_times_and_the_shape_of_pixels_are_kept(colorizer, tmp_path, suffix):
    """DV's pixels are wider than high; WebM cannot say so in this muxer, so its frames are wider instead."""
    source = write_film(tmp_path / "film.mp4", times_ms=UNEVEN_MS, pixel_aspect=Fraction(64, 45))
    result = colorize_video(source, tmp_path / f"out{suffix}", colorizer, segment_s=0.08)
    written = read_film(tmp_path / f"out{suffix}")
    assert written.times_s == pytest.approx([time / 1000 for time in UNEVEN_MS])
    height, width, _ = written.frames[0].shape
    assert width * (written.pixel_aspect or 1) / height == pytest.approx(64 / 48 * 64 / 45, rel=0.01)
    assert result.drift_s == 0
    assert bool(result.notes) == (suffix == ".webm")


def test_the_last_frame_lasts_as_long_as_it_did(colorizer, tmp_path):
    """In the source, as long as the frame before it."""
    source = write_film(tmp_path / "film.avi", grey_frames(2), rate=2, codec="mjpeg", pixel_format="yuvj420p")
    colorize_video(source, tmp_path / "first.mp4", colorizer)
    colorize_video(tmp_path / "first.mp4", tmp_path / "out.mkv", colorizer)
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.duration == pytest.approx(1_000_000, abs=2000)


def test_avi_has_a_constant_rate_and_the_largest_distance_is_told(colorizer, tmp_path):
    source = write_film(tmp_path / "film.mp4", times_ms=UNEVEN_MS)
    result = colorize_video(source, tmp_path / "out.avi", colorizer)
    assert (result.frames, len(read_film(tmp_path / "out.avi").frames)) == (FRAMES, FRAMES)
    assert result.fps == pytest.approx(5 / 0.5)
    assert result.drift_s == pytest.approx(max(abs(t / 1000 - n * 0.1) for n, t in enumerate(UNEVEN_MS)))


@pytest.mark.parametrize("rate", [Fraction(25, 2), Fraction(30000, 1001), 60])
def test_the_frame_rate_is_kept(colorizer, tmp_path, rate):
    source = write_film(tmp_path / "film.mkv", grey_frames(2), rate=rate)
    result = colorize_video(source, tmp_path / "out.mp4", colorizer)
    assert result.fps == pytest.approx(float(rate), abs=1e-3)
    assert read_film(tmp_path / "out.mp4").times_s == pytest.approx([n / float(rate) for n in range(2)], abs=1e-3)


@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_a_turned_video_comes_out_upright_once(colorizer, tmp_path, degrees):
    """A rotation in the matrix of the track header, as phones write."""
    source = write_film(tmp_path / "film.mp4", grey_frames(2), rotation=degrees, pixel_aspect=Fraction(3, 2))
    colorize_video(source, tmp_path / "out.mp4", colorizer, look=GREY)
    written = read_film(tmp_path / "out.mp4")
    upright = np.rot90(read_film(source).frames[0], degrees // 90)
    assert written.rotation == 0
    assert written.frames[0].shape == upright.shape
    assert _error(written.frames[0], upright) < 3
    assert written.pixel_aspect == (Fraction(3, 2) if degrees == 180 else Fraction(2, 3))


@pytest.mark.parametrize(
    ("codec", "pixel_format", "options"),
    [
        ("libx264", "yuv420p10le", {}),
        ("ffv1", "gray16le", {}),
        ("ffv1", "gray", {}),
        ("libx264", "yuv444p", {}),
        ("prores_ks", "yuva444p10le", {"profile": "4444"}),
        ("mjpeg", "yuvj422p", {}),
        ("ffv1", "bgr0", {}),
    ],
)
def test_depth_is_kept_and_all_kinds_of_pixels_are_read(colorizer, tmp_path, codec, pixel_format, options):
    suffix = ".mov" if codec == "prores_ks" else ".mkv"
    source = write_film(
        tmp_path / f"film{suffix}", grey_frames(2), codec=codec, pixel_format=pixel_format, options=options
    )
    result = colorize_video(source, tmp_path / "out.mp4", colorizer, look=GREY)
    written = read_film(tmp_path / "out.mp4")
    assert written.pixel_format[0] == ("yuv420p10le" if "1" in pixel_format[-6:-2] else "yuv420p")
    assert _error(written.frames[1], list(grey_frames(2))[1]) < 3
    assert result.notes == (("not kept: transparency",) if "yuva" in pixel_format else ())


@pytest.mark.parametrize(("suffix", "size"), [(".mp4", (50, 66)), (".webm", (49, 65))])
def test_an_odd_row_or_column_is_kept_and_comes_twice_in_h264(colorizer, tmp_path, suffix, size):
    source = write_film(tmp_path / "film.mkv", grey_frames(2, 65, 49), codec="ffv1")
    colorize_video(source, tmp_path / f"out{suffix}", colorizer, look=GREY)
    frame = read_film(tmp_path / f"out{suffix}").frames[0]
    assert frame.shape[:2] == size
    assert _error(frame[:49, :65], next(grey_frames(1, 65, 49))) < 3


def test_fields_become_whole_frames(colorizer, tmp_path):
    """A source that moves between its fields has combs; the result has none, and the times are the source's."""
    frames = list(grey_frames(8, 64, 64, shift=4))
    for first, second in pairwise(frames):
        first[1::2] = second[1::2]
    source = write_film(tmp_path / "film.mpg", frames, codec="mpeg2video", options={"flags": "+ildct+ilme"})
    result = colorize_video(source, tmp_path / "out.mp4", colorizer, look=GREY)
    written, before = read_film(tmp_path / "out.mp4"), read_film(source)
    assert _combs(written.frames[3]) < 0.5 * _combs(before.frames[3])
    assert np.diff(written.times_s) == pytest.approx(np.diff(before.times_s), abs=1e-3)
    assert any("deinterlaced" in note for note in result.notes)
    assert result.missing == 0


def _combs(frame):
    rows = frame[..., 0].astype(int)
    return np.abs(rows[1:-1] - (rows[:-2] + rows[2:]) / 2).mean()


RICH = {
    "sounds": [Sound(language="deu", length_s=0.6), Sound(language="eng", start_s=0.25)],
    "subtitles": [(100, 300, "hello")],
    "chapters": ["one", "two"],
    "tags": {"title": "Grandfather", "date": "1958"},
}


@pytest.mark.parametrize(
    ("suffix", "sound", "text", "audio"),
    [(".mkv", "aac", "srt", "kept"), (".mp4", "aac", "mov_text", "kept"), (".webm", "opus", "webvtt", "encoded")],
)
def test_sounds_subtitles_chapters_and_tags_are_kept_with_their_times(
    colorizer, tmp_path, *, suffix, sound, text, audio
):
    source = write_film(tmp_path / "film.mkv", grey_frames(3), **RICH)
    result = colorize_video(source, tmp_path / f"out{suffix}", colorizer)
    written = read_film(tmp_path / f"out{suffix}")
    assert [track[:3] for track in written.tracks] == [
        ("audio", sound, "deu"),
        ("audio", sound, "eng"),
        ("subtitle", text, "eng"),
    ]
    for before, after in zip(read_film(source).tracks, written.tracks, strict=True):
        assert after[3:] == pytest.approx(before[3:], abs=0.03)  # codecs begin with up to 20 ms of silence
    assert written.times_s[0] == 0
    assert written.chapters == ["one", "two"]
    assert {name.lower(): value for name, value in written.tags.items()}.items() >= RICH["tags"].items()
    assert (result.audio, result.notes) == (audio, ())


def test_pictures_that_begin_after_the_sound_still_do(colorizer, tmp_path):
    times = [500 + 40 * number for number in range(6)]
    source = write_film(tmp_path / "film.mkv", grey_frames(6), times_ms=times, sounds=[Sound(length_s=1.0)])
    result = colorize_video(source, tmp_path / "out.mp4", colorizer)
    written = read_film(tmp_path / "out.mp4")
    assert result.missing == 0
    assert written.times_s == pytest.approx([time / 1000 for time in times])
    assert written.tracks[0][3:] == pytest.approx((0, 1), abs=0.03)


@pytest.mark.parametrize(("suffix", "codec", "audio"), [(".mp4", "aac", "encoded"), (".mov", "pcm_s16le", "kept")])
def test_sound_that_players_do_not_take_is_encoded_again(colorizer, tmp_path, suffix, codec, audio):
    source = write_film(tmp_path / "film.mov", grey_frames(3), sounds=[Sound(codec="pcm_s16le", start_s=0.1)])
    assert colorize_video(source, tmp_path / f"out{suffix}", colorizer).audio == audio
    (track,) = read_film(tmp_path / f"out{suffix}").tracks
    assert track[1] == codec
    assert track[3:] == pytest.approx((0.1, 0.6), abs=0.03)


def test_sound_of_six_channels_and_96_khz_is_encoded_again(colorizer, tmp_path):
    sound = Sound(codec="pcm_s24le", rate=96_000, layout="5.1")
    source = write_film(tmp_path / "film.mov", grey_frames(2), sounds=[sound])
    for suffix in (".mp4", ".avi", ".webm"):
        result = colorize_video(source, tmp_path / f"out{suffix}", colorizer)
        assert (result.audio, result.notes) == ("kept" if suffix == ".avi" else "encoded", ())
        (track,) = read_film(tmp_path / f"out{suffix}").tracks
        assert track[3:] == pytest.approx((0, 0.5), abs=0.03)


def test_what_avi_does_not_hold_is_named(colorizer, tmp_path):
    source = write_film(tmp_path / "film.mkv", grey_frames(3), **RICH)
    result = colorize_video(source, tmp_path / "out.avi", colorizer)
    assert result.notes == (
        "not kept: the distance of sound from the pictures (+0.25 s)",
        "not kept: subtitles (srt)",
        "not kept: 2 chapters",
    )


def test_a_track_that_cannot_be_written_never_loses_the_video(colorizer, tmp_path, monkeypatch):
    def failing(_, tracks):
        yield from ()
        if tracks:
            raise av.error.InvalidDataError(1, "no")

    monkeypatch.setattr("recolor.colorize.video_tracks._copied", failing)
    source = write_film(tmp_path / "film.mkv", grey_frames(2), sounds=[Sound()])
    result = colorize_video(source, tmp_path / "out.mp4", colorizer)
    assert (result.frames, result.audio, result.notes) == (2, "dropped", ("not kept: sound (aac)",))
    assert len(read_film(tmp_path / "out.mp4").frames) == 2


def test_a_cover_before_the_film_is_not_the_film(colorizer, tmp_path):
    source = write_film(tmp_path / "film.mkv", grey_frames(3), cover=True)
    result = colorize_video(source, tmp_path / "out.mp4", colorizer)
    assert (result.frames, read_film(tmp_path / "out.mp4").frames[0].shape) == (3, (HEIGHT, WIDTH, 3))
    assert result.notes == ("not kept: a cover or second video (mjpeg)",)


def test_a_clock_that_starts_anywhere_starts_at_zero_with_sound_and_pictures_together(colorizer, tmp_path):
    source = write_film(tmp_path / "film.ts", grey_frames(6), sounds=[Sound()])
    colorize_video(source, tmp_path / "out.mp4", colorizer)
    before, after = read_film(source), read_film(tmp_path / "out.mp4")
    assert min(after.times_s[0], after.tracks[0][3]) == 0
    assert after.times_s[0] - after.tracks[0][3] == pytest.approx(before.times_s[0] - before.tracks[0][3], abs=1e-3)


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".wmv", "wmv2"), (".flv", "flv1"), (".mts", "libx264"), (".avi", "mpeg4"), (".mpg", "mpeg1video")],
)
def test_old_kinds_of_files_are_read(colorizer, tmp_path, suffix, codec):
    source = write_film(tmp_path / f"film{suffix}", grey_frames(3), codec=codec)
    result = colorize_video(source, tmp_path / "out.mp4", colorizer)
    assert (result.frames, result.fps, result.missing, result.notes) == (3, 25, 0, ())
    assert np.diff(read_film(tmp_path / "out.mp4").times_s) == pytest.approx(0.04, abs=1e-3)


def test_a_damaged_middle_loses_its_frames_alone_and_is_told(colorizer, tmp_path):
    source = write_film(tmp_path / "film.avi", grey_frames(), codec="mjpeg", pixel_format="yuvj420p")
    content = bytearray(source.read_bytes())
    pictures = [at for at in range(len(content) - 4) if content[at : at + 4] == b"00dc"][:FRAMES]
    for start, end in ((2, 3), (3, 4)):
        content[pictures[start] + 8 : pictures[end]] = bytes(pictures[end] - pictures[start] - 8)
    source.write_bytes(content)
    result = colorize_video(source, tmp_path / "out.mkv", colorizer)
    assert result.frames == FRAMES - result.missing == FRAMES - 2
    times = read_film(tmp_path / "out.mkv").times_s
    assert len(times) == result.frames
    assert times[-1] == pytest.approx(0.2)


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".mp4"])
def test_a_video_that_is_cut_off_is_coloured_as_far_as_it_goes(colorizer, tmp_path, suffix):
    source = write_film(tmp_path / f"film{suffix}", grey_frames(20), codec="mjpeg", pixel_format="yuvj420p")
    kept_bytes = source.stat().st_size * 6 // 10
    if suffix == ".mp4":  # with its index at the beginning
        colorize_video(source, tmp_path / "first.mp4", colorizer)
        source = tmp_path / "first.mp4"
        with av.open(str(source)) as film:
            kept_bytes = [packet.pos for packet in film.demux(video=0)][12]
    source.write_bytes(source.read_bytes()[:kept_bytes])
    result = colorize_video(source, tmp_path / "out.mp4", colorizer)
    assert 3 <= result.frames <= 16
    assert result.missing == pytest.approx(20 - result.frames, abs=1)


@pytest.mark.parametrize("content", [b"", b"<html></html>", b"RIFF" + bytes(200)], ids=["empty", "page", "header"])
def test_what_is_no_video_is_refused_and_nothing_is_written(colorizer, tmp_path, content):
    (tmp_path / "film.avi").write_bytes(content)
    with pytest.raises(InputError, match=r"film\.avi"):
        colorize_video(tmp_path / "film.avi", tmp_path / "out.mp4", colorizer)
    assert _names(tmp_path) == ["film.avi"]


def test_a_playlist_opens_no_address(colorizer, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/film.ts"
        (tmp_path / "film.mp4").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{address}\n#EXT-X-ENDLIST\n")
        with pytest.raises(InputError, match=r"film\.mp4"):
            colorize_video(tmp_path / "film.mp4", tmp_path / "out.mp4", colorizer)
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_sound_alone_is_named_as_such(colorizer, tmp_path):
    with av.open(str(tmp_path / "sound.mp4"), "w") as output:
        stream = output.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 4800), np.float32), "fltp", "stereo")
        frame.sample_rate = 48_000
        output.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(InputError, match="no video in this file, only sound"):
        colorize_video(tmp_path / "sound.mp4", tmp_path / "out.mp4", colorizer)


def test_what_cannot_be_is_refused_before_any_work(colorizer, film, tmp_path):
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(InputError, match="no such file"):
        colorize_video(tmp_path / "gone.mp4", tmp_path / "out.mp4", colorizer)
    with pytest.raises(InputError, match="original"):
        colorize_video(film, tmp_path / "folder.mp4" / ".." / "film.mp4", colorizer, overwrite=True)
    with pytest.raises(InputError, match=r"folder\.mp4.*a folder with this name"):
        colorize_video(film, tmp_path / "folder.mp4", colorizer)
    with pytest.raises(ConfigError, match=r"\.mp4, \.m4v, \.mov, \.mkv, \.webm, \.avi"):
        colorize_video(film, tmp_path / "out.mpg", colorizer)
    for smoothing in (-0.1, 1.0, float("nan")):
        with pytest.raises(ConfigError, match="smoothing"):
            colorize_video(film, tmp_path / "out.mp4", colorizer, smoothing=smoothing)
    with pytest.raises(ConfigError, match="batch"):
        colorize_video(film, tmp_path / "out.mp4", colorizer, batch=0)
    for name, crf in (("out.mp4", 52), ("out.avi", 20)):
        with pytest.raises(ConfigError, match="crf"):
            colorize_video(film, tmp_path / name, colorizer, crf=crf)
    assert _names(tmp_path) == ["film.mp4", "folder.mp4"]


def test_high_dynamic_range_is_refused_by_name(colorizer, tmp_path):
    source = write_film(tmp_path / "film.mp4", grey_frames(2), options={"color_trc": "smpte2084"})
    with pytest.raises(InputError, match="PQ"):
        colorize_video(source, tmp_path / "out.mp4", colorizer)


def test_a_rerun_skips_what_is_there_unless_told_to_overwrite(colorizer, film, tmp_path):
    (tmp_path / "out.mp4").write_bytes(b"there")
    assert colorize_video(film, tmp_path / "out.mp4", colorizer) is None
    assert (tmp_path / "out.mp4").read_bytes() == b"there"
    assert colorize_video(film, tmp_path / "out.mp4", colorizer, overwrite=True).frames == FRAMES
    assert len(read_film(tmp_path / "out.mp4").frames) == FRAMES


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_full_disk_is_told_and_leaves_nothing(colorizer, tmp_path, suffix):
    """Simulated by a limit on the size of files."""
    source = write_film(tmp_path / "film.avi", grey_frames(12, noise=30), codec="mjpeg", pixel_format="yuvj420p")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, limits[1]))
    try:
        with pytest.raises(StorageError, match="could not be written whole"):
            colorize_video(source, tmp_path / f"out{suffix}", colorizer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert _names(tmp_path) == ["film.avi"]


class _StoppedError(Exception):
    pass


@pytest.fixture
def stop_after(monkeypatch):
    """Makes reading a video fail after a number of frames."""

    def stop(frames):
        def stopping(*arguments, **named):
            yield from islice(read_frames(*arguments, **named), frames)
            raise _StoppedError

        monkeypatch.setattr("recolor.colorize.video.read_frames", stopping)

    return stop


@pytest.fixture
def interrupted(colorizer, film, stop_after, monkeypatch):
    """A target whose colouring was stopped in its third segment of two frames."""
    target = film.with_name("out.mp4")
    stop_after(5)
    with pytest.raises(_StoppedError):
        colorize_video(film, target, colorizer, segment_s=0.08)
    monkeypatch.undo()
    return target


def test_an_interrupted_run_goes_on_after_its_last_finished_segment(colorizer, film, interrupted):
    assert not interrupted.exists()
    result = colorize_video(film, interrupted, colorizer, segment_s=0.08)
    assert (result.frames, result.reused) == (FRAMES, 4)
    assert _names(film.parent) == ["film.mp4", "out.mp4"]
    through = colorize_video(film, film.with_name("through.mp4"), colorizer, segment_s=0.08)
    assert replace(result, reused=0) == through
    assert interrupted.read_bytes() == film.with_name("through.mp4").read_bytes()


@pytest.mark.parametrize("change", ["look", "smoothing", "source"])
def test_segments_of_other_settings_or_another_source_are_not_reused(colorizer, film, interrupted, change):
    if change == "source":
        os.utime(film, ns=(1, 1))
    options = {"look": {"look": GREY}, "smoothing": {"smoothing": 0.5}}.get(change, {})
    assert colorize_video(film, interrupted, colorizer, segment_s=0.08, **options).reused == 0


def test_two_runs_do_not_write_one_video(colorizer, film, tmp_path):
    folder = unfinished_folder(tmp_path / "out.mp4")
    folder.mkdir()
    code = (
        "import sys\nfrom pathlib import Path\nfrom recolor.pipeline.workspace import process_lock\n"
        f"lock = process_lock(Path({str(folder / 'lock')!r}))\nlock.acquire()\nprint(flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(WorkspaceBusyError, match=r"out\.mp4"):
            colorize_video(film, tmp_path / "out.mp4", colorizer)
        other.stdin.close()
    assert colorize_video(film, tmp_path / "out.mp4", colorizer).frames == FRAMES


@pytest.mark.slow
def test_killed_in_the_middle_it_loses_one_segment_at_most(models, colorizer, tmp_path):
    source, out = write_film(tmp_path / "film.mp4", grey_frames(100)), tmp_path / "out"
    code = (
        "from pathlib import Path\nfrom recolor.colorize import Colorizer\nfrom recolor.colorize.video import *\n"
        f"colorizer = Colorizer.from_folder(Path({str(models)!r}))\n"
        f"colorize_video(Path({str(source)!r}), Path({str(out / 'new.mp4')!r}), colorizer, segment_s=0.2)"
    )
    parts = unfinished_folder(out / "new.mp4")
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        while not (parts / "000002.mp4").exists():
            assert process.poll() is None
            time.sleep(0.05)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert _names(out) == [parts.name]
    result = colorize_video(source, out / "new.mp4", Colorizer.from_folder(models, "cpu"), segment_s=0.2)
    assert result.frames == 100
    assert result.reused >= 15
    assert _names(out) == ["new.mp4"]


_WATCHED = """
import sys
from dataclasses import fields, replace
from pathlib import Path

import psutil
from recolor.colorize import Colorizer
from recolor.colorize.video import colorize_video

models, source, out = map(Path, sys.argv[1:])
colorizer = Colorizer.from_folder(models, "cpu")
process, seen = psutil.Process(), []

class Watched(type(colorizer.generator)):
    def predict(self, L):
        seen.append(process.memory_info().rss)
        return super().predict(L)

values = {field.name: getattr(colorizer.generator, field.name) for field in fields(colorizer.generator)}
generator = Watched(**values | {"details": values["details"] | {"image_px": 32}})
colorize_video(source, out, replace(colorizer, generator=generator))
print(len(seen), min(seen[300:350]), min(seen[550:]))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(models, tmp_path):
    """Once the encoder holds as many frames as it looks ahead; in a process of its own, whose memory is all of this."""
    source = write_film(tmp_path / "film.mp4", grey_frames(600, 320, 240))
    words = [sys.executable, "-c", _WATCHED, str(models), str(source), str(tmp_path / "out.mp4")]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    frames, before_bytes, after_bytes = map(int, told.split())
    frame_bytes = 320 * 240 * 3
    assert frames == 600
    assert after_bytes - before_bytes < 50 * frame_bytes  # in 250 frames


def test_the_verb_colours_a_video_and_tells_of_flicker_and_sound(models, film, tmp_path):
    words = ["colorize", "--model", str(models), "--device", "cpu", "--smoothing", "0.5", "--crf", "30", str(film)]
    first, again = (CliRunner().invoke(cli, [*words, str(tmp_path / "out.mp4")]) for _ in range(2))
    assert first.exit_code == again.exit_code == 0, first.output
    assert f"{FRAMES} frames, 0.2 s at 25 frames/s" in first.output
    assert "without smoothing" in first.output
    assert "sound: the source has none" in first.output
    assert "there already" in again.output
    refused = CliRunner().invoke(cli, [*words[:5], "--smoothing", "1", str(film), str(tmp_path / "other.mp4")])
    assert isinstance(refused.exception, ConfigError)
