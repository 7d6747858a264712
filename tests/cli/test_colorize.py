"""`recolor colorize`: inputs, outputs, messages and exit codes; one of the tests starts the program itself."""

import contextlib
import io
import os
import pty
import subprocess
import sys
import termios
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from click.testing import CliRunner
from films import grey_frames, write_film
from PIL import Image
from skimage import data
from stale_metadata import CASES

from recolor.cli.main import cli
from recolor.colorize import Colorizer, Look
from recolor.errors import ConfigError, InputError

GREY = data.camera()[::8, ::8]


def encoded(file_format, pixels=GREY):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format)
    return buffer.getvalue()


def words(models, *arguments):
    return ["colorize", "--model", str(models), "--device", "cpu", *map(str, arguments)]


def invoke(models, *arguments, given=None):
    """Runs the command in this process, which has loaded torch already."""
    return CliRunner().invoke(cli, words(models, *arguments), input=given)


def opened(data):
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


@pytest.mark.slow  # two processes that load torch
def test_standard_output_holds_the_picture_and_nothing_else(models, tmp_path):
    command = [sys.executable, "-m", "recolor", *words(models, "-", "-")]
    process = subprocess.run(command, input=encoded("WEBP"), capture_output=True, check=False)
    assert process.returncode == 0, process.stderr
    assert opened(process.stdout).format == "WEBP"
    assert opened(process.stdout).size == (64, 64)
    assert b"1 coloured" in process.stderr
    (tmp_path / "one.tif").write_bytes(encoded("TIFF", GREY.astype(np.uint16) * 257))
    written = invoke(models, tmp_path / "one.tif", "-", "--format", "png").stdout_bytes
    assert written[:8] == b"\x89PNG\r\n\x1a\n"
    assert written[24] == 16
    assert opened(written).format == "PNG"


def test_a_bad_picture_from_standard_input_leaves_standard_output_empty(models):
    result = invoke(models, "-", "-", given=encoded("JPEG")[:500])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.stdout_bytes == b""
    assert "-: truncated" in result.stderr


def test_a_run_says_what_became_of_the_files(models, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "grey.jpg").write_bytes(encoded("JPEG"))
    (photos / "colour.png").write_bytes(encoded("PNG", data.coffee()[::8, ::8]))
    (photos / "broken.png").write_bytes(encoded("PNG")[:300])
    odd = os.fsdecode(b"\xfe\n.jpg")
    (photos / odd).write_bytes(encoded("JPEG"))
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    frames[0].save(photos / "moving.gif", save_all=True, append_images=frames[1:])
    out = tmp_path / "out"
    result = invoke(models, photos / "*.*", out)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"4 coloured, 0 there already, 1 failed: {out}",
        "1 had colour: only their lightness was used",
        f"{photos / 'moving.gif'}: only its first frame, or page, was coloured",
    ]
    assert result.stderr.startswith(f"{photos / 'broken.png'}: truncated: ")
    assert len(result.stderr.splitlines()) == 1
    assert {path.name for path in out.iterdir()} == {"grey.jpg", "colour.png", "moving.gif.png", odd}
    (photos / "broken.png").unlink()
    again = invoke(models, photos / "*.*", out)
    assert again.exit_code == 0
    assert again.stdout.startswith("0 coloured, 4 there already, 0 failed")


def test_what_the_coloured_file_cannot_hold_is_named(models, tmp_path):
    (tmp_path / "phone.jpg").write_bytes(CASES["motion photo (Google)"]())
    result = invoke(models, tmp_path / "phone.jpg", tmp_path / "out")
    assert result.exit_code == 0
    assert result.stderr == f"{tmp_path / 'phone.jpg'}: coloured, without the video of a motion photo\n"


def read_until(master, wanted):
    """Returns the terminal output of a program until it contains a text or the program ends."""
    shown = b""
    with contextlib.suppress(OSError):  # the other side is closed
        while wanted not in shown and (some := os.read(master, 4096)):
            shown += some
    return shown


