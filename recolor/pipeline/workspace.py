"""The workspace, the folder of one project, and its lock, which keeps two runs apart."""

import errno
import fcntl
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recolor.errors import ConfigError, InputError, StorageError, WorkspaceBusyError
from recolor.paths import expand_user, nearest_folder
from recolor.pipeline.storage import storage_errors, write_atomically

if TYPE_CHECKING:
    from filelock import BaseFileLock

INTERNAL_FOLDER = ".recolor"  # marks a folder as a workspace
OUTPUT_FOLDERS = ("data", "manifests")  # of a workspace; never searched for images
EXPORT_FOLDER = ".recolor-export"  # marks a folder that `recolor export clean` filled

# Temporary names of records and checkpoints while they are written (see `storage.temporary_path`).
_FOLDERS = (".recolor", "manifests", "manifests/parts", "data", "data/*", "data/models/*")
_TEMPORARY = (".recolor-*.tmp", ".recolor.toml.*.tmp", *(f"{folder}/.*.tmp" for folder in _FOLDERS))


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder with `manifests/` and `data/` in it.

    Attributes:
        root: The folder, absolute.
    """

    root: Path

    @property
    def manifests(self) -> Path:
        """Parquet manifests, one for each stage or issue."""
        return self.root / "manifests"

    @property
    def measured_parts(self) -> Path:
        """The parts that `measurements.parquet` is merged from."""
        return self.manifests / "parts"

    def issue_scores(self, issue: str) -> Path:
        """Returns the path of an issue's scores of all images, which `scores.parquet` is joined from."""
        return self.manifests / "scores" / f"{issue}_scores.parquet"

    @property
    def shards(self) -> Path:
        """Lab tensor shards and their index."""
        return self.root / "data" / "shards"

    @property
    def models(self) -> Path:
        """Trained models, one folder each."""
        return self.root / "data" / "models"

    @property
    def evaluation(self) -> Path:
        """Metrics, pictures and the report."""
        return self.root / "data" / "evaluation"

    @property
    def internal(self) -> Path:
        """The lock and the staging folders; of no interest to users."""
        return self.root / INTERNAL_FOLDER

    @property
    def staging(self) -> Path:
        """Folder in which outputs are built before they are renamed into place."""
        return self.internal / "staging"

    @property
    def own_folders(self) -> tuple[Path, ...]:
        """Folders of outputs. They are never searched for images and nothing is exported into them."""
        return self.manifests, self.shards, self.models, self.evaluation, self.internal

    @property
    def settings_file(self) -> Path:
        """Settings of this workspace, read when no other file is given."""
        return self.root / "recolor.toml"

    def manifest(self, name: str) -> Path:
        """Returns the path of a manifest: `manifest("clean")` is `manifests/clean.parquet`."""
        return self.manifests / f"{name}.parquet"


def local_path(text: str | Path, option: str) -> Path:
    """Returns the path of a folder, unless the text is a URL: no folder named `s3:` is made.

    `s3://bucket/photos` is a URL. `./s3:/photos`, and any path whose first folder exists, is a path. A `Path` no longer
    holds the difference between `//` and `/`, nor a leading `./`; it is a URL if its first part is a common scheme.

    Args:
        text: Path of the photographs or of the workspace.
        option: Name of the option or parameter, for the message.

    Raises:
        ConfigError: The text is the URL of an object store or a server.
    """
    match = (_URL if isinstance(text, str) else _URL_AS_PATH).match(str(text))
    if match is not None and not Path(f"{match['scheme']}:").is_dir():
        raise ConfigError(
            f"{option}: this is a URL ({match['scheme']}://), but a folder is needed. Recolor renames, locks and maps"
            " files, which object stores do not support. Give a folder on a disk or on a shared file system (NFS,"
            " Lustre, EFS), or copy the photographs to one. See docs/scale.md."
        )
    path = expand_user(text)
    # `Path` drops the `./` by which a path was told from a URL.
    return path.absolute() if _URL_AS_PATH.match(str(path)) else path


_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://")
_SCHEMES = (
    "s3a?|s3n|gs|gcs|az|abfss?|adl|wasbs?|oss|swift|hdfs|webhdfs|dbfs|hf|https?|s?ftp|ssh|scp|smb|nfs|file|memory"
)
_URL_AS_PATH = re.compile(rf"(?P<scheme>{_SCHEMES}):/", re.IGNORECASE)


def open_workspace(path: str | Path) -> Workspace:
    """Returns the workspace in a folder; makes the folder if it does not exist.

    Raises:
        ConfigError: The path is a URL.
        InputError: The path is a file.
        StorageError: The folder cannot be made or written to.
    """
    root = local_path(path, "--workspace").absolute()
    if root.exists() and not root.is_dir():
        raise InputError(f"{root}: the workspace must be a folder, but this is a file.")
    workspace = Workspace(root)
    try:
        workspace.staging.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{root}: the workspace cannot be created here ({error.strerror}).") from error
    return workspace


