"""One photograph: is it what was measured, may its place be written to, its link or its copy.

What can go wrong with one of them is returned as a sentence, and the others are done.
"""

import hashlib
import os
from pathlib import Path, PurePosixPath

from recolor.cleaning.export_kept import Kept
from recolor.cleaning.export_ledger import Mode, Written, is_inside, link_text

_BLOCK_BYTES = 1 << 20


def why_changed(image: Kept) -> str | None:
    """Why a photograph is not, or no longer, what was measured; None if it is."""
    try:
        status = image.source.stat()
    except OSError as error:
        return f"the photograph cannot be read any more ({error.strerror})"
    if (status.st_size, status.st_mtime_ns) != (image.size_bytes, image.mtime_ns):
        return "the photograph has changed since it was measured; run `recolor clean` again"
    return None


def is_free(out: Path, path: str) -> bool:
    """Whether a file can be put here: nothing is in its place, and no file or link out of it where its folders go."""
    folders = [out / folder for folder in PurePosixPath(path).parents]
    return not os.path.lexists(out / path) and all(
        is_inside(out, folder) if folder.is_dir() else not os.path.lexists(folder) for folder in folders
    )


def is_right(target: Path, image: Kept, mode: Mode) -> bool:
    """Whether what another wrote is just what an export would have written."""
    if mode == "link":
        return target.is_symlink() and link_text(target) == str(image.source)
    if target.is_symlink() or not target.is_file() or target.stat().st_size != image.size_bytes:
        return False
    with target.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == image.sha256


def make(image: Kept, mode: Mode, staged: Path) -> str | None:
    """Makes the link or the copy; says why not.

    A copy has the photograph's time and the bytes that were measured: their SHA-256 is compared.
    """
    if mode == "link":
        staged.symlink_to(image.source)
        return None
    why = _copy(image, staged)
    if why is None:
        os.utime(staged, ns=(image.mtime_ns, image.mtime_ns))
    return why


def _copy(image: Kept, staged: Path) -> str | None:
    digest = hashlib.sha256()
    try:
        source = image.source.open("rb")
    except OSError as error:
        return f"the photograph cannot be read any more ({error.strerror})"
    with source, staged.open("wb") as file:
        while block := source.read(_BLOCK_BYTES):
            digest.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != image.sha256:
        return "the photograph's bytes are not those that were measured; run `recolor clean` again"
    return None


def publish(staged: Path, target: Path) -> str | None:
    """Puts a finished file in its place, where there is none; says why not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(target):
        return "another image has this name on this disk, which does not tell capitals from small letters"
    staged.replace(target)
    return None


def as_written(image: Kept, mode: Mode, target: Path | None = None) -> Written:
    """The ledger's entry of what is about to be written; with `target`, of what was."""
    mtime_ns = image.mtime_ns if target is None else target.lstat().st_mtime_ns
    return Written(mode, str(image.source), image.size_bytes, image.mtime_ns, mtime_ns)


def is_of(written: Written, image: Kept, mode: Mode) -> bool:
    """Whether an entry is of this image as it was measured; a link leads to it whatever its bytes."""
    if (written.mode, written.source) != (mode, str(image.source)):
        return False
    return mode == "link" or (written.size_bytes, written.source_mtime_ns) == (image.size_bytes, image.mtime_ns)
