import io

import numpy as np
import pytest
from PIL import Image
from skimage import data as photographs

from recolor.cleaning.measure import rows
from recolor.cleaning.measure.natural_colour import CNN_PX
from recolor.cleaning.measure.rows import TOGETHER, IndexedFile, measure_files
from recolor.cleaning.measure.sharpness import octaves
from recolor.config.settings import MeasureConfig


@pytest.fixture
def files(tmp_path):
    """Crops of photographs in several formats; every third file is damaged."""
    made = []
    for number in range(2 * TOGETHER + 3):
        kind = ("JPEG", "PNG", "BMP")[number // 3 % 3]
        rgb = (photographs.coffee(), photographs.astronaut(), photographs.rocket())[number % 3]
        buffer = io.BytesIO()
        Image.fromarray(rgb[number : number + 150, 2 * number : 2 * number + 201]).save(buffer, kind)
        content = buffer.getvalue()[: 900 if number % 3 == 2 else None]
        path = tmp_path / f"{number:02}"
        path.write_bytes(content)
        made.append(IndexedFile(path, len(content)))
    return made


def test_every_file_has_its_row_in_order_whether_or_not_it_is_damaged(files):
    rows = list(measure_files(files, MeasureConfig()))
    assert ["reason" in row for row in rows] == [number % 3 == 2 for number in range(len(files))]
    assert [row["width_px"] for row in rows if "reason" not in row] == [201] * (len(files) * 2 // 3 + 1)
    assert len({row["sha256"] for row in rows}) == len(files)


def test_a_row_does_not_depend_on_the_files_beside_it(files):
    together = list(measure_files(files, MeasureConfig()))
    assert [next(measure_files([file], MeasureConfig())) for file in files] == together


def test_nothing_is_measured_of_nothing_and_of_files_that_are_all_damaged(files):
    assert list(measure_files([], MeasureConfig())) == []
    damaged = files[2::3]
    assert all("reason" in row for row in measure_files(damaged, MeasureConfig()))


def test_a_file_that_is_changing_is_unreadable(files):
    (row,) = measure_files([IndexedFile(files[0].path, files[0].size_bytes + 1)], MeasureConfig())
    assert row["reason"] == "unreadable"
    assert "it is changing" in row["detail"]


def test_large_pictures_of_any_format_are_measured_at_the_same_scale(tmp_path):
    rgb = np.asarray(Image.fromarray(photographs.coffee()).resize((1600, 1200), Image.Resampling.LANCZOS))
    for kind in ("JPEG", "PNG"):
        Image.fromarray(rgb).save(tmp_path / kind, kind, **({"quality": 97} if kind == "JPEG" else {}))
    files = [IndexedFile(tmp_path / kind, (tmp_path / kind).stat().st_size) for kind in ("JPEG", "PNG")]
    jpeg, png = measure_files(files, MeasureConfig())
    for name in ("detail_0_1", "detail_90_2", "detail_45_4", "chroma_mean", "L_mean"):
        assert jpeg[name] == pytest.approx(png[name], rel=0.1)


def test_of_a_panorama_a_batch_holds_a_square_copy_only():
    """Of 95 x 50,000 pixels every octave that is high enough has 14 MB, and a batch has 16 images."""
    panorama = octaves(np.zeros((95, 50_000, 3), np.uint8))
    assert rows._large_copy(panorama).shape == (CNN_PX, CNN_PX, 3)
    assert rows._large_copy(octaves(np.zeros((500, 700, 3), np.uint8))).shape == (125, 175, 3)
