import math
from dataclasses import fields, replace

import numpy as np
import pytest

from recolor.evaluation.bootstrap import resample_counts
from recolor.evaluation.comparison import compare, direction
from recolor.evaluation.distributions import fid, kid, kid_terms
from recolor.evaluation.hues import HueCounts
from recolor.evaluation.measure import ImageScores, Score
from recolor.evaluation.methods import Method
from recolor.evaluation.metrics import ImageMetrics, colourfulness, image_metrics
from recolor.evaluation.summary import FID_RESAMPLES, METRICS, resample, summarise
from recolor.manifests.schemas import HUES

FIRST, SECOND = Method("a", "refined", "model"), Method("b", "generator", "model")
GREY = Method("", "grey", "control")
GREEN, ORANGE, RED = HUES.index("green"), HUES.index("orange"), HUES.index("red")


def random_metrics(random, truth_colourfulness, better=0.0, lpips=None):
    values = {item.name: float(random.uniform(1, 2)) for item in fields(ImageMetrics)}
    own = truth_colourfulness + float(random.normal(0, 3))
    return replace(
        ImageMetrics(**values),
        psnr_db=20 + better + float(random.normal(0, 0.1)),
        ab_mse=float(random.uniform(1e-4, 9e-3)),
        colourfulness=own,
        truth_colourfulness=truth_colourfulness,
        delta_cf=abs(own - truth_colourfulness),
        lpips=lpips,
    )


def random_hues(random, has_green):
    """No red pixels; green ones in some images only."""
    pixels = random.integers(0, 1000, (5, 5))
    pixels[RED] = 0
    pixels[GREEN] *= has_green
    true = pixels.sum(axis=1)
    return HueCounts(pixels, true * random.uniform(9, 40, 5), true * random.uniform(9, 40, 5))


def only(metrics, features=None):
    """Scores of an image that only one method, the grey one, has coloured."""
    hues = HueCounts(np.diag(np.full(5, 9)), np.ones(5), np.ones(5))
    return ImageScores("x", (Score(GREY, metrics, hues, features),), features)


def random_scores(images=40, *, features=None, lpips=None):
    random = np.random.default_rng(0)
    made = []
    for number in range(images):
        truth = float(random.uniform(20, 60))
        has_green = number % 2 == 0
        seen = None if features is None else random.normal(size=(3, features)).astype(np.float32)

        def of_image(row, seen=seen):
            return None if seen is None else (row + 1) * seen[row]

        scores = (
            Score(FIRST, random_metrics(random, truth, lpips=lpips), random_hues(random, has_green), of_image(0)),
            Score(SECOND, random_metrics(random, truth, 0.3, lpips=lpips), random_hues(random, has_green), of_image(1)),
            Score(GREY, random_metrics(random, truth, lpips=lpips), random_hues(random, has_green), of_image(0)),
        )
        made.append(ImageScores(f"{number}.jpg", scores, None if seen is None else seen[2]))
    return made


def column(images, number, name):
    return np.array([getattr(image.scores[number].metrics, name) for image in images])


def drawn_images(images, resamples=2000):
    """The images of each resample, as lists from the counts."""
    counts = np.concatenate(list(resample_counts(images, resamples)))
    return [np.repeat(np.arange(images), row.astype(int)) for row in counts]


def test_set_level_difference_cancels_and_the_per_image_one_does_not():
    grey = np.full((12, 12, 3), 128, np.uint8)
    vivid = grey.copy()
    vivid[:6] = (250, 60, 20)
    ab = np.zeros((12, 12, 2), np.float32)
    pair = [image_metrics(vivid, grey, ab, ab), image_metrics(grey, vivid, ab, ab)]
    (resampled,) = resample([only(metrics) for metrics in pair])
    assert resampled.images == 2
    assert resampled.metrics.delta_cf_set == pytest.approx(0.0, abs=1e-9)
    assert resampled.metrics.delta_cf_set_abs == pytest.approx(0.0, abs=1e-9)
    assert resampled.metrics.delta_cf_image == pytest.approx(colourfulness(vivid))


def test_errors_of_all_pixels_together_are_of_the_mean_square():
    truth = np.full((12, 12, 3), 128, np.uint8)
    zero = np.zeros((12, 12, 2), np.float32)
    images = [image_metrics(truth, truth, zero + error, zero) for error in (np.float32(3), np.float32(9))]
    (resampled,) = resample([only(metrics) for metrics in images])
    assert resampled.metrics.ab_rmse == pytest.approx(math.sqrt((9 + 81) / 2))
    assert resampled.metrics.ab_psnr_db_set == pytest.approx(20 * math.log10(255 / math.sqrt(45)))
    assert resampled.metrics.ab_psnr_db == pytest.approx(10 * math.log10(255**2 / 27))
    assert resampled.metrics.ab_distance == pytest.approx((3 + 9) / 2 * math.sqrt(2))


