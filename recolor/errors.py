"""The errors of Recolor, named by their consequence.

    RecolorError
    ├── ConfigError         a setting is unknown or impossible; nothing was started
    ├── InputError          there is nothing to work on, or it cannot be read; nothing was started
    ├── MissingStageError   a stage's input has not been made yet; run the stage named
    ├── WorkspaceBusyError  another run holds the workspace; nothing was started
    ├── StorageError        an output could not be written; finished parts are kept, run again
    ├── DamagedError        a stored output is not what its record says; it will be rebuilt
    ├── SchemaError         a table is not what its schema says; it was not written, or not read
    ├── FingerprintError    a value has no stable bytes and so cannot be part of a key
    ├── WeightsError        the weights that were asked for cannot be had; no others were taken
    ├── TrainingError       training cannot go on; the last good checkpoint is kept
    ├── ProcessDiedError    a worker process ended in the middle of its work; the call may be tried again
    ├── OutOfMemoryError    a part does not fit into memory; the others are done
    └── ImageError          one image cannot be decoded; the run goes on without it

Each message says what was wrong, where, and what to do.
"""

from typing import Any, Literal, get_args

DecodeReason = Literal[
    "empty",
    "not_an_image",
    "truncated",
    "bad_entropy_data",
    "no_end_marker",
    "too_many_pixels",
    "unsupported",
    "unreadable",
    "decoder_crashed",
    "too_slow",
]
DECODE_REASONS: tuple[DecodeReason, ...] = get_args(DecodeReason)


class RecolorError(Exception):
    """Anything that Recolor raises on purpose."""


class ConfigError(RecolorError):
    """A setting is unknown or impossible; nothing was started."""


class InputError(RecolorError):
    """There is nothing to work on, or it cannot be read; nothing was started."""


class MissingStageError(RecolorError):
    """A stage's input has not been made yet; the message names the stage to run."""


class WorkspaceBusyError(RecolorError):
    """Another run holds the workspace; nothing was started."""


class StorageError(RecolorError):
    """An output could not be written; finished parts are kept."""


class DamagedError(RecolorError):
    """A stored output is not what its record says."""


class SchemaError(RecolorError):
    """A table does not match its schema."""


class FingerprintError(RecolorError):
    """A value has no stable bytes."""


class WeightsError(RecolorError):
    """The weights that were asked for cannot be had."""


class TrainingError(RecolorError):
    """Training cannot go on."""


class ProcessDiedError(RecolorError):
    """A worker process ended in the middle of its work.

    Attributes:
        killed: It was killed from outside, by the system for want of memory or by a person, and did not crash.
        timed_out: It ended itself, as its work took longer than was allowed.
    """

    def __init__(self, *, killed: bool = False, timed_out: bool = False) -> None:
        how = "was killed" if killed else "took too long" if timed_out else "died"
        super().__init__(f"a worker process {how} in the middle of its work")
        self.killed = killed
        self.timed_out = timed_out


class OutOfMemoryError(RecolorError):
    """A part does not fit into memory."""


class ImageError(RecolorError):
    """One image cannot be decoded.

    Attributes:
        reason: One of `DECODE_REASONS`.
        detail: What the decoder said, on one line.
    """

    def __init__(self, reason: DecodeReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: DecodeReason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:
        """So that it can come from another process: its words are not what it is made of."""
        return type(self), (self.reason, self.detail), self.__dict__
