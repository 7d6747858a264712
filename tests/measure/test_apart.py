import os

import pytest

from recolor.config import Config, ExecutionConfig, MeasureConfig
from recolor.index import index_images
from recolor.measure import measure_part, measuring, plan_measure, stage
from recolor.measure.apart import measure_apart
from recolor.measure.rows import IndexedFile
from recolor.processes import in_process, worker_processes


class Deadly:
    """A path that ends the process which receives it, as a decoder that crashes would."""

    def __reduce__(self):
        return os._exit, (1,)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    return [IndexedFile(tmp_path / "bad.jpg", 8)] * 7


def test_a_file_that_its_process_dies_of_has_its_reason_and_the_others_are_measured(files):
    files[4] = IndexedFile(Deadly(), 8)
    with worker_processes(2):
        rows = measure_apart(files, MeasureConfig())
    assert rows["reason"].to_pylist() == ["not_an_image"] * 4 + ["decoder_crashed"] + ["not_an_image"] * 2
    assert "died" in rows["detail"][4].as_py()


def test_several_of_them_are_all_found(files):
    files[0] = files[6] = IndexedFile(Deadly(), 8)
    with worker_processes(1):
        rows = measure_apart(files, MeasureConfig())
    assert [reason == "decoder_crashed" for reason in rows["reason"].to_pylist()] == [True, *[False] * 5, True]


@pytest.mark.parametrize(("enough", "apart"), [(3, True), (4, False)])
def test_processes_are_started_for_many_images_only(workspace, tmp_path, monkeypatch, enough, apart):
    monkeypatch.setattr(stage, "PROCESSES_FROM_IMAGES", enough)
    images = tmp_path / "images"
    images.mkdir()
    for number in range(3):
        (images / f"{number}.jpg").write_bytes(b"no image")
    config = Config(execution=ExecutionConfig(workers=2))
    index_images(workspace, images, config)
    plan = plan_measure(workspace, images, config)
    with measuring(plan, config):
        assert (in_process(os.getpid) != os.getpid()) == apart
        assert measure_part(workspace, images, plan.missing[0], config).counts == {"images": 3, "not_decoded": 3}
