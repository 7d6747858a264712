import numpy as np
import pytest
from skimage import data as photographs

from recolor.cleaning.detect.skewed import SKEWED_DETECTOR, colour_distance, detect_skewed, score_skewed
from recolor.config.settings import SkewedConfig
from recolor.manifests.schemas import COLOUR

DEFAULT = SkewedConfig()


def crops(count, seed=0):
    rng = np.random.default_rng(seed)
    sources = [photographs.chelsea(), photographs.astronaut(), photographs.rocket()]
    made = {}
    for number in range(count):
        source = sources[number % len(sources)]
        top, left = rng.integers(0, source.shape[0] - 100), rng.integers(0, source.shape[1] - 130)
        made[f"{number:03}.jpg"] = source[top : top + 100, left : left + 130].copy()
    return made


def test_a_strong_cast_is_found_among_few_images_and_nothing_else_is(measured):
    pictures = crops(20)
    for name, colour in (
        ("cast blue.jpg", (0, 0, 255)),
        ("cast green.jpg", (0, 255, 0)),
        ("cast pink.jpg", (255, 0, 200)),
    ):
        pictures[name] = (photographs.chelsea() * 0.45 + np.array(colour) * 0.55).astype(np.uint8)
    table = measured(pictures)
    assert np.isnan(colour_distance(table)).all()
    rows = detect_skewed(table, DEFAULT).to_pylist()
    assert [row["path"] for row in rows] == ["cast blue.jpg", "cast green.jpg", "cast pink.jpg"]
    casts = "blue", "green", "magenta"
    assert [row["reason"].split(":")[0] for row in rows] == [f"{hue} cast" for hue in casts]
    assert all("nothing in the picture is neutral" in row["reason"] for row in rows)


def test_colours_that_the_set_does_not_have_are_found_among_many(measured):
    pictures = crops(220)
    pictures["odd.jpg"] = np.ascontiguousarray(photographs.coffee()[..., [1, 0, 2]])  # red and green exchanged
    table = measured(pictures)
    distance = colour_distance(table)
    assert np.median(distance) == pytest.approx(1, abs=0.02)
    assert table["path"][int(distance.argmax())].as_py() == "odd.jpg"


def synthetic(numbers, count, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        values = {column.name: float(rng.normal()) for column in COLOUR}
        spreads = {name: float(rng.lognormal(2, 0.3)) for name in ("a_std", "b_std", "chroma_mean", "chroma_p95")}
        rows.append({"path": f"{number:05}"} | values | spreads | {"cast": 0.0, "ab_covariance": 0.0})
    return numbers(rows)


def test_the_distance_hardly_depends_on_the_number_of_images(numbers):
    few, many = (np.quantile(colour_distance(synthetic(numbers, count)), [0.5, 0.9, 0.99]) for count in (300, 6000))
    assert np.abs(few / many - 1).max() < 0.15


def test_outliers_do_not_hide_themselves(numbers):
    rows = synthetic(numbers, 300).to_pylist()
    for row in rows[:30]:
        row |= {f"{channel}_band_{band}": 40.0 for band in range(3) for channel in "ab"}
    distance = colour_distance(numbers(rows))
    assert distance[:30].min() > 3 * distance[30:].max()


def test_a_set_of_equal_images_has_no_distances(numbers):
    row = synthetic(numbers, 1).to_pylist()[0]
    table = numbers([row | {"path": f"{number}"} for number in range(250)])
    assert (colour_distance(table) == 0).all()


def test_what_is_rare_in_a_set_is_not_skewed_for_that(measured):
    pictures = crops(220)
    pictures["odd.jpg"] = photographs.coffee()
    table = measured(pictures)
    odd = table["path"].to_pylist().index("odd.jpg")
    assert colour_distance(table)[odd] > 1.5
    assert score_skewed(table)[odd] == pytest.approx(score_skewed(table.slice(odd, 1))[0], abs=1e-6)


def test_the_convolutional_network_decides_where_it_has_looked(numbers):
    """Without it, and for grey pictures, the small network alone counts, or nothing."""
    judged = [
        {"colour_logit": -2.0, "colour_logit_cnn": logit_cnn, "chroma_mean": chroma}
        for logit_cnn, chroma in ((None, 20.0), (-6.0, 20.0), (6.0, 20.0), (-6.0, 1.9))
    ]
    alone, unnatural, natural, grey = score_skewed(numbers([{"path": f"{at}"} | row for at, row in enumerate(judged)]))
    assert unnatural < 0.1 < alone < 0.95 < natural
    assert grey == 1
    surer = {"path": "a", "colour_logit": -4.0, "colour_logit_cnn": 6.0, "chroma_mean": 20.0}
    assert score_skewed(numbers([surer])) < natural


def test_undecoded_images_are_not_judged(measured):
    assert score_skewed(measured({"a.jpg": b"broken"})).tolist() == [1.0]


def test_a_grey_picture_is_of_another_issue(measured):
    rng = np.random.default_rng(0)
    grey = {f"{number}.jpg": np.repeat(rng.integers(0, 256, (80, 90, 1), np.uint8), 3, axis=2) for number in range(3)}
    grey["rocket.jpg"] = np.repeat(photographs.rocket()[..., 1:2], 3, axis=2)
    assert (score_skewed(measured(grey)) == 1).all()


def test_the_score_is_the_same_before_and_after_rows_are_compacted(measured):
    table = measured(crops(9))
    assert (score_skewed(SKEWED_DETECTOR.compact(table, DEFAULT)) == score_skewed(table)).all()
