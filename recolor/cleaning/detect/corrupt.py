"""The detector of corrupt images.

These cannot be decoded, or were saved again after an incomplete decode.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recolor.cleaning.detect.detector import Detector
from recolor.cleaning.detect.outlier_table import THRESHOLD, column, outlier_table, score_below
from recolor.color.arrays import Floats
from recolor.config.settings import CorruptConfig
from recolor.errors import LIMITS
from recolor.manifests.schemas import CORRUPT

COLUMNS = ("path", "reason", "detail", "notes", "grey_tail")  # of the measurements
_MEANINGS: Mapping[str, str] = {
    "empty": "the file is empty",
    "not_an_image": "the file is not an image",
    "truncated": "a part of the file is missing",
    "bad_entropy_data": "the picture data are damaged",
    "no_end_marker": "the end of the file is missing",
    "unsupported": "this kind of image cannot be read",
    "unreadable": "the file cannot be opened",
    "decoder_crashed": "the decoder crashed on the file",
    **dict.fromkeys(LIMITS, "the image is beyond a limit, and the file is not in order"),
    "untidy": "no pixel is lost, but the file is not in order",
    "grey_tail": "flat mid-grey from an edge inwards, saved after a decode that broke off",
}


def score_corrupt(measurements: pa.Table, config: CorruptConfig) -> Floats:
    """Scores 0 what could not be decoded, and the others by the grey at an edge: 0.5 at `max_grey_tail`.

    Returns:
        float64 [rows].
    """
    reason, notes = measurements["reason"], measurements["notes"]
    beyond_limit = pc.is_in(reason, value_set=pa.array(list(LIMITS), pa.string()))
    refused = pc.and_not(pc.is_valid(reason), beyond_limit).to_numpy()
    untidy = notes.is_valid().to_numpy() & config.reject_untidy
    grey = score_below(column(measurements, "grey_tail"), config.max_grey_tail)
    return np.where(refused | untidy, 0.0, np.where(beyond_limit.to_numpy(), 1.0, grey))


def detect_corrupt(measurements: pa.Table, config: CorruptConfig) -> pa.Table:
    """Lists the images with a decode reason, which no other detector judges, and those that end in flat mid-grey.

    Args:
        measurements: A table of `schemas.MEASUREMENTS`.
        config: How much grey is allowed, and whether files must be in order.

    Returns:
        A table of `schemas.CORRUPT`.
    """
    score = score_corrupt(measurements, config)
    rows = np.flatnonzero(score < THRESHOLD)
    taken = measurements.take(pa.array(rows, pa.int64()))
    untidy = taken["notes"] if config.reject_untidy else pa.nulls(len(taken), pa.string())
    kinds = pc.coalesce(taken["reason"], pc.if_else(pc.is_valid(untidy), "untidy", "grey_tail"))
    details = [
        detail or notes or f"{share:.0%} of the picture"
        for detail, notes, share in zip(taken["detail"].to_pylist(), untidy.to_pylist(), taken["grey_tail"].to_pylist())
    ]
    return outlier_table(
        CORRUPT,
        measurements,
        rows=rows,
        score=score[rows],
        threshold=THRESHOLD,
        reasons=[f"{_MEANINGS[kind]} ({kind}: {detail})" for kind, detail in zip(kinds.to_pylist(), details)],
        numbers={"decode_reason": kinds.combine_chunks() if isinstance(kinds, pa.ChunkedArray) else kinds},
    )


CORRUPT_DETECTOR = Detector(
    schema=CORRUPT,
    settings=lambda config: config.corrupt,
    columns=lambda _: COLUMNS,
    detect=detect_corrupt,
    score=score_corrupt,
)