def test_every_interval_is_that_of_a_loop_over_the_resamples():
    images = random_scores()
    summary = summarise(resample(images)[0])
    draws = drawn_images(40)
    mse, own, truth = (column(images, 0, name) for name in ("ab_mse", "colourfulness", "truth_colourfulness"))
    loops = {
        "psnr_db": [column(images, 0, "psnr_db")[drawn].mean() for drawn in draws],
        "ab_rmse": [255 * math.sqrt(mse[drawn].mean()) for drawn in draws],
        "ab_psnr_db_set": [-10 * math.log10(mse[drawn].mean()) for drawn in draws],
        "delta_cf_image": [np.abs(own - truth)[drawn].mean() for drawn in draws],
    }
    for name, values in loops.items():
        expected = np.percentile(values, (2.5, 97.5))
        assert (getattr(summary.low, name), getattr(summary.high, name)) == pytest.approx(tuple(expected))
        assert getattr(summary.low, name) < getattr(summary.metrics, name) < getattr(summary.high, name)
    signed = np.percentile([own[drawn].mean() - truth[drawn].mean() for drawn in draws], (2.5, 97.5))
    assert signed[0] < 0 < signed[1]
    assert (summary.low.delta_cf_set, summary.high.delta_cf_set) == pytest.approx((0, np.abs(signed).max()))


def test_a_comparison_draws_the_same_images_of_both():
    images = random_scores()
    differences = {item.metric: item for item in compare(*resample(images)[:2]).differences}
    difference = differences["psnr_db"]
    apart = column(images, 1, "psnr_db") - column(images, 0, "psnr_db")
    assert difference.difference == pytest.approx(apart.mean())
    assert (difference.low, difference.high) == pytest.approx(
        tuple(np.percentile([apart[drawn].mean() for drawn in drawn_images(40)], (2.5, 97.5)))
    )
    assert difference.better == "b"
    own = [column(images, number, "colourfulness") for number in (0, 1)]
    truth = column(images, 0, "truth_colourfulness")
    sets = [abs(own[1][d].mean() - truth[d].mean()) - abs(own[0][d].mean() - truth[d].mean()) for d in drawn_images(40)]
    closeness = differences["delta_cf_set"]
    assert (closeness.low, closeness.high) == pytest.approx(tuple(np.percentile(sets, (2.5, 97.5))))
    assert differences["colourfulness"].better == ""


def test_the_winner_is_of_the_better_direction_and_none_is_named_for_chance():
    images = random_scores()
    first, second, _ = resample(images)
    turned = {item.metric: item for item in compare(second, first).differences}
    assert turned["psnr_db"].better == "b"
    assert turned["psnr_db"].difference < 0
    same = compare(first, first)
    assert {item.better for item in same.differences} == {""}
    assert {(item.difference, item.low, item.high) for item in same.differences} == {(0.0, 0.0, 0.0)}
    assert {direction(metric) for metric in ("psnr_db", "ssim", "ab_psnr_db", "ab_psnr_db_set")} == {"higher"}
    assert {direction(metric) for metric in ("delta_e_2000", "ab_mse", "delta_cf_set", "lpips", "fid", "kid")} == {
        "lower"
    }


def test_what_was_not_measured_is_neither_summarised_nor_compared():
    images = random_scores()
    summary = summarise(resample(images)[0])
    for metrics in (summary.metrics, summary.low, summary.high):
        assert (metrics.lpips, metrics.fid, metrics.kid) == (None, None, None)
    compared = [item.metric for item in compare(*resample(images)[:2]).differences]
    assert compared == [metric for metric in METRICS if metric not in {"lpips", "fid", "kid"}]


def test_distances_of_sets_are_those_of_their_features_and_so_are_their_intervals():
    images = random_scores(24, features=40, lpips=0.5)
    first, second, _ = resample(images)
    summary = summarise(second)
    seen = np.stack([image.scores[1].features for image in images]).astype(float)
    truth = np.stack([image.truth_features for image in images]).astype(float)
    assert summary.metrics.fid == pytest.approx(fid(seen, truth, np.ones(24)))
    assert summary.metrics.kid == pytest.approx(kid(kid_terms(seen, truth), np.ones((1, 24)))[0])
    repeated = [fid(seen[drawn], truth[drawn], np.ones(24)) for drawn in drawn_images(24, FID_RESAMPLES)]
    deviation = 1.96 * np.std(repeated, ddof=1)
    assert summary.high.fid - summary.metrics.fid == pytest.approx(deviation, rel=1e-4)
    assert summary.low.kid < summary.metrics.kid < summary.high.kid
    assert summary.metrics.lpips == 0.5
    differences = {item.metric: item for item in compare(first, second).differences}
    assert differences["fid"].low < differences["fid"].difference < differences["fid"].high
    assert differences["fid"].better == "a"


