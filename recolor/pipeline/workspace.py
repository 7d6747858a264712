"""Where everything of one project lives, and the lock that keeps two runs out of each other's way."""

import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from recolor.errors import ConfigError, InputError, StorageError, WorkspaceBusyError
from recolor.pipeline.storage import storage_errors, write_atomically

# Records and checkpoints are written under such names first (see `storage.write_atomically`).
_FOLDERS = (".recolor", "manifests", "manifests/parts", "data", "data/*", "data/models/*")
_TEMPORARY = (".recolor.toml.*.tmp", *(f"{folder}/.*.tmp" for folder in _FOLDERS))


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder with `manifests/` and `data/` in it.

    Attributes:
        root: The folder, absolute.
    """

    root: Path

    @property
    def manifests(self) -> Path:
        """Parquet manifests, one a stage or issue."""
        return self.root / "manifests"

    @property
    def measured_parts(self) -> Path:
        """The parts that `measurements.parquet` is put together from."""
        return self.manifests / "parts"

    @property
    def shards(self) -> Path:
        """Lab tensor shards and their index."""
        return self.root / "data" / "shards"

    @property
    def models(self) -> Path:
        """One folder a trained model."""
        return self.root / "data" / "models"

    @property
    def evaluation(self) -> Path:
        """Metrics, pictures and the report."""
        return self.root / "data" / "evaluation"

    @property
    def internal(self) -> Path:
        """The lock and the staging folders; nothing that anyone needs to look at."""
        return self.root / ".recolor"

    @property
    def staging(self) -> Path:
        """Where outputs are built before they are renamed into place."""
        return self.internal / "staging"

    @property
    def own_folders(self) -> tuple[Path, ...]:
        """Where outputs go: never searched for images, should the workspace lie among them."""
        return self.manifests, self.shards, self.models, self.evaluation, self.internal

    @property
    def settings_file(self) -> Path:
        """Settings of this workspace, read when no other file is given."""
        return self.root / "recolor.toml"

    def manifest(self, name: str) -> Path:
        """The path of a manifest: `manifest("clean")` is `manifests/clean.parquet`."""
        return self.manifests / f"{name}.parquet"


def refuse_url(path: Path, option: str) -> None:
    """Makes sure that a path is one of this machine's file system, before a folder `s3:` is made.

    Args:
        path: Of the photographs or of the workspace.
        option: What gave it.

    Raises:
        ConfigError: It is the URL of an object store or a server.
    """
    if match := _URL.match(str(path)):
        raise ConfigError(
            f"{option}: a folder is needed here, and this is a URL ({match['scheme']}://). Recolor renames, locks and"
            " maps files, which object stores cannot do: give a folder of a disk or of a shared file system (NFS,"
            " Lustre, EFS), or copy the photographs to one. See docs/scale.md."
        )


# `Path` makes one slash of two; a single letter is a drive of Windows.
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/")


def open_workspace(path: Path) -> Workspace:
    """Makes the folder if it is not there.

    Raises:
        ConfigError: The path is a URL.
        InputError: The path is a file.
        StorageError: The folder cannot be made or written to.
    """
    refuse_url(path, "--workspace")
    root = path.expanduser().absolute()
    if root.exists() and not root.is_dir():
        raise InputError(f"{root}: the workspace must be a folder, and this is a file.")
    workspace = Workspace(root)
    try:
        workspace.staging.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{root}: the workspace cannot be made here ({error.strerror}).") from error
    return workspace


def remember_images(workspace: Workspace, images: Path) -> None:
    """Notes which folder was indexed, so that later stages need not be told."""
    remembered = workspace.internal / "images"
    with storage_errors(remembered):
        write_atomically(remembered, os.fsencode(images.absolute()))


def remembered_images(workspace: Workspace) -> Path:
    """The folder that was indexed last.

    Raises:
        InputError: None was.
    """
    try:
        return Path(os.fsdecode((workspace.internal / "images").read_bytes()))
    except FileNotFoundError as error:
        raise InputError(
            f"{workspace.root}: no folder was indexed here yet. Say which: --images FOLDER, or to a deployment"
            " -p images=FOLDER."
        ) from error


@contextmanager
def locked(workspace: Workspace) -> Iterator[None]:
    """Holds the workspace for this process, and sweeps what a killed run left half-built.

    The operating system drops the lock when the process ends, however it ends. The same process may take it again
    (a flow inside a flow).

    Raises:
        WorkspaceBusyError: Another process holds it; says which.
    """
    lock = FileLock(workspace.internal / "lock", timeout=0, is_singleton=True, thread_local=False)
    holder = workspace.internal / "holder"
    try:
        with storage_errors(workspace.internal):
            lock.acquire()
    except Timeout as error:
        raise WorkspaceBusyError(
            f"{workspace.root}: another run holds this workspace ({_read(holder)}). Wait for it to end, or give"
            f" another --workspace."
        ) from error
    try:
        if lock.lock_counter == 1:
            with storage_errors(holder):
                write_atomically(holder, os.fsencode(f"process {os.getpid()}: {' '.join(sys.argv)[:200]}"))
            sweep(workspace)
        yield
    finally:
        lock.release()


def sweep(workspace: Workspace) -> None:
    """Deletes staging folders and temporary files; only the holder of the lock may."""
    for folder in workspace.staging.glob("*"):
        shutil.rmtree(folder, ignore_errors=True)
    for pattern in _TEMPORARY:
        for path in workspace.root.glob(pattern):
            path.unlink(missing_ok=True)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="backslashreplace")
    except OSError:
        return "it has not said its name yet"
