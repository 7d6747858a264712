import numpy as np
import pytest
from evaluation.hue_examples import reference_counts, reference_hue
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.colors import XKCD_COLORS, to_rgb
from skimage import data

from recolor.color.gamut import join
from recolor.color.lab import rgb_to_lab
from recolor.evaluation.hues import (
    HUE_LIMITS_DEG,
    NEUTRAL_CHROMA,
    hue_counts,
    hue_kept,
    hue_metrics,
    pixel_hues,
    weighted_sums,
)
from recolor.manifests.schemas import HUES

GREEN, BLUE, ORANGE, RED, NEUTRAL = range(5)
SURVEY = {
    "green": ["green"],
    "blue": ["blue"],
    "orange": ["orange", "yellow", "brown", "tan"],
    "red": ["red", "pink", "purple", "violet", "magenta"],
}

images = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6).map(lambda shape: (*shape, 3)))
counts = st.lists(images, min_size=1, max_size=4).map(
    lambda chosen: [hue_counts(hues_of(rgb), hues_of(rgb[::-1])) for rgb in chosen]
)


def hues_of(rgb):
    return pixel_hues(rgb_to_lab(np.asarray(rgb, np.uint8)))


def name_of(colour):
    rgb = (np.array(to_rgb(colour)) * 255).round()
    return HUES[hues_of(rgb.reshape(1, 1, 3)).hue[0, 0]]


