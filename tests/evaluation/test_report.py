import re
from dataclasses import replace

import numpy as np
import pytest
from evaluation.hue_examples import hue_summary

from recolor.evaluation.comparison import Comparison, Difference
from recolor.evaluation.loss_curve import loss_curve
from recolor.evaluation.methods import Method
from recolor.evaluation.pictures import Picture
from recolor.evaluation.report import (
    Count,
    ModelFacts,
    OutlierCounts,
    PictureGroup,
    Report,
    metric_rows,
    render_report,
    verdict,
    worst_median_best,
)
from recolor.evaluation.split import spaced_rows
from recolor.evaluation.summary import SetMetrics, Summary

METRICS = SetMetrics(
    psnr_db=23.456,
    ssim=0.9123,
    delta_e_2000=8.76,
    ab_mse=0.00207,
    ab_rmse=11.6,
    ab_psnr_db=27.9,
    ab_psnr_db_set=26.8,
    ab_distance=13.0,
    colourfulness=20.0,
    colourfulness_abs=18.0,
    truth_colourfulness=40.0,
    truth_colourfulness_abs=36.0,
    delta_cf_set=20.0,
    delta_cf_set_abs=18.0,
    delta_cf_image=20.5,
    closer_than_grey=0.625,
    hue_kept=0.5,
    green_kept=0.3456,
    orange_ratio=4.42,
)
METHODS = (
    Method("", "grey", "control"),
    Method("", "mean_ab", "control"),
    Method("m", "generator", "model"),
    Method("m", "refined", "model"),
    Method("", "oracle", "control"),
    Method("m", "oracle_refined", "control"),
)


def summary(method, **changes):
    metrics = replace(METRICS, **changes)
    low, high = replace(metrics, psnr_db=22.1), replace(metrics, psnr_db=24.9)
    return Summary(method, 1234, metrics, low, high, hue_summary(0.35))


def psnr(difference, low, high):
    return Difference(
        metric="psnr_db", first=20.0, second=20.0 + difference, difference=difference, low=low, high=high, better=""
    )


STEPS = np.arange(1.0, 101.0)
CURVE = loss_curve(STEPS, 1.0 / STEPS, STEPS[24::25], np.array([0.4, 0.2, 0.1, 0.15]))


@pytest.fixture
def report():
    tile = np.zeros((16, 16, 3), np.uint8)
    picture = Picture('<img src=x onerror="alert(1)">\n.jpg', 4.2, (tile, tile, tile, tile))
    return Report(
        measured_on="1,234 photographs of the <test> split",
        notes=("m has seen <nothing>.",),
        rows=metric_rows([summary(method) for method in METHODS], "the training photographs"),
        comparisons=(),
        headings=("Greyscale", "<Generator>", "Refined", "Photograph"),
        groups=(PictureGroup("Pictures", "All.", (picture,)),),
        models=(ModelFacts("Generator", CURVE, (("model.width", "<64>"),)),),
        splits=(Count("train", 900), Count("val", 0), Count("test", 1234)),
        outliers=OutlierCounts((Count("low_resolution", 12), Count("blurry", 3)), 14),
        against=(psnr(2.0, 1.1, 3.2), psnr(0.04, -0.3, 0.4)),
        provenance=(("Recolor", "0.2.0"), ("Data set", "photos <1>, shards 3f9a"), ("Key", "12ab")),
    )


def test_markup_in_names_is_shown_and_not_obeyed(report):
    html = render_report(report)
    assert "<img src=x" not in html
    assert "&lt;img src=x onerror=&#34;alert(1)&#34;&gt;\\n.jpg" in html
    assert "&lt;64&gt;" in html


def test_nothing_is_loaded_from_anywhere(report):
    html = render_report(report)
    assert re.findall(r'(?:src|href)="(?!data:image/)', html) == []
    assert "url(" not in html
    assert "@import" not in html
    assert "default-src 'none'" in html
    assert "http:" not in html
    assert "https:" not in html


def test_numbers_are_shown_beside_their_controls(report):
    html = render_report(report)
    assert [table.count('<th scope="row">') for table in html.split("<table")[1:3]] == [len(METHODS) + 1] * 2
    for shown in ("23.46", "0.912", "8.76", "11.60", "2.07", "27.90", "20.0", "40.0", "1,234", "low resolution"):
        assert shown in html
    table = html.split("<table>")[1].split("</table>")[0]
    assert table.count("22.10") == table.count("24.90") == len(METHODS)
    assert "LPIPS" not in table
    assert "14 images were rejected" in html


def test_without_cleaning_no_outliers_are_shown(report):
    assert "Outliers" not in render_report(replace(report, outliers=OutlierCounts((), 0)))


