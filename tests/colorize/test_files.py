import errno
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from skimage import data

from recolor.colorize import Look, colorize_paths, files, outputs, plan
from recolor.config.settings import MeasureConfig
from recolor.errors import ConfigError, InputError, StorageError
from recolor.pipeline.storage import temporary_path, write_atomically

GREY = data.camera()[::8, ::8]


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "sub" / "deep").mkdir(parents=True)
    Image.fromarray(GREY).save(folder / "one.jpg")
    Image.fromarray(GREY).save(folder / "sub" / "two words.png")
    Image.fromarray(GREY).save(folder / "sub" / "deep" / "ü\n<b>.webp")
    return folder


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_keeps_its_structure(colorizer, photos, tmp_path):
    (photos / "notes.txt").write_text("no image")
    result = colorize_paths([photos], tmp_path / "out", colorizer)
    assert files_of(tmp_path / "out") == {"one.jpg", "sub/two words.png", "sub/deep/ü\n<b>.webp"}
    assert len(result.done) == 3
    assert not result.skipped
    assert not result.failed
    with Image.open(tmp_path / "out" / "sub" / "two words.png") as coloured:
        assert coloured.mode == "RGB"
        assert coloured.size == (64, 64)


def test_one_file_goes_into_the_folder(colorizer, photos, tmp_path):
    result = colorize_paths([photos / "sub" / "two words.png"], tmp_path / "new" / "out", colorizer)
    assert result.done == (tmp_path / "new" / "out" / "two words.png",)
    assert files_of(tmp_path / "new" / "out") == {"two words.png"}


@pytest.mark.parametrize(
    ("name", "written", "file_format"),
    [
        ("a.jpg", "a.jpg", "JPEG"),
        ("a.JPEG", "a.JPEG", "JPEG"),
        ("a.png", "a.png", "PNG"),
        ("a.webp", "a.webp", "WEBP"),
        ("a.tif", "a.tif", "TIFF"),
        ("a.bmp", "a.bmp", "BMP"),
        ("a.gif", "a.gif.png", "PNG"),
    ],
)
def test_formats_are_kept(colorizer, tmp_path, name, written, file_format):
    Image.fromarray(GREY).save(tmp_path / name)
    colorize_paths([tmp_path / name], tmp_path / "out", colorizer)
    with Image.open(tmp_path / "out" / written) as picture:
        assert picture.format == file_format
        picture.load()


def test_a_rerun_does_only_what_is_missing(colorizer, photos, tmp_path):
    out = tmp_path / "out"
    colorize_paths([photos], out, colorizer)
    (out / "one.jpg").unlink()
    before = (out / "sub" / "two words.png").stat().st_mtime_ns
    result = colorize_paths([photos], out, colorizer)
    assert result.done == (out / "one.jpg",)
    assert len(result.skipped) == 2
    assert (out / "sub" / "two words.png").stat().st_mtime_ns == before


def test_overwrite_does_all_again(colorizer, photos, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "one.jpg").write_bytes(b"old")
    result = colorize_paths([photos], out, colorizer, overwrite=True)
    assert len(result.done) == 3
    assert (out / "one.jpg").read_bytes() != b"old"


def test_a_bad_file_is_reported_and_the_others_are_done(colorizer, photos, tmp_path):
    whole = (photos / "one.jpg").read_bytes()
    (photos / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "empty.png").touch()
    (photos / "page.jpg").write_text("<html></html>")
    (photos / "gone.jpg").symlink_to(photos / "nowhere.jpg")
    (photos / "round.jpg").symlink_to(photos / "round.jpg")
    result = colorize_paths([photos], tmp_path / "out", colorizer)
    assert len(result.done) == 3
    assert {failure.path.name: failure.error.reason for failure in result.failed} == {
        "cut.jpg": "truncated",
        "empty.png": "empty",
        "page.jpg": "not_an_image",
        "gone.jpg": "unreadable",
        "round.jpg": "unreadable",
    }
    assert files_of(tmp_path / "out") == {"one.jpg", "sub/two words.png", "sub/deep/ü\n<b>.webp"}


def test_too_many_pixels_are_refused_by_the_limits(colorizer, photos, tmp_path):
    result = colorize_paths([photos / "one.jpg"], tmp_path / "out", colorizer, limits=MeasureConfig(max_pixels=4000))
    assert [failure.error.reason for failure in result.failed] == ["too_many_pixels"]


