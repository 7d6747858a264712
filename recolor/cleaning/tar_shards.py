"""Exports the kept images as WebDataset shards: tar files that `webdataset.WebDataset` streams.

A sample has a number as its key, the bytes of the photograph under its lower-case suffix, and `json`: path, SHA-256,
size, group and split. The samples of a split are in the order of their SHA-256, so that they are shuffled once and for
all. The same images give the same bytes.

The folder holds a ledger, `.recolor-export/shards.json`, of the shards that earlier exports wrote. Only these are
replaced or removed, and only while they are as they were written.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from recolor.cleaning.export import ExportResult, KeptImage, Problem, check_place, photograph_bytes, read_kept
from recolor.config.settings import SPLITS
from recolor.errors import InputError
from recolor.manifests.io import read_table
from recolor.manifests.schemas import CLEAN
from recolor.paths import expand_user
from recolor.pipeline.cache import fingerprint
from recolor.pipeline.progress import track
from recolor.pipeline.storage import replace_atomically, storage_errors, write_atomically
from recolor.pipeline.workspace import EXPORT_FOLDER, Workspace

VERSION = 1
SHARD_BYTES = 256 << 20  # of photographs, from which a shard takes no further one
_UNKNOWN = ""  # the key of a shard that is being written, or that lacks an image


@dataclass(frozen=True, slots=True)
class _Shard:
    """A shard to write: its samples, by their number in the split."""

    name: str
    samples: dict[int, "_Sample"]

    @property
    def key(self) -> str:
        """Fingerprint of what the shard holds."""
        return fingerprint([VERSION, *([number, dict(sample.facts)] for number, sample in self.samples.items())])


@dataclass(frozen=True, slots=True)
class _Sample:
    """A kept image, and what its `json` says."""

    image: KeptImage
    facts: Mapping[str, str | int]

    @property
    def suffix(self) -> str:
        """Suffix of the photograph in lower case, without its dot: the name under which its bytes are stored."""
        return PurePosixPath(str(self.facts["path"])).suffix[1:].lower()


@dataclass(frozen=True, slots=True)
class _Written:
    """A ledger entry: a shard that an export wrote; `key` is empty until it is complete."""

    key: str
    size_bytes: int
    mtime_ns: int


def export_tar_shards(workspace: Workspace, images: Path, out: Path) -> ExportResult:
    """Fills a folder with tar shards of the kept images, such as `train-000000.tar`, and returns their names.

    Each shard is written atomically. Shards that are up to date are not written again. Shards that an earlier export
    wrote are removed when they are no longer needed, provided that they are as they were written.

    Args:
        workspace: Workspace with `manifests/clean.parquet`.
        images: The folder that was indexed.
        out: The folder to fill; created if it does not exist.

    Raises:
        InputError: `out` is a file, lies inside or around the folders of the photographs, is used by the workspace for
            its own files, or its ledger cannot be read. Nothing was written.
        MissingStageError: `clean.parquet` does not exist, or was made from other measurements.
        ModuleNotFoundError: The package `webdataset` is not installed.
        StorageError: The disk is full or not writable. Shards that were finished remain.
    """
    images, out = (expand_user(path).absolute() for path in (images, out))
    kept = read_kept(workspace, images, by_split=False)
    check_place(workspace, images, out, kept.values())
    ledger, result = _read_ledger(out), ExportResult()
    shards = list(_plan(workspace, kept))
    with storage_errors(out):
        staging = out / EXPORT_FOLDER / "staging"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        _remove_stale(out, ledger, {shard.name for shard in shards}, result)
        missing = _missing(out, ledger, shards, result)
        for shard in track(missing, "export", len(missing), "shards"):
            ledger[shard.name] = _Written(_UNKNOWN, 0, 0)  # a run after a kill recognises the shard as its own
            _write_ledger(out, ledger)
            problems = _write(shard, staging / shard.name)
            replace_atomically(staging / shard.name, out / shard.name)
            status = (out / shard.name).stat()
            ledger[shard.name] = _Written(_UNKNOWN if problems else shard.key, status.st_size, status.st_mtime_ns)
            result.problems += problems
            result.written.append(shard.name)
        _write_ledger(out, ledger)
        staging.rmdir()
    return result


def _plan(workspace: Workspace, kept: Mapping[str, KeptImage]) -> Iterator[_Shard]:
    """Yields the shards of each split."""
    rows = read_table(CLEAN, workspace.manifest("clean")).sort_by([("sha256", "ascending"), ("path", "ascending")])
    samples = [_Sample(kept[row["path"]], row) for row in rows.to_pylist()]
    for split in SPLITS:
        groups: list[dict[int, _Sample]] = []
        size_bytes = SHARD_BYTES
        for number, sample in enumerate(sample for sample in samples if sample.facts["split"] == split):
            if size_bytes >= SHARD_BYTES:
                groups.append({})
                size_bytes = 0
            groups[-1][number] = sample
            size_bytes += sample.image.size_bytes
        yield from (_Shard(f"{split}-{at:06}.tar", some) for at, some in enumerate(groups))


def _remove_stale(out: Path, ledger: dict[str, _Written], planned: Iterable[str], result: ExportResult) -> None:
    for name in sorted(set(ledger).difference(planned)):
        written, file = ledger.pop(name), out / name
        if file.exists():
            unchanged = _is_as_written(file, written)
            (result.removed if unchanged else result.left).append(name)
            if unchanged:
                file.unlink()


def _missing(out: Path, ledger: Mapping[str, _Written], shards: Iterable[_Shard], result: ExportResult) -> list[_Shard]:
    """Returns the shards to write: missing ones, and those with other samples."""
    missing = []
    for shard in shards:
        file, written = out / shard.name, ledger.get(shard.name)
        own = written is not None and _is_as_written(file, written)
        if own and written is not None and written.key == shard.key:
            result.current.append(shard.name)
        elif own or not file.exists():
            missing.append(shard)
        else:
            result.problems.append(Problem(shard.name, "another file is in its place; move that file away"))
    return missing


def _is_as_written(file: Path, written: _Written) -> bool:
    """Whether a shard is unchanged; one whose writing was interrupted may be in any state."""
    if not file.is_file() or file.is_symlink():
        return False
    status = file.stat()
    return (written.size_bytes, written.mtime_ns) in ((0, 0), (status.st_size, status.st_mtime_ns))


def _write(shard: _Shard, file: Path) -> list[Problem]:
    """Writes a shard; returns the images that it lacks."""
    from webdataset import TarWriter

    problems = []
    with file.open("wb") as stream, TarWriter(stream, encoder=False, mtime=0, user="", group="") as tar:
        for number, sample in shard.samples.items():
            data = photograph_bytes(sample.image)
            if isinstance(data, bytes):
                facts = json.dumps(sample.facts).encode()
                tar.write({"__key__": f"{number:09}", sample.suffix: data, "json": facts})
            else:
                problems.append(Problem(str(sample.facts["path"]), data))
    return problems


def _read_ledger(out: Path) -> dict[str, _Written]:
    file = out / EXPORT_FOLDER / "shards.json"
    try:
        data = json.loads(file.read_text(encoding="ascii"))
        return {name: _Written(**entry) for name, entry in data.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{file}: the list of exported shards cannot be read ({error}). Give another folder."
        ) from error


def _write_ledger(out: Path, ledger: Mapping[str, _Written]) -> None:
    data = {name: asdict(entry) for name, entry in ledger.items()}
    write_atomically(out / EXPORT_FOLDER / "shards.json", json.dumps(data).encode("ascii"))
