"""The exceptions that Recolor raises.

    RecolorError
    ├── ConfigError         a setting is unknown or not allowed; nothing was started
    ├── InputError          an input is missing or cannot be read; nothing was started
    ├── MissingStageError   an earlier stage has not run; the message names it
    ├── WorkspaceBusyError  another process is running in the workspace; nothing was started
    ├── StorageError        an output could not be written; finished parts are kept, run again
    ├── DamagedError        a stored file does not match its record; run the stage again to rebuild it
    ├── SchemaError         a table does not match its schema; it was not written, or not read
    ├── FingerprintError    a value cannot be hashed reproducibly, so it cannot be part of a cache key
    ├── WeightsError        the weights asked for are not available; no other weights were used
    ├── TrainingError       training cannot continue; the last good checkpoint is kept
    ├── ProcessDiedError    a worker process ended during a call; the call can be repeated
    ├── OutOfMemoryError    there is not enough memory for a part; the other parts are done
    └── ImageError          an image cannot be decoded; the run continues without it

Each message says what was wrong, where, and what to do.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, get_args

DecodeReason = Literal[
    "empty",
    "not_an_image",
    "truncated",
    "bad_entropy_data",
    "no_end_marker",
    "too_many_pixels",
    "too_many_bytes",
    "unsupported",
    "unreadable",
    "decoder_crashed",
    "too_slow",
]
# Pixels are lost; a tolerant decoder may still show some.
DAMAGE: tuple[DecodeReason, ...] = ("truncated", "bad_entropy_data", "no_end_marker")
LIMITS: Mapping[str, str] = MappingProxyType(
    {
        "too_many_pixels": "measure.max_pixels",
        "too_many_bytes": "measure.max_file_bytes",
        "too_slow": "measure.max_decode_s",
    }
)  # the setting behind each reason that is a limit
DECODE_REASONS: tuple[DecodeReason, ...] = get_args(DecodeReason)


class RecolorError(Exception):
    """Base class of all exceptions that Recolor raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Makes every exception picklable, so that worker processes can raise it.

        By default, an exception is rebuilt by calling its class with the message, which fails for other parameters.
        """
        return _rebuilt, (type(self), self.args), self.__dict__

    def with_message(self, message: str) -> "RecolorError":
        """Returns an error of the same class and attributes with another message."""
        error = _rebuilt(type(self), (message,))
        error.__dict__.update(self.__dict__)
        return error


class ConfigError(RecolorError):
    """A setting is unknown or not allowed; nothing was started."""


class InputError(RecolorError):
    """An input is missing or cannot be read; nothing was started."""


class MissingStageError(RecolorError):
    """An earlier stage has not run; the message names it."""


class WorkspaceBusyError(RecolorError):
    """Another process is running in the workspace; nothing was started."""


class StorageError(RecolorError):
    """An output could not be written; finished parts are kept."""


class DamagedError(RecolorError):
    """A stored file does not match its record."""


class SchemaError(RecolorError):
    """A table does not match its schema."""


class FingerprintError(RecolorError):
    """A value cannot be hashed reproducibly, so it cannot be part of a cache key."""


class WeightsError(RecolorError):
    """The weights asked for are not available."""


class TrainingError(RecolorError):
    """Training cannot continue; the last good checkpoint is kept."""


class ProcessDiedError(RecolorError):
    """A worker process ended during a call.

    Attributes:
        killed: It was killed by SIGKILL: by the system because memory ran out, or by a person.
        timed_out: It exceeded its time limit.
    """

    def __init__(self, *, killed: bool = False, timed_out: bool = False) -> None:
        how = "was killed" if killed else "took too long" if timed_out else "died"
        super().__init__(f"a worker process {how} in the middle of its work")
        self.killed = killed
        self.timed_out = timed_out


class OutOfMemoryError(RecolorError):
    """There is not enough memory for a part of a stage."""


class ImageError(RecolorError):
    """An image cannot be decoded.

    Attributes:
        reason: One of `DECODE_REASONS`.
        detail: What the decoder said, on one line.
    """

    def __init__(self, reason: DecodeReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: DecodeReason = reason
        self.detail = detail


def _rebuilt(error: type[RecolorError], arguments: tuple[object, ...]) -> RecolorError:
    """Returns an exception without its attributes, which are restored from its `__dict__`."""
    return error.__new__(error, *arguments)