def test_one_image_alone_has_metrics():
    summary = summarise(resample(random_scores(1, features=8))[0])
    assert summary.low.psnr_db == summary.metrics.psnr_db == summary.high.psnr_db
    assert summary.metrics.fid is None


def test_equal_pictures_have_finite_metrics():
    rgb = np.full((12, 12, 3), 128, np.uint8)
    ab = np.zeros((12, 12, 2), np.float32)
    images = [only(image_metrics(rgb, rgb, ab, ab, 0.0), np.ones(4))] * 3
    summary = summarise(resample(images)[0])
    assert summary.metrics.ab_psnr_db_set == summary.metrics.psnr_db == 100.0
    for name in METRICS:
        assert np.isfinite(getattr(summary.metrics, name))
    assert (summary.metrics.lpips, summary.metrics.fid, summary.metrics.kid) == (0, 0, 0)


def test_hues_of_a_set_are_those_of_all_its_pixels_and_so_are_their_intervals():
    images = random_scores()
    summary = summarise(resample(images)[0])
    pixels = np.stack([image.scores[0].hues.pixels for image in images])
    chroma = np.stack([image.scores[0].hues.chroma for image in images])

    def of(drawn):
        counted = pixels[drawn].sum(axis=0)
        true, given = counted.sum(axis=1), counted.sum(axis=0)
        kept = np.trace(counted[:4, :4]) / true[:4].sum()
        return (
            kept,
            counted[GREEN, GREEN] / true[GREEN],
            given[ORANGE] / true[ORANGE],
            counted[ORANGE, GREEN] / true[ORANGE],
            chroma[drawn].sum(axis=0)[ORANGE] / true[ORANGE],
            given[RED] / counted.sum(),
        )

    def found(metrics, hues):
        of_hue = (hues.confusion[ORANGE, GREEN], hues.chroma[ORANGE], hues.share[RED])
        return metrics.hue_kept, metrics.green_kept, metrics.orange_ratio, *of_hue

    repeated = np.percentile([of(drawn) for drawn in drawn_images(40)], (2.5, 97.5), axis=0)
    assert found(summary.metrics, summary.hues.metrics) == pytest.approx(of(np.arange(40)))
    assert found(summary.low, summary.hues.low) == pytest.approx(tuple(repeated[0]))
    assert found(summary.high, summary.hues.high) == pytest.approx(tuple(repeated[1]))
    for hues in (summary.hues.metrics, summary.hues.low, summary.hues.high):
        assert np.isnan(hues.confusion[RED]).all()
        assert np.isnan([hues.share_ratio[RED], hues.chroma[RED], hues.truth_chroma[RED]]).all()
        assert np.isfinite(hues.share).all()


def test_an_image_is_closer_than_grey_if_its_error_is_smaller():
    images = random_scores()
    first, _, grey = (summarise(resampled) for resampled in resample(images))
    closer = column(images, 0, "delta_e_2000") < column(images, 2, "delta_e_2000")
    assert 0 < closer.mean() < 1
    assert first.metrics.closer_than_grey == pytest.approx(closer.mean())
    assert first.low.closer_than_grey < first.metrics.closer_than_grey < first.high.closer_than_grey
    assert (grey.metrics.closer_than_grey, grey.high.closer_than_grey) == (0, 0)


def test_a_hue_that_few_images_have_has_an_interval_of_the_resamples_with_it():
    images = random_scores()
    absent = [
        replace(image, scores=tuple(replace(score, hues=without_green(score.hues)) for score in image.scores))
        for image in images
    ]
    one = [images[0], *absent[1:]]
    assert images[0].scores[0].hues.pixels[GREEN].any()
    summary = summarise(resample(one)[0])
    kept = images[0].scores[0].hues.pixels[GREEN, GREEN] / images[0].scores[0].hues.pixels[GREEN].sum()
    assert summary.low.green_kept == pytest.approx(kept) == pytest.approx(summary.high.green_kept)
    without = summarise(resample(absent)[0])
    assert (without.metrics.green_kept, without.low.green_kept, without.high.green_kept) == (None, None, None)
    assert without.metrics.hue_kept is not None
    assert "green_kept" not in [item.metric for item in compare(*resample(absent)[:2]).differences]
    drawn = {item.metric: item for item in compare(*resample(one)[:2]).differences}["green_kept"]
    assert np.isfinite([drawn.low, drawn.high]).all()


def without_green(hues):
    pixels = hues.pixels.copy()
    pixels[GREEN] = 0
    return replace(hues, pixels=pixels)