def test_what_was_measured_on_and_what_is_known_of_it_is_said(report):
    html = render_report(report)
    assert "1,234 photographs of the &lt;test&gt; split" in html
    assert "m has seen &lt;nothing&gt;." in html
    assert "&lt;Generator&gt;" in html


def test_without_shards_there_is_no_data_to_show_and_without_a_curve_none(report):
    bare = replace(report, splits=(), outliers=OutlierCounts((), 0), models=(ModelFacts("Generator", None, ()),))
    html = render_report(bare)
    assert "Photographs in each split" not in html
    assert 'class="curve"' not in html


def test_metrics_that_were_measured_have_a_column(report):
    rows = [replace(row, summary=summary(row.summary.method, lpips=0.1234, kid=0.0056)) for row in report.rows]
    table = render_report(replace(report, rows=tuple(rows))).split("<table>")[1].split("</table>")[0]
    assert "0.123" in table
    assert "5.60" in table
    assert "FID" not in table


def test_a_comparison_names_the_better_model(report):
    difference = Difference(
        metric="delta_e_2000", first=9.0, second=8.0, difference=-1.0, low=-1.5, high=-0.4, better="<b>"
    )
    compared = Comparison(Method("a", "refined", "model"), Method("<b>", "refined", "model"), (difference,))
    html = render_report(replace(report, comparisons=(compared,)))
    for shown in ("-1.00", "-1.50", "-0.40", "&lt;b&gt;"):
        assert shown in html
    assert "<td><b>" not in html


def test_models_are_named_where_there_are_several_or_where_they_are_controls():
    methods = [
        Method("a", "refined", "model"),
        Method("b", "refined", "model"),
        Method("l1", "generator", "control"),
        Method("l1", "saturated", "control"),
    ]
    titles = [row.title for row in metric_rows([summary(method) for method in methods], "these photographs")]
    assert titles == ["a: generator and refiner", "b: generator and refiner", "l1", "l1: saturation × 1.5"]
    alone = metric_rows([summary(method) for method in METHODS], "these photographs")
    assert [row.title for row in alone][2:4] == ["Generator", "Generator and refiner"]
    assert "these photographs" in alone[1].explanation


def test_the_verdict_tells_worse_from_better_and_claims_no_difference_that_may_be_chance(report):
    assert verdict(report).startswith(
        "The model's PSNR is 2.0 dB (1.1 to 3.2) above that of grey images, and not distinguishable from that of the"
        " mean colour (-0.3 to +0.4 dB)."
    )
    worse = replace(report, against=(psnr(-4.5, -6.0, -3.0), psnr(1.0, 0.0, 2.0)))
    assert "4.5 dB (3.0 to 6.0) below that of grey images, and not distinguishable" in verdict(worse)
    assert "50% (50 to 50) of the photographs' colourfulness" in verdict(report)
    assert "62% (62 to 62) of them are closer to the photographs than images without colour." in verdict(report)


def test_the_report_ends_with_what_it_was_made_from(report):
    footer = render_report(report).split("<footer>")[1]
    for text in ("<dt>Recolor</dt><dd>0.2.0</dd>", "photos &lt;1&gt;, shards 3f9a", "<dt>Key</dt><dd>12ab</dd>"):
        assert text in footer


def test_the_loss_curve_is_drawn_in_the_page_itself(report):
    html = render_report(report)
    assert "validation; lowest 0.1 at step 75" in html
    assert "training, mean of 2 steps" in html
    assert "image/png" not in html


def test_worst_median_and_best_are_in_order():
    errors = [5.0, 1.0, 9.0, 3.0, 7.0, 2.0, 8.0]
    worst, median, best = worst_median_best(errors, 2)
    assert [errors[i] for i in worst] == [9.0, 8.0]
    assert [errors[i] for i in median] == [7.0, 5.0]
    assert [errors[i] for i in best] == [2.0, 1.0]
    assert worst_median_best(errors, 3)[1] == [4, 0, 3]


def test_few_images_are_worst_median_and_best_at_once():
    assert worst_median_best([2.0], 3) == ([0], [0], [0])
    assert worst_median_best([1.0, 2.0], 3) == ([1, 0], [1, 0], [1, 0])


def test_equal_errors_are_taken_by_position():
    assert worst_median_best([1.0] * 5, 1) == ([0], [2], [4])


@pytest.mark.parametrize(("rows", "count"), [(1, 1), (1, 12), (5, 12), (12, 5), (1000, 12), (7, 2)])
def test_spaced_rows_reach_from_the_first_to_the_last(rows, count):
    chosen = spaced_rows(rows, count)
    assert len(chosen) == len(set(chosen)) == min(rows, count)
    assert chosen[0] == 0
    assert min(rows, count) == 1 or chosen[-1] == rows - 1
    assert min(rows, count) < 3 or np.ptp(np.diff(chosen)) <= 1
