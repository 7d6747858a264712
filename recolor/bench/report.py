"""The report of a benchmark: its data, as text for the terminal, and as JSON."""

import json
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Literal

from recolor.bench.hot import HotOperation
from recolor.bench.limits import Limits

ModelName = Literal["generator", "refiner"]
Mode = Literal["eager", "compiled"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """Measurements of one training in one mode.

    Attributes:
        model: Name of the model.
        mode: Eager or compiled.
        batch_images: Images per step.
        configured_images: Images per step in the settings.
        crop_px: Side of the input squares.
        step_s: Seconds per step, including data loading.
        images_per_s: Images per second.
        data_share: Share of the step's time between the end of the previous step and the next batch: waiting for data
            and converting them (crop, mirror, exposure, L and ab) on the device.
        waiting_share: The same without the conversion, which is measured separately: the device is idle.
        flop_per_image: Floating-point operations of a step (`Work.flop`) per image, counted in eager mode. A step of
            the refiner includes the generator's predictions.
        own_flop_per_image: Floating-point operations of the trained model alone, per image.
        flop_per_s: Floating-point operations per second.
        matrix_share: `flop_per_s` as a share of the device's matrix rate.
        bytes_per_image: Unfused memory traffic of a step (`Traffic`) per image, counted in eager mode.
        bytes_per_s: Unfused memory traffic per second. Compiled or cached steps move less, so it may exceed the
            bandwidth.
        copy_share: `bytes_per_s` as a share of the device's copy bandwidth.
        peak_memory_bytes: Peak of the memory allocated on a CUDA device, including resident shards; None on a CPU,
            where torch does not record it.
        hot: The operations that take the most time, if requested.
    """

    model: ModelName
    mode: Mode
    batch_images: int
    configured_images: int
    crop_px: int
    step_s: float
    images_per_s: float
    data_share: float
    waiting_share: float
    flop_per_image: float
    own_flop_per_image: float
    flop_per_s: float
    matrix_share: float
    bytes_per_image: float
    bytes_per_s: float
    copy_share: float
    peak_memory_bytes: int | None
    hot: tuple[HotOperation, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Limits of a device, and the measured trainings.

    Attributes:
        torch: Version of torch.
        data: Description of the training data.
        limits: Limits of the device for each dtype of the trainings.
        profiles: Measurements of each model and mode.
    """

    torch: str
    data: str
    limits: tuple[Limits, ...]
    profiles: tuple[Profile, ...]


_Columns = tuple[tuple[str, Callable[[Profile], str]], ...]
_TRAINING: _Columns = (("model", lambda p: p.model), ("mode", lambda p: p.mode))
_SPEED: _Columns = (
    *_TRAINING,
    ("batch", lambda p: f"{p.batch_images}"),
    ("images/s", lambda p: f"{p.images_per_s:,.1f}"),
    ("ms/step", lambda p: f"{p.step_s * 1e3:,.1f}"),
    ("data", lambda p: f"{p.data_share:.1%}"),
    ("waiting", lambda p: f"{p.waiting_share:.1%}"),
    ("peak GB", lambda p: "-" if p.peak_memory_bytes is None else f"{p.peak_memory_bytes / 1e9:.2f}"),
)
_RATES: _Columns = (
    *_TRAINING,
    ("TFLOP/s", lambda p: f"{p.flop_per_s / 1e12:.3f}"),
    ("of matrix rate", lambda p: f"{p.matrix_share:.1%}"),
    ("GB/s", lambda p: f"{p.bytes_per_s / 1e9:,.1f}"),
    ("of copy rate", lambda p: f"{p.copy_share:.0%}"),
)
_WIDTH_CHARS = 80


def report_text(report: Report) -> str:
    """Returns the report as text: limits, a row per training, costs, and slowest operations."""
    parts = [
        [*chain(*map(_limits_lines, report.limits)), *_wrapped(f"data: {report.data}; torch {report.torch}")],
        _table(_SPEED, report.profiles),
        _table(_RATES, report.profiles),
        [*dict.fromkeys(line for profile in report.profiles for line in _notes(profile))],
        *(_hot_lines(profile) for profile in report.profiles if profile.hot),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts)


def report_json(report: Report) -> bytes:
    """Returns all fields of the report as JSON."""
    return json.dumps(asdict(report), indent=1, allow_nan=False).encode() + b"\n"


def _limits_lines(limits: Limits) -> list[str]:
    threads = f", {limits.threads} thread{'s' * (limits.threads > 1)}" if limits.threads else ""
    return _wrapped(
        f"{limits.device}{threads}: {limits.matrix_flop_per_s / 1e12:.3f} TFLOP/s {limits.dtype} matrix rate"
        f" ({limits.float32_flop_per_s / 1e12:.3f} float32), {limits.convolution_flop_per_s / 1e12:.3f} TFLOP/s"
        f" 3x3 convolution of 64 channels, {limits.copy_bytes_per_s / 1e9:,.1f} GB/s copied"
    )


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH_CHARS, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _table(columns: _Columns, profiles: Sequence[Profile]) -> list[str]:
    rows = [[title for title, _ in columns], *([of(profile) for _, of in columns] for profile in profiles)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_aligned(row, widths)).rstrip() for row in rows]


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        f"{cell:<{width}}" if place < len(_TRAINING) else f"{cell:>{width}}"
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def _notes(profile: Profile) -> list[str]:
    other = profile.flop_per_image - profile.own_flop_per_image
    predicted = f", {other / 1e9:.2f} of them the generator's predictions" if other > 0 else ""
    lines = _wrapped(
        f"{profile.model}, an image of {profile.crop_px} px: {profile.flop_per_image / 1e9:.2f} GFLOP{predicted};"
        f" {profile.bytes_per_image / 1e6:,.0f} MB of unfused memory traffic"
    )
    if profile.batch_images != profile.configured_images:
        lines += _wrapped(
            f"{profile.model}: batches of {profile.batch_images}, not {profile.configured_images} as configured;"
            " --batch sets them"
        )
    return lines


def _hot_lines(profile: Profile) -> list[str]:
    rows = [["ms/step", "share", "calls", f"{profile.model}, {profile.mode}: most time by itself"]]
    rows += [_hot_row(operation) for operation in profile.hot]
    return [f"{time:>9} {share:>6} {calls:>6}  {name}" for time, share, calls, name in rows]


def _hot_row(operation: HotOperation) -> list[str]:
    return [
        f"{operation.self_s * 1e3:.2f}",
        f"{operation.share:.1%}",
        f"{operation.calls:.0f}",
        operation.name[: _WIDTH_CHARS - 25],
    ]
