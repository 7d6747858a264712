import os
import re
import resource
import shutil
import signal
import stat
import struct
import subprocess
import sys
import time
from dataclasses import replace

import cv2
import numpy as np
import psutil
import pytest
from click.testing import CliRunner
from skimage import data

from recolor.cli.main import cli
from recolor.color.gamut import join, lightness_of
from recolor.colorize import Look
from recolor.colorize.clip import look_through
from recolor.colorize.video import colorize_video
from recolor.errors import ConfigError, InputError, StorageError
from recolor.pipeline.storage import temporary_path

WIDTH, HEIGHT, FRAMES = 96, 64, 6
_CODEC = {".avi": "MJPG", ".mkv": "FFV1", ".mp4": "mp4v", ".mov": "mp4v", ".webm": "VP80"}


@pytest.fixture(autouse=True)
def path(monkeypatch, tmp_path_factory):
    """An empty folder as the only one on the PATH, so that an installed `ffmpeg` is not found."""
    folder = tmp_path_factory.mktemp("path")
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture(scope="session")
def colorizer(colorizer):
    """A colorizer with a model size of 64 pixels, which is faster."""
    generator = replace(colorizer.generator, details={**colorizer.generator.details, "image_px": 64})
    return replace(colorizer, generator=generator)


def _pictures(count=FRAMES, width=WIDTH, height=HEIGHT):
    """Frames of a still photograph with sensor noise."""
    random = np.random.default_rng(1)
    grey = cv2.resize(data.camera(), (width, height), interpolation=cv2.INTER_AREA).astype(float)
    for _ in range(count):
        frame = np.clip(grey + random.normal(0, 3, grey.shape), 0, 255).astype(np.uint8)
        yield np.repeat(frame[..., None], 3, axis=2)


def _write(path, pictures, fps=25.0):
    pictures = list(pictures)
    height, width = pictures[0].shape[:2]
    codec = cv2.VideoWriter.fourcc(*_CODEC[path.suffix])
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, codec, fps, (width, height))
    for picture in pictures:
        writer.write(picture)
    writer.release()
    return path


def _read(path):
    capture, frames = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), []
    while (found := capture.read())[0]:
        frames.append(cv2.cvtColor(found[1], cv2.COLOR_BGR2RGB))
    return frames


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def clip(tmp_path):
    return _write(tmp_path / "clip.avi", _pictures())


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi", ".webm"])
def test_every_container_keeps_frames_size_and_rate(colorizer, clip, tmp_path, suffix):
    result = colorize_video(clip, tmp_path / f"out{suffix}", colorizer)
    written = look_through(tmp_path / f"out{suffix}")
    assert (written.frames, written.width_px, written.height_px) == (FRAMES, WIDTH, HEIGHT)
    assert written.fps == result.fps == 25
    assert (result.frames, result.length_s, result.missing, result.drift_s) == (FRAMES, FRAMES / 25, 0, 0)
    assert _names(tmp_path) == ["clip.avi", f"out{suffix}"]


def test_frames_are_coloured_as_photographs_are_and_keep_their_own_lightness(colorizer, tmp_path, monkeypatch):
    """Without smoothing, and with a lossless codec."""
    monkeypatch.setattr("recolor.colorize.clip.CODECS", {".mkv": ("FFV1",)})
    source = _write(tmp_path / "clip.mkv", _pictures(2))
    colorize_video(source, tmp_path / "out.mkv", colorizer, smoothing=0.0)
    for before, after in zip(_read(source), _read(tmp_path / "out.mkv"), strict=True):
        L = lightness_of(before)
        expected = join(L, colorizer.predict_colour(L))
        assert np.abs(expected.astype(int) - after).max() <= 1
        assert np.ptp(after, axis=2).mean() > 5


def test_smoothing_lowers_the_flicker_that_the_result_tells(colorizer, clip, tmp_path):
    result = colorize_video(clip, tmp_path / "smooth.avi", colorizer)
    assert 0 < result.flicker_after < 0.6 * result.flicker_before
    plain = colorize_video(clip, tmp_path / "plain.avi", colorizer, smoothing=0.0)
    assert plain.flicker_after == plain.flicker_before == result.flicker_before


def test_a_batch_of_frames_gives_the_same_colours(colorizer, clip, tmp_path):
    one, four = (colorize_video(clip, tmp_path / f"{batch}.avi", colorizer, batch=batch) for batch in (1, 4))
    assert one.frames == four.frames
    assert one.flicker_after == pytest.approx(four.flicker_after, rel=1e-3)
    for a, b in zip(_read(tmp_path / "1.avi"), _read(tmp_path / "4.avi"), strict=True):
        assert np.abs(a.astype(int) - b).max() <= 8


