import os

import numpy as np
import pytest
from PIL import Image
from skimage import data

from recolor.colorize import colorize_paths
from recolor.config import MeasureConfig
from recolor.errors import InputError, StorageError

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
