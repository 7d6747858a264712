import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
import pytest
from colour_sources import fingerprint
from colour_sources import photographs as fitted_on
from skimage import data as photographs

from recolor.cleaning.measure import natural_colour
from recolor.cleaning.measure.colour import COLOUR_PX, measure_colours
from recolor.cleaning.measure.natural_colour import (
    CNN_FILE,
    CNN_PX,
    DOUBTFUL,
    GREY_CHROMA,
    cnn_logit,
    measure_natural_colour,
)
from recolor.cleaning.measure.sharpness import octaves, smallest_octave, square_copy
from recolor.manifests.schemas import MEASUREMENTS, NATURAL_COLOUR

SHARED = Path(__file__).parents[3] / "../shared/data"


def colours_of(pictures):
    colours = measure_colours(np.stack([square_copy(octaves(picture), COLOUR_PX) for picture in pictures]))
    return pa.table(colours, schema=pa.schema([MEASUREMENTS.arrow.field(name) for name in colours]))


def squares_of(pictures):
    return [square_copy(octaves(picture), CNN_PX) for picture in pictures]


def judged(pictures):
    return measure_natural_colour(colours_of(pictures), squares_of(pictures))


def cast(picture, gains):
    return np.clip(picture * np.array(gains), 0, 255).astype(np.uint8)


def some_pictures():
    plain = [photographs.chelsea(), photographs.coffee(), photographs.astronaut(), photographs.rocket()]
    return [*plain, *(cast(picture, (0.5, 0.8, 1.4)) for picture in plain), plain[0][..., [1, 1, 1]]]


def test_only_doubtful_pictures_with_colour_are_looked_at():
    pictures = some_pictures()
    logits, by_cnn = judged(pictures).values()
    chromas = colours_of(pictures)["chroma_mean"].to_pylist()
    wanted = [logit < DOUBTFUL and chroma >= GREY_CHROMA for logit, chroma in zip(logits, chromas, strict=True)]
    assert [value is not None for value in by_cnn] == wanted
    assert any(wanted)
    assert not all(wanted)


def test_the_values_of_a_picture_do_not_depend_on_the_others():
    pictures = some_pictures()
    together = judged(pictures)
    for row, picture in enumerate(pictures):
        alone = judged([picture])
        assert {name: values[row] for name, values in together.items()} == {name: v[0] for name, v in alone.items()}


def test_opencv_computes_what_the_reference_runtime_of_onnx_does():
    session = onnxruntime.InferenceSession(CNN_FILE, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    noise = np.random.default_rng(0).integers(0, 256, (4, CNN_PX, CNN_PX, 3), np.uint8)
    squares = [*squares_of(some_pictures()), *noise]
    for square in squares:
        blob = ((square.transpose(2, 0, 1)[None] - np.float32(127)) / np.float32(128)).astype(np.float32)
        assert cnn_logit(square) == pytest.approx(float(session.run(None, {name: blob})[0][0, 0]), abs=1e-4)


def test_a_picture_is_judged_by_its_square_copy():
    for picture in some_pictures():
        assert cnn_logit(smallest_octave(octaves(picture), CNN_PX)) == cnn_logit(squares_of([picture])[0])


def test_threads_do_not_disturb_each_other():
    squares = squares_of(some_pictures()) * 4
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(cnn_logit, squares)) == [cnn_logit(square) for square in squares]


def test_a_picture_of_one_pixel_is_judged_too():
    pictures = [np.full((1, 1, 3), (200, 30, 30), np.uint8)]
    assert np.isfinite([value for values in judged(pictures).values() for value in values if value is not None]).all()


@pytest.mark.skipif(not (SHARED / "photos_more").is_dir(), reason="../shared/data/photos_more is not there")
def test_the_network_names_the_photographs_that_it_was_fitted_on():
    """`tools/fit_skewed_cnn.py` writes their fingerprint into the file; fitting again takes two hours."""
    metadata = {entry.key: entry.value for entry in onnx.load(CNN_FILE).metadata_props}
    assert metadata["fingerprint"] == fingerprint(fitted_on(SHARED, "fit"))


def test_the_network_names_no_file_of_the_machine_that_made_it():
    assert b".py" not in CNN_FILE.read_bytes()


def test_the_limit_of_doubt_is_the_one_that_the_schema_states():
    assert f"below {DOUBTFUL:g}." in next(
        column.meaning for column in NATURAL_COLOUR if column.name == "colour_logit_cnn"
    )


def test_a_network_that_cannot_be_loaded_because_memory_ran_out_is_a_memory_error(monkeypatch):
    def fail(_):
        raise cv2.error("OpenCV(5.0.0) :-1: error: (-5:Bad argument) in function 'readNetFromONNX'")

    monkeypatch.setattr(natural_colour, "_of_thread", threading.local())
    monkeypatch.setattr(cv2.dnn, "readNetFromONNX", fail)
    with pytest.raises(MemoryError, match=r"natural_colour\.onnx"):
        cnn_logit(squares_of(some_pictures())[0])


@pytest.mark.parametrize(("message", "raised"), [("std::bad_alloc", MemoryError), ("Unknown layer type", cv2.error)])
def test_only_too_little_memory_while_it_is_evaluated_is_a_memory_error(monkeypatch, message, raised):
    class Network:
        def setInput(self, blob):  # noqa: N802  (OpenCV's name)
            raise cv2.error(message)

    monkeypatch.setattr(natural_colour, "_network", Network)
    with pytest.raises(raised, match=message):
        cnn_logit(squares_of(some_pictures())[0])
