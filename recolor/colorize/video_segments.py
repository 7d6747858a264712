"""The segments of a video that is being coloured: finished parts beside the target, which a later run goes on with."""

import hashlib
import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np

from recolor.colorize.colorizer import Colorizer
from recolor.colorize.smoothing import Colours, Flicker
from recolor.errors import WorkspaceBusyError
from recolor.pipeline.cache import fingerprint
from recolor.pipeline.storage import replace_atomically, storage_errors, unfinished_folder, write_atomically
from recolor.pipeline.workspace import process_lock
from recolor.version import __version__

_KEY = "key"
_LOCK = "lock"


@dataclass(slots=True)
class ResumeState:
    """What colouring goes on from.

    Attributes:
        frames: Number of frames written.
        predicted: Last frame's colour as predicted; None before the first frame.
        smooth: Last frame's colour after smoothing; None before the first frame.
        deinterlaced: Whether a frame consisted of two fields.
        before: Flicker of the predicted colour.
        after: Flicker of the smoothed colour.
    """

    frames: int = 0
    predicted: Colours | None = None
    smooth: Colours | None = None
    deinterlaced: bool = False
    before: Flicker = field(default_factory=Flicker)
    after: Flicker = field(default_factory=Flicker)


@dataclass(frozen=True, slots=True)
class Segments:
    """The folder of one target's segments, locked by this process."""

    folder: Path

    @property
    def finished(self) -> list[Path]:
        """Finished segments in order."""
        return sorted(self.folder.glob("[0-9]*.mp4"))

    @property
    def unfinished(self) -> Path:
        """Path at which the next segment is written."""
        return self.folder / "unfinished.mp4"

    def add(self, state: ResumeState) -> None:
        """Makes the unfinished segment the next finished one, and stores what the segment after it goes on from."""
        number = len(self.finished)
        with storage_errors(self.folder):
            write_atomically(self._state(number), _to_bytes(state))
            replace_atomically(self.unfinished, self.folder / f"{number:06d}.mp4")

    def resume_state(self) -> ResumeState:
        """Returns what the next segment goes on from."""
        finished = self.finished
        return _from_bytes(self._state(len(finished) - 1).read_bytes()) if finished else ResumeState()

    def _state(self, number: int) -> Path:
        return self.folder / f"{number:06d}.npz"


@contextmanager
def segments_beside(target: Path, key: str) -> Iterator[Segments]:
    """Locks the segments of a target, and deletes those of another source or of other settings.

    The folder is deleted at the end, unless an error leaves finished segments for a later run.

    Raises:
        WorkspaceBusyError: Another process writes this target.
        StorageError: The folder cannot be written to.
    """
    from filelock import Timeout  # noqa: PLC0415 - slow to import for commands that lock nothing

    folder = unfinished_folder(target)
    with storage_errors(target):
        folder.mkdir(parents=True, exist_ok=True)
        lock = process_lock(folder / _LOCK)
    try:
        with storage_errors(target):
            lock.acquire()
    except Timeout as error:
        raise WorkspaceBusyError(f"{target}: another run is writing this video. Wait for it to end.") from error
    segments = Segments(folder)
    try:
        with storage_errors(target):
            _keep_only(folder, key)
        yield segments
    except BaseException:
        if not segments.finished:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    else:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        lock.release()


def segments_key(source: Path, colorizer: Colorizer, *settings: object) -> str:
    """Returns the fingerprint of all that segments depend on: source, by size and time, models, settings, versions."""
    facts = source.stat()
    models = (colorizer.generator, colorizer.refiner)
    weights = hashlib.sha256()
    for model in models:
        for name, values in model.model.state_dict().items():
            weights.update(name.encode() + values.cpu().numpy().tobytes())
    details = [dict(model.details) for model in models]
    versions = [__version__, av.__version__]
    return fingerprint([versions, facts.st_size, facts.st_mtime_ns, weights.hexdigest(), details, *settings])


def _keep_only(folder: Path, key: str) -> None:
    """Deletes what was written with another key."""
    there = folder / _KEY
    if not there.is_file() or there.read_text() != key:
        for path in folder.iterdir():
            if not path.name.startswith(_LOCK):
                path.unlink()
        write_atomically(there, key.encode())


def _to_bytes(state: ResumeState) -> bytes:
    assert state.predicted is not None
    assert state.smooth is not None
    flicker = [(measured.total, measured.pixels) for measured in (state.before, state.after)]
    buffer = io.BytesIO()
    np.savez(
        buffer,
        L=state.predicted.L,
        predicted=state.predicted.ab,
        smooth=state.smooth.ab,
        flicker=np.array(flicker),
        frames=np.array(state.frames),
        deinterlaced=np.array(state.deinterlaced),
    )
    return buffer.getvalue()


def _from_bytes(data: bytes) -> ResumeState:
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        L = stored["L"]
        before, after = (Flicker(float(total), int(pixels)) for total, pixels in stored["flicker"])
        predicted, smooth = Colours(L, stored["predicted"]), Colours(L, stored["smooth"])
        deinterlaced = bool(stored["deinterlaced"])
        return ResumeState(int(stored["frames"]), predicted, smooth, deinterlaced, before, after)