def test_what_is_left_of_a_damaged_photograph_is_coloured_if_that_is_asked_for(colorizer, photos, tmp_path):
    whole = (photos / "one.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    result = colorize_paths([tmp_path / "cut.jpg"], tmp_path / "out", colorizer)
    assert [failure.error.reason for failure in result.failed] == ["truncated"]
    result = colorize_paths([tmp_path / "cut.jpg"], tmp_path / "out", colorizer, lenient=True)
    with Image.open(result.done[0]) as coloured, Image.open(photos / "one.jpg") as source:
        assert coloured.size == source.size
    assert [note.path for note in result.notes] == [tmp_path / "cut.jpg"]
    assert result.notes[0].note.startswith("damaged: truncated")


def test_an_untidy_photograph_is_coloured_with_a_note(colorizer, photos, tmp_path):
    (tmp_path / "open.jpg").write_bytes((photos / "one.jpg").read_bytes()[:-2])
    result = colorize_paths([tmp_path / "open.jpg"], tmp_path / "out", colorizer)
    assert [(note.path.name, note.note) for note in result.notes] == [("open.jpg", "no end marker")]


def test_a_size_that_the_format_cannot_hold_is_reported(colorizer, tmp_path):
    Image.fromarray(np.zeros((1, 16400), np.uint8)).save(tmp_path / "long.png")
    (tmp_path / "long.png").rename(tmp_path / "long.webp")
    result = colorize_paths([tmp_path / "long.webp"], tmp_path / "out", colorizer)
    assert [failure.error.reason for failure in result.failed] == ["unsupported"]


def test_an_output_folder_inside_the_input_is_not_coloured_again(colorizer, photos):
    colorize_paths([photos], photos / "coloured", colorizer)
    result = colorize_paths([photos], photos / "coloured", colorizer)
    assert len(result.skipped) == 3
    assert not result.done


def test_originals_are_never_overwritten(colorizer, photos):
    before = {path: path.read_bytes() for path in photos.rglob("*.*")}
    with pytest.raises(InputError, match="original"):
        colorize_paths([photos], photos, colorizer, overwrite=True)
    with pytest.raises(InputError, match="original"):
        colorize_paths([photos / "one.jpg"], photos, colorizer, overwrite=True)
    assert {path: path.read_bytes() for path in photos.rglob("*.*")} == before


def test_nothing_is_written_outside_of_the_output_folder(colorizer, photos, tmp_path):
    out, outside = tmp_path / "out", tmp_path / "outside"
    out.mkdir()
    outside.mkdir()
    (out / "sub").symlink_to(outside)
    with pytest.raises(InputError, match="link"):
        colorize_paths([photos], out, colorizer)
    assert not files_of(outside)
    assert not files_of(out)


def test_a_link_in_the_place_of_an_output_is_replaced_and_not_followed(colorizer, photos, tmp_path):
    out, precious = tmp_path / "out", tmp_path / "precious.jpg"
    out.mkdir()
    precious.write_bytes(b"precious")
    (out / "one.jpg").symlink_to(precious)
    colorize_paths([photos / "one.jpg"], out, colorizer, overwrite=True)
    assert precious.read_bytes() == b"precious"
    assert not (out / "one.jpg").is_symlink()


def test_two_photographs_with_one_output_are_refused(colorizer, photos, tmp_path):
    Image.fromarray(GREY).save(photos / "sub" / "one.jpg")
    with pytest.raises(InputError, match="both become"):
        colorize_paths([photos / "one.jpg", photos / "sub" / "one.jpg"], tmp_path / "out", colorizer)
    assert not (tmp_path / "out").exists()


def test_the_same_photograph_twice_is_coloured_once(colorizer, photos, tmp_path):
    assert len(colorize_paths([photos, photos / "one.jpg"], tmp_path / "out", colorizer).done) == 3


@pytest.mark.parametrize("inputs", [[], ["missing"], ["empty"]])
def test_nothing_to_colour_is_an_error(colorizer, tmp_path, inputs):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError):
        colorize_paths([tmp_path / name for name in inputs], tmp_path / "out", colorizer)
    assert not (tmp_path / "out").exists()


