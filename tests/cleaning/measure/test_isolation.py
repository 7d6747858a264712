import io
import os

import pyarrow as pa
import pytest
from PIL import Image
from skimage import data as photographs

from recolor.cleaning.index import index_images
from recolor.cleaning.measure import measure_part, measuring, merge_measurements, plan_measure
from recolor.cleaning.measure import plan as stage
from recolor.cleaning.measure.isolation import measure_apart
from recolor.config.settings import Config, ExecutionConfig, MeasureConfig
from recolor.manifests.io import read_table
from recolor.manifests.schemas import INDEX, MEASUREMENTS
from recolor.pipeline.workers import in_process, worker_processes

# Python runs a module of this name as it starts: the workers' decoder, and theirs alone, dies of some files, or never
# returns from them, with Python's lock in its hands.
SITE = """
import os, re
import simplejpeg
decode = simplejpeg.decode_jpeg
def decode_jpeg(data, *rest, **named):
    if b"deadly" in data:
        os._exit(1)
    if b"endless" in data:
        re.fullmatch("(a+)+", "a" * 100 + "b")
    return decode(data, *rest, **named)
simplejpeg.decode_jpeg = decode_jpeg
"""


@pytest.fixture
def deadly(tmp_path, monkeypatch):
    """Makes a folder of four photographs, of which these are deadly, or what else the comment says."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE)
    monkeypatch.syspath_prepend(site)

    def make(numbers, comment=b"deadly"):
        images = tmp_path / "images"
        images.mkdir()
        for number in range(4):
            buffer = io.BytesIO()
            crop = photographs.coffee()[10 * number : 10 * number + 200, :200]
            Image.fromarray(crop).save(buffer, "JPEG", comment=comment if number in numbers else b"")
            (images / f"{number}.jpg").write_bytes(buffer.getvalue())
        return images

    return make


def index_of(images):
    files = sorted(images.iterdir())
    sizes = pa.array([file.stat().st_size for file in files], pa.int64())
    return pa.table([pa.array([file.name for file in files]), sizes, sizes], schema=INDEX.arrow)


@pytest.mark.parametrize(
    "numbers", [{2}, pytest.param({0, 3}, marks=pytest.mark.slow), pytest.param(set(range(4)), marks=pytest.mark.slow)]
)
def test_files_that_a_process_dies_of_have_their_reason_and_the_others_are_measured(deadly, numbers):
    images = deadly(numbers)
    identities = index_of(images)
    with worker_processes(1):
        rows = measure_apart(images, identities, MeasureConfig())
    assert rows["reason"].to_pylist() == ["decoder_crashed" if number in numbers else None for number in range(4)]
    assert [detail is not None for detail in rows["detail"].to_pylist()] == [number in numbers for number in range(4)]
    healthy = rows.filter(rows["reason"].is_null())
    expected = measure_apart(images, identities, MeasureConfig()).filter(rows["reason"].is_null())
    assert healthy.equals(expected)


@pytest.mark.parametrize("numbers", [{2}, {0, 3}])
@pytest.mark.slow  # waits for the limit, several times
def test_files_that_no_decoder_returns_from_have_their_reason_and_the_others_are_measured(deadly, numbers):
    images = deadly(numbers, b"endless")
    identities = index_of(images)
    with worker_processes(1):
        rows = measure_apart(images, identities, MeasureConfig(max_decode_s=1.0))
    assert rows["reason"].to_pylist() == ["too_slow" if number in numbers else None for number in range(4)]
    assert {rows["detail"][number].as_py() for number in numbers} == {"not decoded within 1 s"}
    healthy = rows["reason"].is_null()
    assert rows.filter(healthy).equals(measure_apart(images, identities.filter(healthy), MeasureConfig()))


@pytest.mark.slow  # several processes
def test_a_run_goes_on_without_the_image_that_crashes_the_decoder(deadly, workspace, monkeypatch):
    images, config = deadly({2}), Config(execution=ExecutionConfig(workers=2))
    index_images(workspace, images, config)
    plan = plan_measure(workspace, images, config)
    with measuring(plan, config):
        for part in plan.missing:
            measure_part(workspace, images, part, config)
    assert merge_measurements(workspace, config).counts == {"images": 4, "not_decoded": 1}
    rows = read_table(MEASUREMENTS, workspace.manifest("measurements"), ["path", "reason"]).to_pylist()
    assert [row["path"] for row in rows if row["reason"] == "decoder_crashed"] == ["2.jpg"]
    assert plan_measure(workspace, images, config).missing == ()  # it is not tried again in every run


@pytest.mark.parametrize(("enough", "apart"), [(1, True), (4, True), (5, False)])
def test_processes_are_started_for_images_enough_only(deadly, workspace, monkeypatch, enough, apart):
    monkeypatch.setattr(stage, "PROCESSES_FROM_IMAGES", enough)
    images, config = deadly(set()), Config(execution=ExecutionConfig(workers=2))
    index_images(workspace, images, config)
    plan = plan_measure(workspace, images, config)
    with measuring(plan, config) as how:
        assert (in_process(os.getpid) != os.getpid()) == apart
        assert how.execution.workers == (3 if apart else 2)  # one part is written while two are measured
        assert measure_part(workspace, images, plan.missing[0], config).counts == {"images": 4, "not_decoded": 0}
