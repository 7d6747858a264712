"""Benchmark of training on this machine, compared with the limits of its device."""

from recolor.bench.profile import Options, bench_training
from recolor.bench.report import Profile, Report, report_json, report_text

__all__ = ["Options", "Profile", "Report", "bench_training", "report_json", "report_text"]