def test_a_look_without_saturation_is_grey(colorizer, clip, tmp_path):
    colorize_video(clip, tmp_path / "grey.avi", colorizer, look=Look(saturation=0.0))
    assert max(np.ptp(frame, axis=2).max() for frame in _read(tmp_path / "grey.avi")) <= 4


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv", ".webm"])
def test_an_odd_row_or_column_is_kept_and_comes_twice(colorizer, tmp_path, suffix):
    """FFmpeg's codecs need even sides, so the source gets odd ones by changing the sizes in its MJPEG headers."""
    source = _write(tmp_path / "clip.avi", _pictures(2, WIDTH, HEIGHT))
    source.write_bytes(source.read_bytes().replace(_sof(HEIGHT, WIDTH), _sof(HEIGHT - 1, WIDTH - 1)))
    clip = look_through(source)
    assert (clip.width_px, clip.height_px) == (WIDTH - 1, HEIGHT - 1)
    colorize_video(source, tmp_path / f"out{suffix}", colorizer)
    frame = _read(tmp_path / f"out{suffix}")[0].astype(int)
    assert frame.shape == (HEIGHT, WIDTH, 3)
    assert np.corrcoef(frame[-1].ravel(), frame[-2].ravel())[0, 1] > 0.95
    kept = lightness_of(_read(source)[0])
    assert np.corrcoef(lightness_of(frame[:-1, :-1].astype(np.uint8)).ravel(), kept.ravel())[0, 1] > 0.98


def _sof(height, width):
    """A JPEG's start of frame, 8 bits (ITU T.81, B.2.2)."""
    return b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", height, width)


