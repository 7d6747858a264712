import io
import os
import pickle
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from skimage import data as photographs

from recolor.cleaning.index import index_images
from recolor.cleaning.measure import measure_part, merge_measurements, plan_measure, rows
from recolor.cleaning.measure import plan as stage
from recolor.cleaning.measure.plan import MEASURE_VERSION
from recolor.config.settings import Config, ExecutionConfig, MeasureConfig
from recolor.errors import MissingStageError
from recolor.images import decode
from recolor.manifests.pandas import read_manifest
from recolor.manifests.schemas import SHARPNESS_PX
from recolor.pipeline.cache import read_record, record_path
from recolor.pipeline.workspace import open_workspace


def config(part_images=4, **measure):
    return Config(measure=MeasureConfig(**measure), execution=ExecutionConfig(workers=2, part_images=part_images))


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(10):
        add(folder, number)
    (folder / "bad.jpg").write_bytes(b"no image")
    return folder


def add(folder, number, name=None):
    crop = photographs.astronaut()[number * 10 : number * 10 + 200, number * 20 : number * 20 + 220]
    Image.fromarray(crop).save(folder / (name or f"{number:02}.jpg"))


def run(workspace, images, settings):
    """Returns how many images were measured, and the outcome of the merge."""
    index_images(workspace, images, settings)
    plan = plan_measure(workspace, images, settings)
    built = [measure_part(workspace, images, part, settings) for part in plan.missing]
    measured = sum(outcome.counts["images"] for outcome in built if outcome.built)
    assert measured + plan.reused == len(read_manifest(workspace.manifest("index")))
    return measured, merge_measurements(workspace, settings)


def table(workspace):
    return read_manifest(workspace.manifest("measurements")).set_index("path")


def test_every_image_has_a_row_and_a_reason_or_numbers(workspace, images):
    count, outcome = run(workspace, images, config())
    assert count == 11
    assert outcome.counts == {"images": 11, "not_decoded": 1}
    measured = table(workspace)
    assert measured.index.tolist() == sorted([f"{number:02}.jpg" for number in range(10)] + ["bad.jpg"])
    assert measured.loc["bad.jpg", "reason"] == "not_an_image"
    assert len(measured.loc["bad.jpg", "sha256"]) == 64
    good = measured.drop("bad.jpg")
    assert good["reason"].isna().all()
    assert (good["width_px"] == 220).all()
    assert good["ab_residual"].gt(1).all()


def test_the_size_of_the_parts_does_not_show_in_the_result(tmp_path, images):
    written = []
    for size in (1, 3, 100):
        workspace = open_workspace(tmp_path / f"workspace {size}")
        run(workspace, images, config(size))
        written.append(workspace.manifest("measurements").read_bytes())
    assert written[0] == written[1] == written[2]


def test_a_folder_that_grew_gives_the_same_bytes_as_one_measured_at_once(tmp_path, images):
    grown, whole = (open_workspace(tmp_path / name) for name in ("grown", "whole"))
    run(grown, images, config(3))
    for number in (20, 21, 22):
        add(images, number, f"0{number}.jpg")
    measured, _ = run(grown, images, config(5))
    assert measured == 3
    run(whole, images, config())
    assert grown.manifest("measurements").read_bytes() == whole.manifest("measurements").read_bytes()


@pytest.mark.parametrize("part_images", [2, 4, 100])
def test_the_rows_that_are_merged_at_a_time_do_not_show_in_the_result(workspace, images, monkeypatch, part_images):
    run(workspace, images, config())
    whole = table(workspace)
    add(images, 1, "00b.jpg")  # in a part of its own, between the others
    run(workspace, images, config(part_images=part_images))
    monkeypatch.setattr(stage, "ROW_GROUP_ROWS", 3)
    grown = table(workspace)
    workspace.manifest("measurements").unlink()
    run(workspace, images, config(part_images=part_images))
    assert table(workspace).equals(grown)
    assert pq.ParquetFile(workspace.manifest("measurements")).num_row_groups == 4
    assert grown.index.is_monotonic_increasing
    assert grown.drop("00b.jpg").equals(whole)


def test_nothing_is_done_twice(workspace, images):
    run(workspace, images, config())
    measured, outcome = run(workspace, images, config(7))
    assert measured == 0
    assert outcome.current


def test_an_image_that_is_gone_loses_its_row_and_its_part(workspace, images):
    run(workspace, images, config(1))
    (images / "03.jpg").unlink()
    measured, outcome = run(workspace, images, config(1))
    assert measured == 0
    assert outcome.built == 1
    assert "03.jpg" not in table(workspace).index
    assert len(list(workspace.measured_parts.glob("*.parquet"))) == 10
    assert run(workspace, images, config(1))[1].current


