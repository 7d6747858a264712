"""How fast a training runs on this machine, beside what the machine does at most."""

from recolor.bench.profile import Options, bench_training
from recolor.bench.report import Profile, Report
from recolor.bench.text import report_json, report_text

__all__ = ["Options", "Profile", "Report", "bench_training", "report_json", "report_text"]
