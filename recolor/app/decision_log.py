"""Changes of `manifests/decisions.csv`, each written at once, and undone in the reverse order."""

import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from recolor.cleaning.decisions import stored_decisions, write_decisions
from recolor.errors import WorkspaceBusyError
from recolor.pipeline.storage import storage_errors
from recolor.pipeline.workspace import Workspace, process_lock

_MAX_UNDO = 1000
_WAIT_S = 5.0
_TRY_AGAIN_S = 0.05
_in_this_process = threading.Lock()  # threads of a process share the lock of the file


@dataclass(frozen=True, slots=True)
class Change:
    """A change of decisions: whether each path was kept before, and is now; None is undecided."""

    before: Mapping[str, bool | None]
    after: bool | None


class DecisionLog:
    """The decisions of a workspace, and the changes since this server was started.

    `decisions.csv` is read again for each change, so that lines that a person or another program adds are kept.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._changes: list[Change] = []

    @property
    def undoable(self) -> int:
        """Number of changes that can be undone."""
        return len(self._changes)

    def decide(self, paths: Collection[str], keep: bool | None) -> Mapping[str, bool | None]:
        """Decides about images, as one change.

        Args:
            paths: Their paths in the image folder.
            keep: True keeps them, False rejects them, None takes the decision back.

        Returns:
            The decisions about these images.

        Raises:
            ConfigError: `decisions.csv` is malformed; the message names the line. Nothing was changed.
            StorageError: It cannot be written.
            WorkspaceBusyError: Another server is writing it, for seconds.
        """
        with _in_this_process, _only_writer(self._workspace):
            decisions = self._read()
            before = {path: decisions.get(path) for path in paths}
            self._write(decisions, dict.fromkeys(paths, keep))
            self._changes = [*self._changes[-_MAX_UNDO + 1 :], Change(before, keep)]
        return dict.fromkeys(paths, keep)

    def undo(self) -> Mapping[str, bool | None]:
        """Undoes the last change; returns the decisions about its images. Raises the errors of `decide`.

        An image that was decided about otherwise in the meantime, in the file for example, is left alone.
        """
        with _in_this_process, _only_writer(self._workspace):
            if not self._changes:
                return {}
            change, decisions = self._changes[-1], self._read()
            undone = {path: keep for path, keep in change.before.items() if decisions.get(path) == change.after}
            self._write(decisions, undone)
            self._changes.pop()
        return undone

    def _read(self) -> dict[str, bool]:
        return {path: decision.keep for path, decision in stored_decisions(self._workspace).items()}

    def _write(self, decisions: dict[str, bool], changed: Mapping[str, bool | None]) -> None:
        for path, keep in changed.items():
            decisions.pop(path, None)  # the line of a new decision is the last one
            if keep is not None:
                decisions[path] = keep
        write_decisions(self._workspace, decisions)


@contextmanager
def _only_writer(workspace: Workspace) -> Iterator[None]:
    """Waits until no other server writes the decisions of the workspace.

    Raises:
        WorkspaceBusyError: Another one does so for seconds.
        StorageError: The workspace cannot be written to.
    """
    from filelock import Timeout  # noqa: PLC0415 - as in `locked`

    with storage_errors(workspace.internal):
        workspace.internal.mkdir(parents=True, exist_ok=True)
        lock = process_lock(workspace.internal / "decisions.lock")
    until = time.monotonic() + _WAIT_S
    while True:
        try:
            with storage_errors(workspace.internal):
                lock.acquire()
            break
        except Timeout as error:
            if time.monotonic() > until:
                raise WorkspaceBusyError(
                    f"{workspace.root}: another program is writing decisions.csv. Try again."
                ) from error
            time.sleep(_TRY_AGAIN_S)
    try:
        yield
    finally:
        lock.release()