def test_counts_are_those_of_a_loop_over_the_pixels_in_float64():
    """Pixels within 0.001 degrees or Lab units of a limit may fall on either side; these photographs have none."""
    truth = data.astronaut()[40:136, 150:250]
    for coloured in (truth[:, ::-1], data.coffee()[40:136, 150:250], truth // 2 + 60):
        found = hue_counts(hues_of(coloured), hues_of(truth))
        pixels, truth_chroma, chroma = reference_counts(coloured, truth)
        np.testing.assert_array_equal(found.pixels, pixels)
        np.testing.assert_allclose(found.truth_chroma, truth_chroma, rtol=1e-4, atol=1e-2)
        np.testing.assert_allclose(found.chroma, chroma, rtol=1e-4, atol=1e-2)


def test_most_colours_are_in_the_class_of_the_name_that_people_give_them():
    """The last word of the colours' names in Munroe's survey, xkcd.com 2010."""
    survey = [(name.removeprefix("xkcd:"), colour) for name, colour in XKCD_COLORS.items()]
    expected = [
        (hue, name_of(colour)) for name, colour in survey for hue, words in SURVEY.items() if name.split()[-1] in words
    ]
    assert len(expected) == 550
    assert np.mean([hue == found for hue, found in expected]) > 0.91
    for name in ("medium grey", "cool grey", "warm grey", "steel grey", "slate grey", "dark grey", "black", "white"):
        assert name_of(f"xkcd:{name}") == "neutral"
    for name in ("bluish grey", "pinkish grey", "greenish grey", "brownish grey"):
        assert name_of(f"xkcd:{name}") != "neutral"


@pytest.mark.parametrize(
    ("hue", "colours"),
    {
        "green": ["#00ff00", "forestgreen", "darkolivegreen", "yellowgreen", "#567d46", "#4a5d23"],  # the last: leaves
        "blue": ["#0000ff", "#00ffff", "skyblue", "navy", "steelblue", "#87a7c7"],
        "orange": [
            "#ffff00",
            "orange",
            "gold",
            "saddlebrown",
            "tan",
            "sandybrown",
            "#cc7722",
            "#e0ac69",
        ],  # ochre, skin
        "red": ["#ff0000", "#ff00ff", "crimson", "pink", "purple", "maroon"],
        "neutral": ["black", "white", "gray", "snow", "#7c7f84"],
    }.items(),
)
def test_rendered_colours_are_in_their_class(hue, colours):
    assert {colour: name_of(colour) for colour in colours} == dict.fromkeys(colours, hue)


@given(st.floats(-180, 180), st.floats(0, 130))
def test_every_angle_has_a_class_and_limits_belong_to_the_class_above(angle_deg, chroma):
    angle = np.radians(angle_deg)
    lab = np.array([[[50, chroma * np.cos(angle), chroma * np.sin(angle)]]], np.float32)
    near_limit = min(abs(angle_deg - limit) for limit in (*HUE_LIMITS_DEG, -180, 180)) < 1e-3
    if not near_limit and abs(chroma - NEUTRAL_CHROMA) > 1e-3:
        assert pixel_hues(lab).hue[0, 0] == reference_hue(chroma, angle % (2 * np.pi))


@given(counts)
def test_rows_of_the_confusion_sum_to_one_where_the_hue_exists_and_are_undefined_elsewhere(of_images):
    total = weighted_sums(of_images, np.ones(len(of_images)))
    metrics = hue_metrics(total)
    exists = total.pixels.sum(axis=1) > 0
    assert metrics.confusion.sum(axis=1)[exists] == pytest.approx(1)
    for undefined in (metrics.confusion, metrics.share_ratio, metrics.truth_chroma, metrics.chroma):
        assert np.isfinite(undefined[exists]).all()
        assert np.isnan(undefined[~exists]).all()
    assert metrics.truth_share.sum() == pytest.approx(1)
    assert metrics.share.sum() == pytest.approx(1)
    np.testing.assert_allclose(metrics.truth_share @ np.nan_to_num(metrics.confusion), metrics.share, atol=1e-12)


@given(images)
def test_a_perfect_colouring_keeps_every_hue(truth):
    found = hue_counts(hues_of(truth), hues_of(truth))
    metrics = hue_metrics(found)
    exists = metrics.truth_share > 0
    np.testing.assert_array_equal(metrics.confusion[exists], np.eye(5)[exists])
    np.testing.assert_array_equal(metrics.truth_share, metrics.share)
    np.testing.assert_array_equal(metrics.truth_chroma, metrics.chroma)
    assert hue_kept(found) == 1 or not exists[:NEUTRAL].any()


@given(images)
def test_without_colour_every_pixel_is_neutral(truth):
    lab = rgb_to_lab(truth)
    grey = hues_of(join(np.ascontiguousarray(lab[..., 0]), np.zeros_like(lab[..., 1:])))
    metrics = hue_metrics(hue_counts(grey, pixel_hues(lab)))
    assert metrics.share.tolist() == [0, 0, 0, 0, 1]
    exists = metrics.truth_share > 0
    assert (metrics.confusion[exists, NEUTRAL] == 1).all()
    assert (metrics.chroma[exists] < 1).all()  # `join` rounds to codes of the right lightness


@given(counts, st.integers(0, 3))
def test_sums_over_images_are_exact_in_any_grouping(of_images, cut):
    everything = weighted_sums(of_images, np.ones(len(of_images)))
    parts = [part for part in (of_images[:cut], of_images[cut:]) if part]
    merged = sum(weighted_sums(part, np.ones(len(part))).pixels for part in parts)
    np.testing.assert_array_equal(merged, everything.pixels)
    assert everything.pixels.sum() == sum(image.pixels.sum() for image in of_images)


def test_grass_turned_ochre_is_seen_although_it_is_as_colourful():
    """The lower half is grass, the upper half sky; the sky keeps its colour."""
    truth = np.zeros((40, 30, 3), np.uint8)
    truth[:20], truth[20:] = (120, 160, 210), (86, 125, 70)
    lab = rgb_to_lab(truth)
    chroma = np.hypot(lab[20:, :, 1], lab[20:, :, 2])
    ochre = lab.copy()
    ochre[20:, :, 1], ochre[20:, :, 2] = chroma * np.cos(np.radians(75)), chroma * np.sin(np.radians(75))
    found = hue_counts(hues_of(join(np.ascontiguousarray(ochre[..., 0]), ochre[..., 1:])), pixel_hues(lab))
    metrics = hue_metrics(found)
    assert metrics.truth_share.tolist() == [0.5, 0.5, 0, 0, 0]
    assert metrics.confusion[GREEN].tolist() == [0, 0, 1, 0, 0]
    assert metrics.confusion[BLUE].tolist() == [0, 1, 0, 0, 0]
    assert metrics.chroma[GREEN] == pytest.approx(metrics.truth_chroma[GREEN], rel=0.05)
    assert hue_kept(found) == 0.5
    assert np.isnan(metrics.share_ratio[ORANGE])  # no orange in truth
    assert metrics.share[ORANGE] == 0.5


def test_photographs_have_the_hues_that_people_see_in_them():
    """A red-brown cat, a cup of coffee on wood, and a sky before sunrise."""
    for photograph, hue in ((data.chelsea(), ORANGE), (data.coffee(), ORANGE), (data.rocket()[:80], BLUE)):
        assert (hues_of(photograph).hue == hue).mean() > 0.5