def test_a_progress_bar_is_shown_on_a_terminal(models, tmp_path, monkeypatch):
    """Standard error is a terminal while the command runs in this process; the bar comes after a second."""
    picture = encoded("PNG")
    for name in range(4):
        (tmp_path / f"{name}.png").write_bytes(picture)
    predict_colours = Colorizer.predict_colours

    def slowly(*arguments, **named):
        time.sleep(0.6)
        return predict_colours(*arguments, **named)

    monkeypatch.setattr(Colorizer, "predict_colours", slowly)
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 100))
    with os.fdopen(slave, "w") as terminal, ThreadPoolExecutor(1) as pool:
        shown = pool.submit(read_until, master, b"images/s")
        with contextlib.redirect_stderr(terminal):
            cli.main(words(models, tmp_path, tmp_path / "out"), standalone_mode=False)
    assert b"colorize " in shown.result()
    assert b"/4" in shown.result()
    os.close(master)


@pytest.mark.parametrize("name", ["new.png", "new.jpg", "new.tiff", "new.webp"])
def test_one_photograph_becomes_a_file_of_the_format_of_its_name(models, tmp_path, name):
    (tmp_path / "one.bmp").write_bytes(encoded("BMP"))
    result = invoke(models, tmp_path / "one.bmp", tmp_path / name)
    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / name) as picture:
        assert picture.format == {"jpg": "JPEG", "tiff": "TIFF"}.get(name[4:], name[4:].upper())


@pytest.mark.slow  # colours many times
def test_options_reach_the_pictures(models, tmp_path):
    (tmp_path / "one.jpg").write_bytes(encoded("JPEG", data.camera()))
    sizes = {}
    for quality in (30, 95):
        out = tmp_path / f"{quality}.jpg"
        assert invoke(models, tmp_path / "one.jpg", out, "--quality", quality, "--saturation", 0).exit_code == 0
        sizes[quality] = out.stat().st_size
        assert np.ptp(np.asarray(Image.open(out), int), axis=2).max() <= 2
    assert sizes[30] < sizes[95] / 2
    result = invoke(models, tmp_path / "one.jpg", tmp_path / "out", "--compare", "--batch", 4, "--temperature", 0.2)
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"one.jpg", "one.compare.jpg"}
    before = (tmp_path / "out" / "one.jpg").read_bytes()
    assert "1 coloured" in invoke(models, tmp_path / "one.jpg", tmp_path / "out", "--overwrite").stdout
    assert (tmp_path / "out" / "one.jpg").read_bytes() != before  # another temperature


@pytest.mark.slow  # colours many times
def test_a_look_sets_temperature_and_saturation_which_may_be_given_beside_it(models, tmp_path):
    (tmp_path / "one.jpg").write_bytes(encoded("JPEG", data.camera()))

    def pixels(*options):
        assert invoke(models, tmp_path / "one.jpg", tmp_path / "one.png", "--overwrite", *options).exit_code == 0
        return np.asarray(Image.open(tmp_path / "one.png"))

    natural, careful, vivid = pixels(), pixels("--look", "careful"), pixels("--look", "vivid")
    assert np.array_equal(natural, pixels("--look", "natural"))
    assert np.array_equal(careful, pixels("--look", "careful", "--temperature", 0.6))
    saturation = ("--saturation", Look.named("vivid").saturation)
    assert np.array_equal(vivid, pixels("--look", "vivid", *saturation))
    assert not np.array_equal(vivid, pixels(*saturation))  # the look has a contrast, too
    assert not np.array_equal(careful, natural)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--saturation", "-1"], ConfigError),
        (["--temperature", "0"], ConfigError),
        (["--format", "png"], ConfigError),
        (["--compare", "-"], InputError),
    ],
)
def test_what_cannot_be_stops_before_anything_is_written(models, tmp_path, options, error):
    (tmp_path / "one.jpg").write_bytes(encoded("JPEG"))
    out = [] if options[-1] == "-" else [tmp_path / "out"]
    result = invoke(models, tmp_path / "one.jpg", *out, *options)
    assert isinstance(result.exception, error)
    assert {path.name for path in tmp_path.iterdir()} == {"one.jpg"}


@pytest.mark.parametrize("options", [["--quality", "0"], ["--batch", "0"], ["--format", "bmp"], ["--device", "tpu"]])
def test_options_out_of_range_are_wrong_usage(models, tmp_path, options):
    assert invoke(models, tmp_path, tmp_path / "out", *options).exit_code == 2


