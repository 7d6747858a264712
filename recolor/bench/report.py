"""What a measurement of trainings has found."""

from dataclasses import dataclass
from typing import Literal

from recolor.bench.hot import HotOperation
from recolor.bench.limits import Limits

ModelName = Literal["generator", "refiner"]
Mode = Literal["eager", "compiled"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """One training in one mode.

    Attributes:
        model: What is trained.
        mode: How it is run.
        batch_images: Images a step.
        configured_images: Images a step by the settings.
        crop_px: Side of the square that the model is fed.
        step_s: Seconds a step, from end to end, feeding included.
        images_per_s: Images a second.
        data_share: Share of the step's time between the end of one step's work and the next batch: waiting for data
            and converting them (crop, mirror, exposure, L and ab) on the device.
        waiting_share: What is left of it without the conversion, which is measured by itself: the device waits.
        flop_per_image: Of a step (`Work.flop`), counted in eager mode; a refiner's step includes the generator's
            predictions.
        own_flop_per_image: Of the trained model alone.
        flop_per_s: Of the step.
        matrix_share: Of the device's matrix rate.
        bytes_per_image: Unfused memory traffic of a step (`Traffic`), counted in eager mode.
        bytes_per_s: What that comes to; compiled or cached steps move less, so it may be above the bandwidth.
        copy_share: Of the device's copy bandwidth.
        peak_memory_bytes: The most that was allocated on a CUDA device at once, resident shards included; None on a
            CPU, where torch does not count.
        hot: The operations that take the most time, if asked for.
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
    """What a device does at most, and what trainings do of it.

    Attributes:
        torch: Its version.
        data: What was read, in words.
        limits: By the type that the trainings multiply in.
        profiles: One a model and mode.
    """

    torch: str
    data: str
    limits: tuple[Limits, ...]
    profiles: tuple[Profile, ...]