def test_what_is_in_the_way_of_an_output_is_named(colorizer, photos, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="folder"):
        colorize_paths([photos], tmp_path / "file", colorizer)
    (tmp_path / "out" / "one.jpg").mkdir(parents=True)
    with pytest.raises(InputError, match="in the way"):
        colorize_paths([photos], tmp_path / "out", colorizer)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_a_storage_error(colorizer, photos, tmp_path):
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(StorageError, match="writable"):
        colorize_paths([photos], tmp_path / "out", colorizer)


def test_colouring_twice_gives_the_same_bytes(colorizer, photos, tmp_path):
    colorize_paths([photos], tmp_path / "a", colorizer)
    colorize_paths([photos], tmp_path / "b", colorizer)
    for name in files_of(tmp_path / "a"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_results_are_in_the_order_of_the_files_whatever_takes_longer(colorizer, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(9):
        size = 400 if number % 3 == 0 else 20
        Image.fromarray(np.full((size, size), number, np.uint8)).save(folder / f"{number}.png")
    (folder / "4.png").write_bytes(b"")
    result = colorize_paths([folder], tmp_path / "out", colorizer, batch_images=2)
    assert [path.name for path in result.done] == [f"{number}.png" for number in range(9) if number != 4]
    assert [failure.path.name for failure in result.failed] == ["4.png"]
    for path in result.done:
        with Image.open(path) as picture:
            assert np.asarray(picture.convert("L")).mean() == pytest.approx(int(path.stem), abs=1.5)


def test_a_batch_gives_what_single_photographs_give(colorizer, photos, tmp_path):
    Image.fromarray(data.camera()[::4, ::6]).save(photos / "other.png")
    for batch in (1, 3):
        colorize_paths([photos], tmp_path / str(batch), colorizer, batch_images=batch)
    for name in ("other.png", "sub/two words.png"):
        one, three = (np.asarray(Image.open(tmp_path / batch / name), int) for batch in ("1", "3"))
        assert np.abs(one - three).max() <= 1


def test_a_look_reaches_the_models(colorizer, photos, tmp_path):
    def spread(name, look):
        colorize_paths([photos / "sub" / "two words.png"], tmp_path / name, colorizer, look=look)
        pixels = np.asarray(Image.open(tmp_path / name), int)
        return (pixels.max(axis=2) - pixels.min(axis=2)).mean()

    grey, plain, strong = (spread(f"{value}.png", Look(saturation=value)) for value in (0.0, 1.0, 2.0))
    assert grey == 0
    assert 1 < plain < strong
    assert spread("bold.png", Look(temperature=0.05)) != pytest.approx(plain, rel=0.01)
    assert spread("contrast.png", Look(chroma_contrast=1.5)) != pytest.approx(plain, rel=0.001)


def test_what_was_dropped_is_said(colorizer, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(GREY).convert("RGB").save(folder / "grey.jpg")
    Image.fromarray(data.coffee()[::8, ::8]).save(folder / "colour.jpg")
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(folder / "pages.tif", save_all=True, append_images=frames[1:])
    result = colorize_paths([folder], tmp_path / "out", colorizer)
    assert [path.name for path in result.had_colour] == ["colour.jpg"]
    assert [path.name for path in result.first_frames] == ["moving.gif", "pages.tif"]
    assert files_of(tmp_path / "out") == {"grey.jpg", "colour.jpg", "moving.gif.png", "pages.tif"}
    with Image.open(tmp_path / "out" / "pages.tif") as picture:
        assert picture.n_frames == 1


def test_comparisons_show_grey_coloured_and_the_original(colorizer, tmp_path):
    colour, grey = data.coffee()[:64, :80], GREY
    Image.fromarray(colour).save(tmp_path / "colour.png")
    Image.fromarray(grey).save(tmp_path / "grey.png")
    colorize_paths([tmp_path / "colour.png", tmp_path / "grey.png"], tmp_path / "out", colorizer, compare=True)
    three = np.asarray(Image.open(tmp_path / "out" / "colour.png.compare.jpg"), int)
    assert three.shape == (64, 3 * 80 + 2 * 2, 3)
    coloured = np.asarray(Image.open(tmp_path / "out" / "colour.png"), int)
    assert np.abs(np.ptp(three[:, :80], axis=2)).mean() < 1
    assert np.abs(three[:, 82:162] - coloured).mean() < 3
    assert np.abs(three[:, 164:] - colour).mean() < 3
    assert three[:, 80:82].min() > 200
    assert np.asarray(Image.open(tmp_path / "out" / "grey.png.compare.jpg")).shape == (64, 2 * 64 + 2, 3)


def test_the_comparisons_of_a_run_are_not_coloured_by_the_next(colorizer, photos, tmp_path):
    colorize_paths([photos], tmp_path / "out", colorizer, compare=True)
    assert len(files_of(tmp_path / "out")) == 6
    again = colorize_paths([tmp_path / "out"], tmp_path / "again", colorizer)
    assert files_of(tmp_path / "again") == files_of(photos)
    assert again.passed_over == "outputs of Recolor: 3 *.compare.jpg"


def test_a_comparison_too_wide_for_a_jpeg_is_made_smaller(colorizer, tmp_path):
    Image.fromarray(np.full((4, 40_000), 90, np.uint8)).save(tmp_path / "long.png")
    result = colorize_paths([tmp_path / "long.png"], tmp_path / "out", colorizer, compare=True)
    assert not result.failed
    with Image.open(tmp_path / "out" / "long.png.compare.jpg") as picture:
        assert 60_000 < picture.size[0] <= 65_535


def test_a_comparison_asked_for_later_leaves_the_result_alone(colorizer, photos, tmp_path):
    colorize_paths([photos / "one.jpg"], tmp_path / "out", colorizer)
    (tmp_path / "out" / "one.jpg").write_bytes(b"retouched by hand")
    assert len(colorize_paths([photos / "one.jpg"], tmp_path / "out", colorizer, compare=True).done) == 1
    assert (tmp_path / "out" / "one.jpg").read_bytes() == b"retouched by hand"
    assert (tmp_path / "out" / "one.compare.jpg").is_file()
    assert len(colorize_paths([photos / "one.jpg"], tmp_path / "out", colorizer, compare=True).skipped) == 1


@pytest.mark.parametrize("options", [{"quality": 0}, {"quality": 101}, {"batch_images": 0}, {"file_format": "PNG"}])
def test_an_impossible_setting_stops_before_anything_is_written(colorizer, photos, tmp_path, options):
    with pytest.raises(ConfigError):
        colorize_paths([photos], tmp_path / "out", colorizer, **options)
    assert not (tmp_path / "out").exists()


def failing(name, number):
    """Returns `write_atomically`, except that writing one file raises an error."""

    def write(path, data):
        if path.name == name:
            raise OSError(number, os.strerror(number))
        write_atomically(path, data)

    return write


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENAMETOOLONG, errno.EIO])
def test_a_file_that_cannot_be_written_is_reported_and_the_others_are_done(
    colorizer, photos, tmp_path, monkeypatch, number
):
    monkeypatch.setattr(outputs, "write_atomically", failing("two words.png", number))
    result = colorize_paths([photos], tmp_path / "out", colorizer)
    assert len(result.done) == 2
    (failure,) = result.failed
    assert failure.path == photos / "sub" / "two words.png"
    assert os.strerror(number) in str(failure.error)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_full_disk_stops_the_run_and_keeps_what_was_finished(colorizer, photos, tmp_path, monkeypatch, number):
    monkeypatch.setattr(outputs, "write_atomically", failing("two words.png", number))
    with pytest.raises(StorageError, match="run again"):
        colorize_paths([photos], tmp_path / "out", colorizer)
    monkeypatch.undo()
    assert "one.jpg" in files_of(tmp_path / "out")
    assert len(colorize_paths([photos], tmp_path / "out", colorizer).failed) == 0
    assert len(files_of(tmp_path / "out")) == 3


def test_a_folder_that_may_not_be_written_to_is_refused_before_any_work(colorizer, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(outputs.os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(StorageError, match="writable"):
        colorize_paths([photos], tmp_path / "out", colorizer)
    assert not (tmp_path / "out").exists()


def test_too_little_memory_for_one_photograph_is_reported(colorizer, photos, tmp_path, monkeypatch):
    def read_photo(data, limits, **options):
        if data.startswith(b"\x89PNG"):
            raise MemoryError
        return real(data, limits, **options)

    real = files.read_photo
    monkeypatch.setattr(files, "read_photo", read_photo)
    result = colorize_paths([photos], tmp_path / "out", colorizer)
    assert [(failure.path.name, failure.error.reason) for failure in result.failed] == [("two words.png", "unreadable")]
    assert len(result.done) == 2


def test_temporary_files_of_killed_runs_are_removed_and_others_stay(colorizer, photos, tmp_path):
    (out := tmp_path / "out").mkdir()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    own = f".{os.getpid()}.tmp"
    one, comparison, other = (temporary_path(out / name).name for name in ("one.jpg", "one.compare.jpg", "other.jpg"))
    stray = [out / name.replace(own, f".{ended.pid}.tmp") for name in (one, comparison)]
    others = [
        out / one.replace(own, f".{os.getppid()}.tmp"),
        out / other.replace(own, f".{ended.pid}.tmp"),
        out / ".recolor-0.tmp",
    ]
    for path in stray + others:
        path.write_bytes(b"half")
    colorize_paths([photos / "one.jpg"], out, colorizer, compare=True)
    assert [path for path in stray if path.exists()] == []
    assert [path for path in others if not path.exists()] == []


def test_names_of_255_bytes_and_names_that_are_not_utf8_are_coloured(colorizer, photos, tmp_path):
    names = ["x" * 251 + ".jpg", os.fsdecode(b"caf\xe9.jpg"), "風" * 83 + ".png"]
    for name in names:
        (photos / name).write_bytes((photos / "one.jpg").read_bytes())
    (photos / ("g" * 251 + ".gif")).write_bytes((photos / "one.jpg").read_bytes())
    result = colorize_paths([photos], tmp_path / "out", colorizer, compare=True)
    assert result.failed == ()
    assert {tmp_path / "out" / name for name in names} <= set(result.done)
    assert [source.name for source, _ in result.renamed] == ["g" * 251 + ".gif"]


def test_two_photographs_never_become_one_file(colorizer, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "keeps_apart", lambda *_: False)
    (photos / "ONE.jpg").write_bytes((photos / "one.jpg").read_bytes())
    (photos / "clip.mov").touch()
    result = colorize_paths([photos], tmp_path / "out", colorizer)
    assert result.renamed == ((photos / "one.jpg", tmp_path / "out/one~2.jpg"),)
    assert (tmp_path / "out/one~2.jpg").is_file()
    assert result.passed_over == "passed over: 1 video (.mov 1)"
    assert colorize_paths([photos], tmp_path / "out", colorizer).done == ()


PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # background processes of a shell ignore it
import sys
from pathlib import Path
import torch
from recolor.colorize import Colorizer, colorize_paths
torch.set_num_threads(1)
colorizer = Colorizer.from_folder(Path(sys.argv[1]), "cpu")
print("ready", flush=True)
colorize_paths([Path(sys.argv[2])], Path(sys.argv[3]), colorizer)
"""


def stopped_by(number, models, photos, out, moment):
    """Starts a run and sends it a signal as soon as `moment` photographs are written."""
    command = [sys.executable, "-c", PROGRAM, str(models), str(photos), str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    while process.poll() is None and len(list(out.glob("*.png"))) < moment:
        time.sleep(0.001)
    process.send_signal(number)
    process.communicate()
    return process.returncode


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_run_leaves_whole_files_and_a_rerun_does_the_rest(models, colorizer, tmp_path, number):
    (folder := tmp_path / "photos").mkdir()
    for name in range(40):
        Image.fromarray(np.roll(data.camera()[:256, :320], name, axis=1)).save(folder / f"{name:02}.png")
    out = tmp_path / "out"
    assert stopped_by(number, models, folder, out, moment=4) != 0
    there = sorted(out.glob("*.png"))
    assert 4 <= len(there) < 40
    for path in there:
        with Image.open(path) as picture:
            picture.load()
    if number == signal.SIGINT:
        assert [path for path in out.iterdir() if path.name.startswith(".")] == []
    for path in folder.glob("[1-3]*.png"):  # the rest would take long
        path.unlink()
    result = colorize_paths([folder], out, colorizer)
    assert len(result.done) + len(result.skipped) == 10
    assert {path.name for path in result.skipped} == {path.name for path in there if path.name < "10"}
    strays = [path.name for path in out.iterdir() if path.name.endswith(".tmp")]
    assert strays == []
