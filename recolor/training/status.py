"""How far a training is: a small file beside its model, that any process may read while it trains."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

STATUS_FILE = "progress.json"


@dataclass(frozen=True, slots=True)
class TrainingStatus:
    """How far a training is.

    Attributes:
        step: Steps done.
        steps: Steps in all.
        images_per_s: Images a second since the status before this one.
        loss: The last loss that was read from the device, if one was yet.
    """

    step: int
    steps: int
    images_per_s: float
    loss: float | None


def write_status(folder: Path, status: TrainingStatus) -> None:
    """Replaces a model's status: a reader meets the old one or the new. Not flushed: no result hangs on it."""
    temporary = folder / f".{STATUS_FILE}.{os.getpid()}.tmp"
    temporary.write_text(json.dumps(asdict(status)))
    temporary.replace(folder / STATUS_FILE)


def read_status(folder: Path) -> TrainingStatus | None:
    """The status of the training of a model; None if none is under way."""
    try:
        return TrainingStatus(**json.loads((folder / STATUS_FILE).read_text()))
    except FileNotFoundError:
        return None


def drop_status(folder: Path) -> None:
    """Takes the status away: the training has ended, or a new one begins where another was killed."""
    (folder / STATUS_FILE).unlink(missing_ok=True)