def test_a_turned_video_comes_out_upright(colorizer, tmp_path):
    """A rotation by 90 degrees in the matrix of the track header, as phones write (ISO 14496-12, 8.3.2)."""
    source = _write(tmp_path / "clip.mp4", _pictures())
    content = bytearray(source.read_bytes())
    matrix = content.index(b"tkhd") + 44
    content[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    source.write_bytes(content)
    colorize_video(source, tmp_path / "out.avi", colorizer)
    capture = cv2.VideoCapture(str(tmp_path / "out.avi"), cv2.CAP_FFMPEG)
    assert capture.get(cv2.CAP_PROP_ORIENTATION_META) == 0
    frame = lightness_of(_read(tmp_path / "out.avi")[0])
    upright = lightness_of(np.rot90(next(_pictures()), -1))
    assert frame.shape == upright.shape
    assert np.corrcoef(frame.ravel(), upright.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("fps", [12.5, 23.976, 29.97, 60.0])
def test_the_frame_rate_is_kept(colorizer, tmp_path, fps):
    source = _write(tmp_path / "clip.mkv", _pictures(3), fps)
    result = colorize_video(source, tmp_path / "out.mp4", colorizer)
    assert result.fps == pytest.approx(fps, abs=1e-3)
    assert look_through(tmp_path / "out.mp4").fps == pytest.approx(fps, abs=2e-3)
    assert result.drift_s == 0


def test_uneven_times_become_their_mean_rate_and_the_largest_distance_is_told(colorizer, tmp_path):
    """Matroska stores a block's time, in milliseconds, before its flags (RFC 9559, section 10.2)."""
    source = _write(tmp_path / "clip.mkv", _pictures(9))
    content = source.read_bytes()
    for number in reversed(range(5, 9)):  # from 40 to 120 milliseconds apart
        block = re.compile(re.escape(struct.pack(">Bh", 0x81, 40 * number)) + rb"(?=[\x00\x80])")
        later = struct.pack(">Bh", 0x81, 160 + 120 * (number - 4))
        content, found = block.subn(lambda _, later=later: later, content)
        assert found == 1
    source.write_bytes(content)
    result = colorize_video(source, tmp_path / "out.avi", colorizer)
    assert result.frames == 9
    assert result.fps == pytest.approx(8 / 0.64)
    assert result.drift_s == pytest.approx(0.16)  # the fifth frame: 160 ms instead of 320


def test_a_damaged_middle_loses_its_frames_alone_and_is_told(colorizer, tmp_path):
    source = _write(tmp_path / "clip.avi", _pictures(20))
    content = bytearray(source.read_bytes())
    pictures = [at for at in range(len(content) - 4) if content[at : at + 4] == b"00dc"][:20]
    content[pictures[8] + 8 : pictures[12]] = bytes(pictures[12] - pictures[8] - 8)
    source.write_bytes(content)
    result = colorize_video(source, tmp_path / "out.avi", colorizer)
    assert 14 <= result.frames < 20
    assert result.missing == 20 - result.frames
    assert look_through(tmp_path / "out.avi").frames == result.frames


def test_a_video_that_is_cut_off_is_coloured_as_far_as_it_goes(colorizer, tmp_path):
    source = _write(tmp_path / "clip.avi", _pictures(20))
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    result = colorize_video(source, tmp_path / "out.avi", colorizer)
    assert 5 <= result.frames <= 12
    assert result.missing == 20 - result.frames


@pytest.mark.parametrize("content", [b"", b"<html></html>", b"RIFF" + bytes(200)], ids=["empty", "page", "header"])
def test_what_is_no_video_is_refused_and_nothing_is_written(colorizer, tmp_path, content):
    (tmp_path / "clip.avi").write_bytes(content)
    with pytest.raises(InputError, match=r"clip\.avi"):
        colorize_video(tmp_path / "clip.avi", tmp_path / "out.mp4", colorizer)
    assert _names(tmp_path) == ["clip.avi"]


def test_what_cannot_be_is_refused_before_any_work(colorizer, clip, tmp_path):
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(InputError, match="no such file"):
        colorize_video(tmp_path / "gone.mp4", tmp_path / "out.mp4", colorizer)
    with pytest.raises(InputError, match="original"):
        colorize_video(clip, tmp_path / "folder.mp4" / ".." / "clip.avi", colorizer, overwrite=True)
    with pytest.raises(InputError, match=r"folder\.mp4.*a folder with this name"):
        colorize_video(clip, tmp_path / "folder.mp4", colorizer)
    with pytest.raises(ConfigError, match=r"\.mp4, \.mov, \.mkv, \.avi, \.webm"):
        colorize_video(clip, tmp_path / "out.gif", colorizer)
    for smoothing in (-0.1, 1.0, float("nan")):
        with pytest.raises(ConfigError, match="smoothing"):
            colorize_video(clip, tmp_path / "out.mp4", colorizer, smoothing=smoothing)
    with pytest.raises(ConfigError, match="batch"):
        colorize_video(clip, tmp_path / "out.mp4", colorizer, batch=0)
    assert _names(tmp_path) == ["clip.avi", "folder.mp4"]


def test_a_codec_that_is_not_there_is_named(colorizer, clip, tmp_path, monkeypatch):
    monkeypatch.setattr("recolor.colorize.clip.CODECS", {".mp4": ("hev1",)})
    with pytest.raises(ConfigError, match=r"any of the codecs.*hev1.*\.avi"):
        colorize_video(clip, tmp_path / "out.mp4", colorizer)
    assert _names(tmp_path) == ["clip.avi"]


def test_a_rerun_skips_what_is_there_unless_told_to_overwrite(colorizer, clip, tmp_path):
    (tmp_path / "out.avi").write_bytes(b"there")
    assert colorize_video(clip, tmp_path / "out.avi", colorizer) is None
    assert (tmp_path / "out.avi").read_bytes() == b"there"
    assert colorize_video(clip, tmp_path / "out.avi", colorizer, overwrite=True).frames == FRAMES
    assert look_through(tmp_path / "out.avi").frames == FRAMES


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_a_full_disk_is_told_and_leaves_nothing(colorizer, tmp_path, suffix):
    """Simulated by a limit on the size of files; OpenCV reports neither."""
    source = _write(tmp_path / "clip.avi", _pictures(40))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(StorageError, match="could not be written whole"):
            colorize_video(source, tmp_path / f"out{suffix}", colorizer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert _names(tmp_path) == ["clip.avi"]


@pytest.mark.slow
def test_killed_in_the_middle_it_leaves_nothing_that_looks_finished_and_a_rerun_cleans_up(models, colorizer, tmp_path):
    source, out = _write(tmp_path / "clip.avi", _pictures(400)), tmp_path / "out"
    code = (
        "from pathlib import Path\nfrom recolor.colorize import Colorizer\nfrom recolor.colorize.video import *\n"
        f"colorizer = Colorizer.from_folder(Path({str(models)!r}))\n"
        f"colorize_video(Path({str(source)!r}), Path({str(out / 'new.avi')!r}), colorizer)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        while not (out.is_dir() and _names(out)):
            assert process.poll() is None
            time.sleep(0.05)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert _names(out) == [
        temporary_path(out / "new.avi", ".avi").name.replace(f".{os.getpid()}.tmp", f".{process.pid}.tmp")
    ]
    _write(source, _pictures(2))
    assert colorize_video(source, out / "new.avi", colorizer).frames == 2
    assert _names(out) == ["new.avi"]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(colorizer, tmp_path):
    source = _write(tmp_path / "clip.avi", _pictures(160, 320, 240))
    process, seen = psutil.Process(), []

    class Watched(type(colorizer.generator)):
        def predict_ab(self, L, temperature=None, *, rebalanced=True):
            seen.append(process.memory_info().rss)
            return super().predict_ab(L, temperature, rebalanced=rebalanced)

    generator = Watched(*(getattr(colorizer.generator, name) for name in colorizer.generator.__dataclass_fields__))
    watching = type(colorizer)(generator, colorizer.refiner, colorizer.device)
    colorize_video(source, tmp_path / "out.mp4", watching)
    frame_bytes = 320 * 240 * 3
    assert len(seen) == 160
    assert seen[-1] - seen[40] < 60 * frame_bytes  # of 120 frames


def _fake_ffmpeg(folder, script):
    """Installs a Python script as `ffmpeg`; it gets the arguments of `add_sound`, the last of which is the output."""
    program = folder / "ffmpeg"
    program.write_text(
        f"#!{sys.executable}\nimport sys, shutil\nwords = [w.removeprefix('file:') for w in sys.argv]\n{script}\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


_SAYS_SOUND = "print('  Stream #1:1[0x2](und): Audio: aac (LC), 44100 Hz, stereo', file=sys.stderr)\n"
_COPIES = "video = words[words.index('-i') + 1]\nshutil.copy(video, words[-1])\nopen(words[-1], 'ab').write(b'sound')\n"


@pytest.mark.parametrize(
    ("script", "audio"),
    [
        (_SAYS_SOUND + _COPIES, "kept"),
        (_COPIES, "none"),
        (_SAYS_SOUND + _COPIES + "sys.exit(1)", "dropped"),
        (_SAYS_SOUND + "print('no such muxer')", "dropped"),
        ("sys.exit(1)", "dropped"),
    ],
    ids=["copies", "finds none", "fails half-way", "writes nothing", "fails"],
)
def test_sound_is_copied_by_ffmpeg_and_its_failure_never_loses_the_video(colorizer, clip, path, *, script, audio):
    _fake_ffmpeg(path, script)
    tmp_path = clip.parent
    result = colorize_video(clip, tmp_path / "out.avi", colorizer)
    assert result.audio == audio
    assert (tmp_path / "out.avi").read_bytes().endswith(b"sound") == (audio == "kept")
    assert look_through(tmp_path / "out.avi").frames == FRAMES
    assert _names(tmp_path) == ["clip.avi", "out.avi"]


def test_an_ffmpeg_that_cannot_be_started_never_loses_the_video(colorizer, clip, tmp_path, path):
    _fake_ffmpeg(path, "")
    (path / "ffmpeg").write_bytes(b"\x7fELF no program")
    assert colorize_video(clip, tmp_path / "out.avi", colorizer).audio == "dropped"
    assert look_through(tmp_path / "out.avi").frames == FRAMES


def test_without_ffmpeg_it_is_unknown_whether_there_was_sound(colorizer, clip, tmp_path):
    assert colorize_video(clip, tmp_path / "out.avi", colorizer).audio == "unknown"


_REAL = shutil.which("ffmpeg")


@pytest.mark.skipif(_REAL is None, reason="no ffmpeg on the PATH")
@pytest.mark.parametrize(("suffix", "audio"), [(".mp4", "kept"), (".mkv", "kept"), (".webm", "dropped")])
def test_a_real_ffmpeg_keeps_the_sound_where_the_container_takes_it(colorizer, clip, path, *, suffix, audio):
    """MP4 and Matroska support AAC; WebM supports only Vorbis and Opus."""
    (path / "ffmpeg").symlink_to(_REAL)
    tmp_path = clip.parent
    tone = ["-f", "lavfi", "-i", "sine=duration=0.3", "-c:v", "copy", "-c:a", "aac"]
    source = tmp_path / "-it's: loud.mkv"
    subprocess.run([_REAL, "-loglevel", "error", "-i", str(clip), *tone, f"file:{source}"], check=True)
    result = colorize_video(source, tmp_path / f"out{suffix}", colorizer)
    assert result.audio == audio
    assert look_through(tmp_path / f"out{suffix}").frames == FRAMES
    said = subprocess.run([_REAL, "-i", str(tmp_path / f"out{suffix}")], capture_output=True, check=False).stderr
    assert (b"Audio: aac" in said) == (audio == "kept")
    assert colorize_video(clip, tmp_path / f"silent{suffix}", colorizer).audio == "none"


def test_the_verb_colours_a_video_and_tells_of_flicker_and_sound(models, clip, tmp_path):
    words = ["colorize", "--model", str(models), "--device", "cpu", "--smoothing", "0.5", str(clip)]
    first, again = (CliRunner().invoke(cli, [*words, str(tmp_path / "out.mp4")]) for _ in range(2))
    assert first.exit_code == again.exit_code == 0, first.output
    assert f"{FRAMES} frames, 0.2 s at 25 frames/s" in first.output
    assert "without smoothing" in first.output
    assert "install `ffmpeg`" in first.output
    assert "there already" in again.output
    refused = CliRunner().invoke(cli, [*words[:5], "--smoothing", "1", str(clip), str(tmp_path / "other.mp4")])
    assert isinstance(refused.exception, ConfigError)
