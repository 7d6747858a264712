"""A report for a terminal, and as JSON."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict

from recolor.bench.hot import HotOperation
from recolor.bench.limits import Limits
from recolor.bench.report import Profile, Report

_COLUMNS: tuple[tuple[str, Callable[[Profile], str]], ...] = (
    ("model", lambda p: p.model),
    ("mode", lambda p: p.mode),
    ("batch", lambda p: f"{p.batch_images}"),
    ("images/s", lambda p: f"{p.images_per_s:,.1f}"),
    ("ms/step", lambda p: f"{p.step_s * 1e3:,.1f}"),
    ("data", lambda p: f"{p.data_share:.1%}"),
    ("waiting", lambda p: f"{p.waiting_share:.1%}"),
    ("TFLOP/s", lambda p: f"{p.flop_per_s / 1e12:.3f}"),
    ("of matrix rate", lambda p: f"{p.matrix_share:.1%}"),
    ("GB/s", lambda p: f"{p.bytes_per_s / 1e9:,.1f}"),
    ("of copy rate", lambda p: f"{p.copy_share:.0%}"),
    ("peak GB", lambda p: "-" if p.peak_memory_bytes is None else f"{p.peak_memory_bytes / 1e9:.2f}"),
)
_LEFT = 2  # columns of words


def report_text(report: Report) -> str:
    """The limits, a row a training, what an image costs, and what the time goes to if that was asked for."""
    parts = [
        [*map(_limits_line, report.limits), f"data: {report.data}; torch {report.torch}"],
        _table([[title for title, _ in _COLUMNS], *([of(p) for _, of in _COLUMNS] for p in report.profiles)]),
        [*dict.fromkeys(line for profile in report.profiles for line in _notes(profile))],
        *(_hot_lines(profile) for profile in report.profiles if profile.hot),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts)


def report_json(report: Report) -> bytes:
    """All of the report's fields, under their names."""
    return json.dumps(asdict(report), indent=1, allow_nan=False).encode() + b"\n"


def _limits_line(limits: Limits) -> str:
    threads = f", {limits.threads} thread{'s' * (limits.threads > 1)}" if limits.threads else ""
    return (
        f"{limits.device}{threads}: {limits.matrix_flop_per_s / 1e12:.3f} TFLOP/s {limits.dtype} matrix rate"
        f" ({limits.float32_flop_per_s / 1e12:.3f} float32), {limits.convolution_flop_per_s / 1e12:.3f} TFLOP/s"
        f" 3x3 convolution of 64 channels, {limits.copy_bytes_per_s / 1e9:,.1f} GB/s copied"
    )


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_aligned(row, widths)).rstrip() for row in rows]


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        f"{cell:<{width}}" if place < _LEFT else f"{cell:>{width}}"
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def _notes(profile: Profile) -> list[str]:
    other = profile.flop_per_image - profile.own_flop_per_image
    predicted = f", {other / 1e9:.2f} of them the generator's predictions" if other > 0 else ""
    lines = [
        f"{profile.model}, an image of {profile.crop_px} px: {profile.flop_per_image / 1e9:.2f} GFLOP{predicted};"
        f" {profile.bytes_per_image / 1e6:,.0f} MB of unfused memory traffic"
    ]
    if profile.batch_images != profile.configured_images:
        lines.append(
            f"{profile.model}: batches of {profile.batch_images}, not {profile.configured_images} as configured;"
            " --batch sets them"
        )
    return lines


def _hot_lines(profile: Profile) -> list[str]:
    rows = [["ms/step", "share", "calls", f"{profile.model}, {profile.mode}: most time by itself"]]
    rows += [_hot_row(operation) for operation in profile.hot]
    return [f"{time:>9} {share:>6} {calls:>6}  {name}" for time, share, calls, name in rows]


def _hot_row(operation: HotOperation) -> list[str]:
    return [f"{operation.self_s * 1e3:.2f}", f"{operation.share:.1%}", f"{operation.calls:.0f}", operation.name[:80]]
