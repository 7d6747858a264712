"""The stage `measure`: reads and decodes each image once and measures it. The detectors judge it later."""

from recolor.cleaning.measure.plan import (
    MEASURE_VERSION,
    MeasurePart,
    MeasurePlan,
    measure_part,
    measurements_part,
    measuring,
    merge_measurements,
    part_rows,
    plan_measure,
)

__all__ = [
    "MEASURE_VERSION",
    "MeasurePart",
    "MeasurePlan",
    "measure_part",
    "measurements_part",
    "measuring",
    "merge_measurements",
    "part_rows",
    "plan_measure",
]