def test_a_touched_image_is_measured_again_and_no_other(workspace, images):
    run(workspace, images, config())
    os.utime(images / "05.jpg", ns=(1, 1))
    assert run(workspace, images, config())[0] == 1


def test_other_limits_measure_again_and_other_thresholds_do_not(workspace, images):
    run(workspace, images, config())
    other = config()
    assert run(workspace, images, replace(other, blurry=replace(other.blurry, threshold=0.1)))[0] == 0
    assert run(workspace, images, config(max_pixels=1000))[0] == 11
    assert (table(workspace)["reason"].isin(["too_many_pixels", "not_an_image"])).all()


def test_going_back_to_earlier_limits_measures_nothing_again(workspace, images):
    run(workspace, images, config())
    before = workspace.manifest("measurements").read_bytes()
    assert run(workspace, images, config(max_pixels=1000))[0] == 11
    assert run(workspace, images, config())[0] == 0
    assert workspace.manifest("measurements").read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda part: part.write_bytes(part.read_bytes()[:-100]),
        lambda part: record_path(part).unlink(),
        lambda part: record_path(part).write_text(
            record_path(part).read_text().replace(f'"version": {MEASURE_VERSION}', '"version": 0')
        ),
    ],
)
def test_parts_that_no_settings_can_use_are_deleted(workspace, images, damage):
    run(workspace, images, config(4))
    others = sorted(workspace.measured_parts.glob("*.parquet"))
    damage(others[0])
    run(workspace, images, config(4, max_pixels=1000))
    assert [part for part in others if part.exists()] == others[1:]
    assert not record_path(others[0]).exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(b"PAR1 no more"),
        lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
        lambda path: path.with_name(path.name + ".record.json").unlink(),
        lambda path: path.rename(path.with_name("0123456789abcdef.parquet")),
    ],
)
def test_a_damaged_part_has_exactly_its_images_measured_again(workspace, images, damage):
    run(workspace, images, config(4))
    before = workspace.manifest("measurements").read_bytes()
    parts = sorted(workspace.measured_parts.glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    damage(parts[0])
    measured, _ = run(workspace, images, config(4))
    assert measured == 4
    assert workspace.manifest("measurements").read_bytes() == before


def test_each_image_is_decoded_once(workspace, images, monkeypatch):
    decoded, real = [], rows.decode
    monkeypatch.setattr(rows, "decode", lambda data, *rest: decoded.append(len(data)) or real(data, *rest))
    run(workspace, images, config())
    assert len(decoded) == 11


def test_files_that_vanish_or_change_after_indexing_are_unreadable(workspace, images):
    index_images(workspace, images, config())
    (images / "01.jpg").unlink()
    (images / "02.jpg").write_bytes((images / "03.jpg").read_bytes() + b"more")
    for part in plan_measure(workspace, images, config()).missing:
        measure_part(workspace, images, part, config())
    merge_measurements(workspace, config())
    measured = table(workspace)
    assert measured.loc["01.jpg", "reason"] == measured.loc["02.jpg", "reason"] == "unreadable"
    assert "when it was indexed" in measured.loc["02.jpg", "detail"]


@pytest.fixture
def hidden(workspace, images):
    """A workspace whose first measuring could not open two of the images; puts them back when called."""
    index_images(workspace, images, config())
    away = {name: (images / name).rename(images.parent / name) for name in ("01.jpg", "05.jpg")}
    measure(workspace, images, config())
    return lambda: [away[name].rename(images / name) for name in away]


def measure(workspace, images, settings):
    """Returns how many images were measured, without looking for new ones, and the outcome of the merge."""
    parts = plan_measure(workspace, images, settings).missing
    built = [measure_part(workspace, images, part, settings) for part in parts]
    return sum(outcome.counts["images"] for outcome in built if outcome.built), merge_measurements(workspace, settings)


def test_images_that_stay_unreadable_are_not_measured_again(workspace, images, hidden):
    assert (table(workspace)["reason"] == "unreadable").sum() == 2
    measured, outcome = measure(workspace, images, config())
    assert measured == 0
    assert outcome.current


@pytest.mark.parametrize("part_images", [1, 2, 4, 100])
def test_images_that_can_be_read_again_are_measured_again(tmp_path, workspace, images, hidden, part_images):
    hidden()
    assert measure(workspace, images, config(part_images))[0] == 2
    whole = open_workspace(tmp_path / "whole")
    run(whole, images, config())
    assert workspace.manifest("measurements").read_bytes() == whole.manifest("measurements").read_bytes()
    assert measure(workspace, images, config(part_images))[0] == 0


@pytest.mark.parametrize("part_images", [1, 4, 100])
def test_a_wrong_folder_of_images_does_not_stick(tmp_path, workspace, images, part_images):
    index_images(workspace, images, config())
    wrong = tmp_path / "wrong"
    assert measure(workspace, wrong, config(part_images))[1].counts["not_decoded"] == 11
    assert measure(workspace, wrong, config(part_images))[0] == 0
    measured, outcome = measure(workspace, images, config(part_images))  # in parts of the same keys
    assert measured == 11
    assert outcome.counts["not_decoded"] == 1


def test_a_measurement_is_preferred_to_a_failed_try_and_a_new_failure_to_an_old_one(workspace, images, hidden):
    for length in range(1, 6):  # files that open, and have another size than they are indexed with
        for name in ("01.jpg", "05.jpg"):
            (images / name).write_bytes(b"x" * length)
        assert measure(workspace, images, config(1 + length % 2))[0] == 2
        details = table(workspace).loc[["01.jpg", "05.jpg"], "detail"]
        assert details.str.startswith(f"{length} bytes now").all()
    hidden()
    assert measure(workspace, images, config(100))[0] == 2
    assert table(workspace)["reason"].dropna().tolist() == ["not_an_image"]


def test_the_merge_names_the_verb_that_rebuilds_it(workspace, images):
    assert run(workspace, images, config())[1].stage == "measure"
    assert read_record(record_path(workspace.manifest("measurements"))).stage == "measure"


def test_a_plan_has_at_most_300_parts(workspace, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(601):
        (folder / f"{number}.jpg").touch()
    index_images(workspace, folder, config())
    parts = plan_measure(workspace, folder, config(1)).missing
    assert len(parts) == 201
    assert [row for part in parts for row in part.rows] == list(range(601))


@pytest.mark.parametrize(
    ("workers", "part_images", "sizes"),
    [(1, 200, [76] * 7 + [69]), (2, 200, [38] * 15 + [31]), (2, 20, [20] * 30 + [1]), (64, 200, [16] * 37 + [9])],
)
def test_every_worker_has_a_few_parts_unless_they_would_be_tiny(workspace, tmp_path, workers, part_images, sizes):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(601):
        (folder / f"{number}.jpg").touch()
    index_images(workspace, folder, config())
    execution = ExecutionConfig(workers=workers, part_images=part_images)
    parts = plan_measure(workspace, folder, Config(execution=execution)).missing
    assert [len(part.rows) for part in parts] == sizes


def test_an_unexpected_error_names_the_file(workspace, images, monkeypatch):
    def fail(pictures):
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(rows, "measure_sharpness", fail)
    with pytest.raises(ZeroDivisionError, match="a defect") as caught:
        run(workspace, images, config())
    assert caught.value.__notes__ == [str(images / "00.jpg")]


def test_merging_before_all_is_measured_says_what_to_do(workspace, images):
    index_images(workspace, images, config())
    first = plan_measure(workspace, images, config()).missing[0]
    measure_part(workspace, images, first, config())
    with pytest.raises(MissingStageError, match="7 of 11 images are not measured"):
        merge_measurements(workspace, config())
    with pytest.raises(MissingStageError, match="recolor index"):
        plan_measure(open_workspace(workspace.root / "other"), images, config())


def test_parts_travel_light(workspace, images):
    index_images(workspace, images, config())
    parts = plan_measure(workspace, images, config()).missing
    assert [len(part.rows) for part in parts] == [4, 4, 3]
    assert pickle.loads(pickle.dumps(parts[0])) == parts[0]
    assert len(pickle.dumps(parts)) < 1000


def test_names_of_all_kinds_are_measured(workspace, tmp_path):
    folder = tmp_path / "odd"
    (folder / "sub folder").mkdir(parents=True)
    for name in ("a b.jpg", "línea\nnew.jpg", "sub folder/雪.jpg", "'quote\".jpg"):
        add(folder, 1, name)
    assert run(workspace, folder, config())[1].counts == {"images": 4, "not_decoded": 0}


def test_sharpness_is_measured_at_a_scale_that_keeps_blur_visible():
    assert MeasureConfig().measure_px >= SHARPNESS_PX > 256  # a 1024 px photograph at half its size, not at a quarter
    noise = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG")
    assert decode(buffer.getvalue(), MeasureConfig(), MeasureConfig().measure_px).rgb.shape[:2] == (512, 512)
