import math
from dataclasses import fields, replace

import numpy as np
import pytest

from recolor.evaluation.bootstrap import resample_counts
from recolor.evaluation.comparison import compare, direction
from recolor.evaluation.distributions import fid, kid, kid_terms
from recolor.evaluation.measure import ImageScores, Score
from recolor.evaluation.methods import Method
from recolor.evaluation.metrics import ImageMetrics, colourfulness, image_metrics
from recolor.evaluation.summary import FID_RESAMPLES, METRICS, resample, summarise

FIRST, SECOND = Method("a", "refined", "model"), Method("b", "generator", "model")


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


def random_scores(images=40, *, features=None, lpips=None):
    random = np.random.default_rng(0)
    made = []
    for number in range(images):
        truth = float(random.uniform(20, 60))
        seen = None if features is None else random.normal(size=(3, features)).astype(np.float32)
        scores = (
            Score(FIRST, random_metrics(random, truth, lpips=lpips), None if seen is None else seen[0]),
            Score(SECOND, random_metrics(random, truth, 0.3, lpips=lpips), None if seen is None else 2 * seen[1]),
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
    (resampled,) = resample([ImageScores("x", (Score(FIRST, metrics, None),), None) for metrics in pair])
    assert resampled.images == 2
    assert resampled.metrics.delta_cf_set == pytest.approx(0.0, abs=1e-9)
    assert resampled.metrics.delta_cf_set_abs == pytest.approx(0.0, abs=1e-9)
    assert resampled.metrics.delta_cf_image == pytest.approx(colourfulness(vivid))


def test_errors_of_all_pixels_together_are_of_the_mean_square():
    truth = np.full((12, 12, 3), 128, np.uint8)
    zero = np.zeros((12, 12, 2), np.float32)
    images = [image_metrics(truth, truth, zero + error, zero) for error in (np.float32(3), np.float32(9))]
    (resampled,) = resample([ImageScores("x", (Score(FIRST, metrics, None),), None) for metrics in images])
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
    differences = {item.metric: item for item in compare(*resample(images)).differences}
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
    first, second = resample(images)
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
    compared = [item.metric for item in compare(*resample(images)).differences]
    assert compared == [metric for metric in METRICS if metric not in {"lpips", "fid", "kid"}]


def test_distances_of_sets_are_those_of_their_features_and_so_are_their_intervals():
    images = random_scores(24, features=40, lpips=0.5)
    first, second = resample(images)
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
    images = [ImageScores("x", (Score(FIRST, image_metrics(rgb, rgb, ab, ab, 0.0), np.ones(4)),), np.ones(4))] * 3
    summary = summarise(resample(images)[0])
    assert summary.metrics.ab_psnr_db_set == summary.metrics.psnr_db == 100.0
    for name in METRICS:
        assert np.isfinite(getattr(summary.metrics, name))
    assert (summary.metrics.lpips, summary.metrics.fid, summary.metrics.kid) == (0, 0, 0)
