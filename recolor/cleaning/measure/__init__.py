"""The stage `measure`: one read and one decode per image, every number on it, no verdicts."""

from recolor.cleaning.measure.plan import (
    MEASURE_VERSION,
    MeasurePart,
    MeasurePlan,
    measure_part,
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
    "measuring",
    "merge_measurements",
    "part_rows",
    "plan_measure",
]
