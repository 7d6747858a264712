from dataclasses import fields, replace

from evaluation.hue_examples import hue_summary

from recolor.evaluation.comparison import Comparison, Difference
from recolor.evaluation.methods import Method
from recolor.evaluation.report import COLUMNS
from recolor.evaluation.summary import METRICS, SetMetrics, Summary
from recolor.evaluation.text import comparison_text, hues_text, metrics_text


def summary(method, value):
    def metrics(of):
        return SetMetrics(
            **{item.name: None if item.name in {"lpips", "fid", "kid"} else of for item in fields(SetMetrics)}
        )

    return Summary(method, 7, metrics(value), metrics(value - 1), metrics(value + 3), hue_summary(0.35))


def test_every_column_is_a_metric_of_sets():
    assert {column.metric for column in COLUMNS} <= set(METRICS)


def test_the_table_has_a_line_for_each_method_with_half_its_interval_and_the_photographs():
    summaries = [summary(Method("", "grey", "control"), 20.0), summary(Method("mine", "refined", "model"), 24.5)]
    lines = metrics_text(summaries).splitlines()
    assert lines[0].split()[:4] == ["PSNR", "↑", "SSIM", "↑"]
    assert lines[2].startswith("grey *")
    assert lines[3].startswith("mine: refined ")
    assert "24.50 ±2.00" in lines[3]
    assert "24500.00 ±2000.00" in lines[3]
    assert lines[4].split() == ["photographs", "-", "-", "-", "-", "-", "20.0", "-", "-"]
    assert "±: half of the 95% interval" in lines[5]
    assert "FID" not in lines[0]
    assert len({len(line) for line in lines[2:5]}) == 1


def test_hues_are_in_a_table_of_at_most_80_columns():
    methods = [Method("", "grey", "control"), Method("pretrained", "generator", "model")]
    lines = hues_text(
        [summary(method, 0.5) for method in [*methods, Method("models", "oracle_refined", "control")]]
    ).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["closer", "↑", "green", "↑", "green", "blue", "orange", "red", "neutral"]
    assert lines[3].split()[2:] == ["50", "±200", "50", "±200", "13.0", "30.0", "17.0", "0.0", "40.0"]
    assert lines[5].split() == ["photographs", "-", "-", "20.0", "30.0", "10.0", "0.0", "40.0"]


def test_hues_that_no_photograph_has_leave_their_column_out():
    one = summary(Method("m", "refined", "model"), 0.5)
    without = replace(one, metrics=replace(one.metrics, green_kept=None))
    lines = hues_text([without]).splitlines()
    assert lines[0].split()[:3] == ["closer", "↑", "green"]
    assert lines[2].split()[2:5] == ["50", "±200", "13.0"]


def test_a_comparison_says_who_is_better():
    worse = Difference(metric="psnr_db", first=24.0, second=23.0, difference=-1.0, low=-1.6, high=-0.2, better="a")
    open_ = Difference(metric="delta_cf_set", first=3.0, second=2.0, difference=-1.0, low=-2.0, high=0.5, better="")
    methods = Method("a", "refined", "model"), Method("b", "refined", "model")
    lines = comparison_text(Comparison(*methods, (worse, open_))).splitlines()
    assert lines[0].split() == ["a", "b", "difference", "95%", "interval", "better"]
    assert lines[1].split() == ["PSNR", "↑", "dB", "24.00", "23.00", "-1.00", "-1.60", "..", "-0.20", "a"]
    assert lines[2].split() == ["ΔCF", "↓", "set", "3.0", "2.0", "-1.0", "-2.0", "..", "+0.5", "-"]