def test_a_photograph_does_not_become_a_video_nor_a_video_a_photograph(models, tmp_path):
    for name in ("a.jpg", "b.mp4"):
        (tmp_path / name).write_bytes(encoded("JPEG"))
    for given, out in (("a.jpg", "new.mp4"), ("b.mp4", "new.png"), ("b.mp4", "new.mpg"), ("b.mp4", "-")):
        result = invoke(models, tmp_path / given, out if out == "-" else tmp_path / out)
        assert isinstance(result.exception, InputError)
        assert "Give a" in str(result.exception)


def test_videos_in_a_folder_are_coloured_beside_the_photographs_with_an_option(models, tmp_path):
    photos, out = tmp_path / "photos", tmp_path / "out"
    (photos / "sub").mkdir(parents=True)
    (photos / "one.jpg").write_bytes(encoded("JPEG"))
    (photos / "broken.mov").write_bytes(b"no video")
    write_film(photos / "sub" / "film.mp4", grey_frames(2))
    write_film(photos / "old.mpg", grey_frames(2), codec="mpeg2video")
    without = invoke(models, photos, out)
    assert without.exit_code == 0
    assert "videos in folders are coloured with --videos" in without.stdout.splitlines()
    assert [path.name for path in out.iterdir()] == ["one.jpg"]
    result = invoke(models, photos, out, "--videos", "--compare", "--overwrite")
    assert result.exit_code == 1
    assert "1 coloured, 0 there already, 0 failed" in result.stdout
    assert result.stdout.count("2 frames") == 2
    assert f"{photos / 'broken.mov'}: cannot be read as a video" in result.stderr
    written = {path.relative_to(out).as_posix() for path in out.rglob("*.*")}
    assert written == {"one.jpg", "one.compare.jpg", "old.mpg.mp4", "sub/film.mp4"}
    (photos / "sub" / "notes.txt").touch()
    only = invoke(models, photos / "sub", out, "--videos")
    assert "passed over: 1 other file (.txt 1)" in only.stdout.splitlines()
    alone = invoke(models, photos / "sub", out)
    assert isinstance(alone.exception, InputError)
    assert "--videos" in str(alone.exception)
    again = invoke(models, photos / "**" / "*.mp4", out, "--videos")
    assert again.stdout == f"there already: {out / 'sub' / 'film.mp4'}\n"


def test_a_video_without_the_package_names_the_extra(models, tmp_path, monkeypatch):
    (tmp_path / "a.mp4").touch()
    monkeypatch.setattr("recolor.cli.extras.find_spec", lambda name: None)
    result = invoke(models, tmp_path / "a.mp4", tmp_path / "new.mp4")
    assert isinstance(result.exception, ConfigError)
    assert "recolor[video]" in str(result.exception)


def test_a_file_name_with_a_suffix_of_jpegs_is_a_file_and_other_files_are_named(models, tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded("JPEG"))
    assert invoke(models, tmp_path / "a.jpg", tmp_path / "z.jfif").exit_code == 0
    assert opened((tmp_path / "z.jfif").read_bytes()).format == "JPEG"
    for name in ("clip.mov", "a.gif.png", "a.gif"):
        (tmp_path / name).write_bytes(encoded("PNG"))
    result = invoke(models, tmp_path, tmp_path / "out")
    assert result.stdout.splitlines()[0] == f"4 coloured, 0 there already, 0 failed: {tmp_path / 'out'}"
    assert "passed over: 1 video (.mov 1)" in result.stdout.splitlines()
    assert f"{tmp_path / 'a.gif'}: written as {tmp_path / 'out/a.gif~2.png'}, because" in result.stdout


@pytest.mark.slow  # two processes that load torch
def test_names_are_coloured_and_shown_escaped_with_an_ascii_locale(models, tmp_path):
    photos = tmp_path / os.fsdecode(b"caf\xe9")
    photos.mkdir()
    for name in ("日本.jpg", os.fsdecode(b"\xff.jpg")):
        (photos / name).write_bytes(encoded("JPEG"))
    (photos / os.fsdecode(b"bad\xff.png")).write_bytes(b"no picture")
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "recolor", *words(models), os.fsencode(photos), tmp_path / "out"]
    process = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert process.stdout.splitlines()[0] == b"2 coloured, 0 there already, 1 failed: " + bytes(tmp_path / "out")
    assert process.stderr.startswith(bytes(tmp_path) + b"/caf\\xe9/bad\\xff.png: not_an_image")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"日本.jpg", os.fsdecode(b"\xff.jpg")}
