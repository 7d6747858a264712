"""What a process of a training that cannot go on leaves for its parent, and what the parent makes of it."""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from recolor import errors
from recolor.errors import RecolorError, TrainingError
from recolor.pipeline.torchrun import ENDED_FILE


@dataclass(frozen=True, slots=True)
class LastWords:
    """What a process says of the error that it ends with.

    Attributes:
        rank: Which process.
        time_s: When, in seconds since the epoch: others fail a moment later because this one has.
        error: Name of the error's class.
        expected: Whether it is a `RecolorError`, which says all there is to say.
        message: What it says.
        trace: Where it was raised.
    """

    rank: int
    time_s: float
    error: str
    expected: bool
    message: str
    trace: str


@contextmanager
def last_words(folder: Path, rank: int) -> Iterator[None]:
    """Whatever error the block meets is left in the folder, and the process ends at once: the others wait for it."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent raises it
        expected, trace = isinstance(error, RecolorError), traceback.format_exc()
        words = LastWords(rank, time.time(), type(error).__name__, expected, str(error).strip(), trace)
        (folder / f"words-{rank}.json").write_text(json.dumps(asdict(words)))
        sys.stderr.flush()
        os._exit(1)


def failure(name: str, folder: Path, last_good: Path | None) -> RecolorError:
    """What the parent raises when one of its processes has failed.

    Args:
        name: Of what was trained.
        folder: Where the processes left their words, and torchrun how they ended.
        last_good: The newest checkpoint.

    Returns:
        What a process raised itself, if that was expected, the first of several; else a `TrainingError` that says
        which process ended how, with its trace, if it left one, as a note.
    """
    words = [LastWords(**json.loads(path.read_text())) for path in folder.glob("words-*.json")]
    words.sort(key=lambda of_one: (not of_one.expected, of_one.time_s))
    if words and words[0].expected:
        kind: type[RecolorError] = getattr(errors, words[0].error)
        return kind(words[0].message)
    error = TrainingError(
        f"{name}: {_unexpected(words, folder)}. All processes were ended. Last good checkpoint:"
        f" {last_good or 'none yet'}. Run again to go on from there."
    )
    for of_one in words[:1]:
        error.add_note(of_one.trace)
    return error


def _unexpected(words: list[LastWords], folder: Path) -> str:
    """A process that ended without a word comes first: the others' words are of what that did to them."""
    ended_file = folder / ENDED_FILE
    codes: dict[str, int] = json.loads(ended_file.read_text()) if ended_file.exists() else {}
    spoken = {str(of_one.rank) for of_one in words}
    silent = {rank: code for rank, code in codes.items() if rank not in spoken}
    by_itself = {rank: code for rank, code in silent.items() if code != -signal.SIGTERM}  # torchrun's, to the others
    if silent:
        return ", ".join(f"process {rank} {_how(code)}" for rank, code in (by_itself or silent).items())
    if words:
        return f"process {words[0].rank} raised {words[0].error}: {words[0].message}"
    return "torchrun ended without saying why"


def _how(code: int) -> str:
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL), by the system if its memory was full"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
