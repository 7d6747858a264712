"""The planted files of the cleaning benchmark: photographs of several sources, each with some defects of every issue.

The photographs are halved by their names: thresholds and weights are fitted on the half `fit`, and figures are those of
the half `score`. Which defects a photograph gets follows from its name, so that no file is made a second time.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from needs import require_folder
from PIL import Image
from planting import PLANTS
from tqdm import tqdm

import recolor
from recolor.config.settings import Config
from recolor.demo.copies import jpeg
from recolor.manifests.io import read_table
from recolor.manifests.schemas import MEASUREMENTS
from recolor.pipeline.workspace import locked, open_workspace
from recolor.stages import run_each

HERE = Path(__file__).parent
SOURCES = ("photos_1024", "photos_256", "photos_full")
SKIMAGE = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")  # its colour photographs
# How many kinds of an issue a photograph gets.
EACH = {"corrupt": 3, "duplicate": 12, "monochrome": 3, "skewed": 8, "blurry": 9, "exposure": 2, "clean": 3}
MANY_PIXELS = 2_000_000  # photographs with more get a quarter of the kinds


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph that defects are planted into."""

    source: str
    file: Path

    @property
    def name(self) -> str:
        """By which it is of a half, and by which its planted files are drawn together."""
        return self.file.stem


@dataclass(frozen=True, slots=True)
class Planted:
    """One file: of which photograph and source, with what planted."""

    path: str
    photograph: str
    source: str
    issue: str
    kind: str


def half_of(photograph: str) -> str:
    """Which half a photograph is of, by its name alone."""
    return ("score", "fit")[hashlib.sha256(photograph.encode()).digest()[0] % 2]


def photographs_of(data: Path, half: str, most: int) -> list[Photograph]:
    """At most so many photographs of each source, without those known to be bad and those that are there twice."""
    judged = pd.concat([pd.read_csv(HERE / "bad.csv"), pd.read_csv(HERE / "scenes.csv").query("kind == 'unclear'")])
    bad = {Path(file).stem for file in judged["file"]}  # by name, as some are there in two sizes
    chosen: dict[str, Photograph] = {}
    for source in ("photos_full", "skimage", "photos_1024", "photos_256"):
        files = _skimage_files() if source == "skimage" else photograph_files(data / source / "files")
        files = [file for file in files if half_of(file.stem) == half and file.stem not in bad]
        for file in sorted(files, key=lambda file: _draw(file.stem))[:most]:
            chosen.setdefault(file.stem, Photograph(source, file))
    return sorted(chosen.values(), key=lambda photograph: photograph.name)


def photograph_files(folder: Path) -> list[Path]:
    """The JPEG files of a folder, sorted.

    Raises:
        SystemExit: There are none.
    """
    files = sorted(path for path in require_folder(folder, "photographs").rglob("*.jpg") if not path.is_symlink())
    if not files:
        raise SystemExit(f"{folder}: there are no .jpg files.")
    return files


def _skimage_files() -> list[Path]:
    import skimage.data  # noqa: PLC0415 - only here, and slow

    return [Path(skimage.data.__file__).parent / name for name in SKIMAGE]


def _draw(words: str) -> bytes:
    return hashlib.sha256(words.encode()).digest()


def plant(photographs: Sequence[Photograph], out: Path) -> list[Planted]:
    """Writes what is planted into every photograph, those not there yet; all if what plants has changed."""
    package = Path(recolor.__file__).parent
    sources = [HERE / "planting.py", *(package / "demo" / f"{name}.py" for name in ("copies", "damage", "defects"))]
    _remove_if_changed(out, out.parent / "planted-by", _fingerprint(sources))
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        some = pool.map(lambda photograph: list(_plant_one(photograph, out)), photographs)
        return [file for files in tqdm(some, total=len(photographs), desc="plant") for file in files]


def _plant_one(photograph: Photograph, out: Path) -> Iterator[Planted]:
    data = photograph.file.read_bytes()
    with Image.open(BytesIO(data)) as image:
        is_jpeg, rgb = image.format == "JPEG", np.asarray(image.convert("RGB"))
    data = data if is_jpeg else jpeg(rgb, 95)
    for issue, kinds in PLANTS.items():
        for kind in _kinds_of(photograph, issue, rgb.shape[0] * rgb.shape[1]):
            suffix = ".png" if kind.startswith("png") else ".jpg"
            path = f"{issue}/{kind}/{photograph.source}/{photograph.name}{suffix}"
            if not (out / path).exists():
                (out / path).parent.mkdir(parents=True, exist_ok=True)
                rng = np.random.default_rng(int.from_bytes(_draw(f"{issue}/{kind}/{photograph.name}")[:8], "big"))
                (out / path).write_bytes(kinds[kind](data, rgb, rng))
            yield Planted(path, photograph.name, photograph.source, issue, kind)


def _kinds_of(photograph: Photograph, issue: str, pixels: int) -> list[str]:
    """Some kinds of an issue, drawn by the photograph's name; of the clean ones, always the original."""
    kinds = sorted(PLANTS[issue], key=lambda kind: (kind != "original", _draw(f"{kind} {photograph.name}")))
    count = EACH[issue]
    return kinds[: max(1, count // 4) if pixels > MANY_PIXELS else count]


def remove_others(planted: Iterable[Planted], out: Path) -> None:
    """Removes files of earlier runs, with other kinds or photographs."""
    wanted = {out / file.path for file in planted}
    for file in [file for file in out.rglob("*") if file.is_file() and file not in wanted]:
        file.unlink()


def measure(workspace_folder: Path, images: Path) -> pa.Table:
    """Indexes and measures a folder as `recolor clean` does; again only if files or the code of measuring changed."""
    cv2.setNumThreads(1)
    package = Path(recolor.__file__).parent
    folders = (package / "cleaning" / "measure", package / "images", package / "color", package / "manifests")
    sources = sorted(file for folder in folders for file in folder.rglob("*.py"))
    _remove_if_changed(workspace_folder, workspace_folder.with_suffix(".measured-by"), _fingerprint(sources))
    workspace = open_workspace(workspace_folder)
    with locked(workspace):
        list(run_each(("index", "measure"), workspace, images, Config()))
    return read_table(MEASUREMENTS, workspace.manifest("measurements"))


def _fingerprint(sources: Iterable[Path]) -> str:
    """Of code, as a version may be raised later than the code is changed."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()


def _remove_if_changed(folder: Path, stamp: Path, fingerprint: str) -> None:
    """Removes what other code has made."""
    if folder.exists() and (not stamp.exists() or stamp.read_text() != fingerprint):
        shutil.rmtree(folder)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(fingerprint)


def rows_of(table: pa.Table, paths: Iterable[str]) -> pa.Table:
    """The rows of these files."""
    return table.filter(pc.is_in(table["path"], pa.array(list(paths), pa.string())))