def existing_workspace(path: str | Path) -> Workspace:
    """Returns the workspace in an existing folder; writes nothing.

    Raises:
        ConfigError: The path is a URL.
        InputError: There is no such folder; the message names the nearest one.
    """
    root = local_path(path, "--workspace").absolute()
    if root.exists() and not root.is_dir():
        raise InputError(f"{root}: the workspace must be a folder, but this is a file.")
    if not root.is_dir():
        near = nearest_folder(root)
        hint = f" The nearest folder is {near}." if near else ""
        raise InputError(
            f"{root}: there is no such workspace.{hint} Correct --workspace, or make a new workspace from a folder of"
            f" photographs: `recolor index --images FOLDER --workspace {root}`."
        )
    return Workspace(root)


def remember_images(workspace: Workspace, images: Path) -> None:
    """Stores the path of the indexed folder, the default of later runs."""
    remembered = workspace.internal / "images"
    with storage_errors(remembered):
        write_atomically(remembered, os.fsencode(images.absolute()))


def remembered_images(workspace: Workspace) -> Path:
    """Returns the folder that was indexed last.

    Raises:
        InputError: No folder has been indexed in this workspace.
    """
    folder = indexed_images(workspace)
    if folder is None:
        raise InputError(
            f"{workspace.root}: no folder has been indexed here yet. Give the folder of photographs: --images FOLDER,"
            " or -p images=FOLDER for a deployment."
        )
    return folder


def indexed_images(workspace: Workspace) -> Path | None:
    """Returns the folder that was indexed last; None if there is none."""
    try:
        return Path(os.fsdecode((workspace.internal / "images").read_bytes()))
    except FileNotFoundError:
        return None


def image_folder(workspace: Workspace, images: Path | None) -> Path:
    """Returns the folder of photographs that was given, or else the one that was indexed last.

    Raises:
        InputError: None was given, and no folder has been indexed in this workspace.
    """
    return remembered_images(workspace) if images is None else expand_user(images)


@contextmanager
def locked(workspace: Workspace) -> Iterator[None]:
    """Locks the workspace for this process, and deletes what a killed run left unfinished.

    The operating system releases the lock when the process ends for any reason. The process may acquire the lock
    again while it holds it (a flow inside a flow).

    Raises:
        WorkspaceBusyError: Another process holds the lock; the message names it.
        StorageError: The workspace cannot be written to.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415 - slow to import for commands that lock nothing

    holder = workspace.internal / "holder"
    with storage_errors(workspace.internal):
        workspace.staging.mkdir(parents=True, exist_ok=True)
        lock = process_lock(workspace.internal / "lock")
    try:
        with storage_errors(workspace.internal):
            lock.acquire()
    except Timeout as error:
        left = "" if isinstance(lock, FileLock) else f" If that run was killed, delete {lock.lock_file}."
        raise WorkspaceBusyError(
            f"{workspace.root}: another run is using this workspace ({_read(holder)}). Wait for it to end, or give"
            f" another --workspace.{left}"
        ) from error
    try:
        if lock.lock_counter == 1:
            with storage_errors(holder):
                write_atomically(holder, os.fsencode(f"process {os.getpid()}: {' '.join(sys.argv)[:200]}"))
            sweep(workspace)
        yield
    finally:
        lock.release()


def process_lock(path: Path) -> "BaseFileLock":
    """Returns a lock that one process at a time can hold; acquiring it raises `Timeout` if another holds it.

    On a file system without locks, the lock is a file `NAME.soft` that exists while the lock is held. The file of a
    killed process is replaced by the next one on the same machine if the file system can exchange two names.

    Args:
        path: Path of the lock file, in an existing folder.

    Raises:
        OSError: No file can be created in the folder.
    """
    from filelock import FileLock, SoftFileLock  # noqa: PLC0415 - as in `locked`

    kind, name = (FileLock, path.name) if _has_locks(path.parent) else (SoftFileLock, f"{path.name}.soft")
    return kind(path.with_name(name), timeout=0, is_singleton=True, thread_local=False)


# NFS without its lock service, Lustre mounted without `flock`, some FUSE, 9p and SMB mounts.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


def _has_locks(folder: Path) -> bool:
    """Returns whether files in a folder can be locked, by locking a nameless file that nothing else can have locked."""
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return False
            raise
    return True


def sweep(workspace: Workspace) -> None:
    """Deletes staging folders and temporary files. The caller must hold the lock."""
    for folder in workspace.staging.glob("*"):
        shutil.rmtree(folder, ignore_errors=True)
    for pattern in _TEMPORARY:
        for path in workspace.root.glob(pattern):
            path.unlink(missing_ok=True)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="backslashreplace")
    except OSError:
        return "process unknown"
