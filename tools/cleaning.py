"""How well cleaning finds planted defects, kind by kind: `python tools/cleaning.py --images FOLDER`.

Every photograph of a folder is damaged in every way that `planting.py` knows, always in the same way, and all of it is
indexed and measured as `recolor` does it. The detectors then judge small sets as they occur: the clean pictures of one
half of the photographs (and the hard ones made of them), and among them one planted defect for every fourth of them.
The photographs are halved by their names: thresholds and weights are fitted on the half `fit`, and the table is of the
half `score`.
"""

import argparse
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image
from planting import PLANTS
from scipy.stats import rankdata
from tqdm import tqdm

from recolor.cleaning.detect import DETECTORS
from recolor.cleaning.thresholds.survey import SCORERS
from recolor.config.settings import Config
from recolor.manifests.io import read_table
from recolor.manifests.schemas import MEASUREMENTS
from recolor.pipeline.workspace import locked, open_workspace
from recolor.stages import run_each

EVERY = 4  # one photograph of so many has a defect in a set


@dataclass(frozen=True, slots=True)
class Planted:
    """One file: of which photograph, with what planted."""

    path: str
    photograph: str
    issue: str
    kind: str


def main() -> None:
    """Plants, measures, judges; prints the table and writes it as Parquet."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--images", type=Path, default=Path("../shared/data/photos_1024/files"))
    words.add_argument("--out", type=Path, default=Path("data/benchmarks/cleaning"))
    words.add_argument("--photographs", type=int, default=160, help="at most so many, evenly spaced")
    words.add_argument("--half", choices=("score", "fit"), default="score")
    given = words.parse_args()
    planted = plant(given.images, given.out / "images", given.photographs)
    table = measure(given.out)
    results = score([file for file in planted if half_of(file.photograph) == given.half], table)
    target = given.out / f"{given.half}.parquet"
    results.to_parquet(target)
    with pd.option_context("display.width", 200, "display.max_rows", 200):
        print(results.round(3).to_string(index=False, na_rep=""))
        print(target)


def half_of(photograph: str) -> str:
    """Which half a photograph is of, by its name alone."""
    return ("score", "fit")[hashlib.sha256(photograph.encode()).digest()[0] % 2]


def plant(images: Path, out: Path, most: int) -> list[Planted]:
    """Writes every kind of every photograph, those that are not there yet."""
    files = sorted(path for path in images.rglob("*.jpg") if not path.is_symlink())
    if not files:
        raise SystemExit(f"{images}: there are no .jpg files")
    files = [files[at] for at in np.linspace(0, len(files) - 1, min(most, len(files))).round().astype(int)]
    with ThreadPoolExecutor() as pool:
        return [
            file
            for some in tqdm(pool.map(lambda path: _plant_one(path, out), files), total=len(files), desc="plant")
            for file in some
        ]


def _plant_one(path: Path, out: Path) -> list[Planted]:
    data = path.read_bytes()
    with Image.open(BytesIO(data)) as image:
        rgb = np.asarray(image.convert("RGB"))
    planted = []
    for issue, kinds in PLANTS.items():
        for kind, change in kinds.items():
            name = f"{issue}/{kind}/{path.stem}{'.png' if kind.startswith('png') else '.jpg'}"
            if not (out / name).exists():
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
                (out / name).write_bytes(change(data, rgb, np.random.default_rng(seed)))
            planted.append(Planted(name, path.stem, issue, kind))
    return planted


def measure(out: Path) -> pa.Table:
    """Indexes and measures all of it, as `recolor clean` does."""
    cv2.setNumThreads(1)
    workspace = open_workspace(out / "workspace")
    stages = ("index", "measure")
    with locked(workspace):
        list(run_each(stages, workspace, out / "images", Config()))
    return read_table(MEASUREMENTS, workspace.manifest("measurements"))


def score(planted: list[Planted], table: pa.Table) -> pd.DataFrame:
    """One row a kind: how many, recall, AUC, recall at 1% false alarms; one a clean kind: false alarms."""
    rows = [*_corrupt_rows(planted, table), *_duplicate_rows(planted, table)]
    for issue in SCORERS:
        rows += _scored_rows(issue, planted, table)
    return pd.DataFrame(rows)


def _corrupt_rows(planted: list[Planted], table: pa.Table) -> Iterator[dict[str, object]]:
    found = set(DETECTORS["corrupt"].detect(table, Config().corrupt)["path"].to_pylist())
    yield from _recall_rows("corrupt", [file for file in planted if file.issue == "corrupt"], found)
    clean = [file for file in planted if file.issue != "corrupt"]
    yield _alarm_row("corrupt", "all others", clean, found)


def _recall_rows(issue: str, files: list[Planted], found: set[str]) -> Iterator[dict[str, object]]:
    for kind in dict.fromkeys(file.kind for file in files):
        hits = [file.path in found for file in files if file.kind == kind]
        yield {"issue": issue, "kind": kind, "files": len(hits), "recall": np.mean(hits)}
    yield {"issue": issue, "kind": "ALL", "files": len(files), "recall": np.mean([f.path in found for f in files])}


def _alarm_row(issue: str, kind: str, files: list[Planted], found: set[str]) -> dict[str, object]:
    alarms = [file.path in found for file in files]
    return {"issue": issue, "kind": f"clean: {kind}", "files": len(files), "false_alarms": np.mean(alarms)}


def _duplicate_rows(planted: list[Planted], table: pa.Table) -> Iterator[dict[str, object]]:
    """Pairs of the photograph and its copy, a row a kind; then all pairs of all groups."""
    files = [file for file in planted if file.issue == "duplicate" or file.kind == "original"]
    outliers = DETECTORS["duplicate"].detect(_rows_of(table, files), Config().duplicate)
    group = {file.path: file.path for file in files}
    group |= dict(zip(outliers["path"].to_pylist(), outliers["kept_path"].to_pylist(), strict=True))
    by_photograph: dict[str, list[Planted]] = {}
    for file in files:
        by_photograph.setdefault(file.photograph, []).append(file)
    original = {file.photograph: file.path for file in files if file.kind == "original"}
    for kind in PLANTS["duplicate"]:
        copies = [file for file in files if file.kind == kind]
        hits = [group[file.path] == group[original[file.photograph]] for file in copies]
        yield {"issue": "duplicate", "kind": kind, "files": len(copies), "recall": np.mean(hits)}
    wanted = {frozenset((a.path, b.path)) for some in by_photograph.values() for a, b in combinations(some, 2)}
    members: dict[str, list[str]] = {}
    for path, kept in group.items():
        members.setdefault(kept, []).append(path)
    said = {frozenset(pair) for paths in members.values() for pair in combinations(paths, 2)}
    yield {
        "issue": "duplicate",
        "kind": "ALL PAIRS",
        "files": len(wanted),
        "recall": len(said & wanted) / len(wanted),
        "precision": len(said & wanted) / max(1, len(said)),
    }


def _scored_rows(issue: str, planted: list[Planted], table: pa.Table) -> Iterator[dict[str, object]]:
    """Judges sets of all clean pictures and some planted ones, until each planted one has been in a set."""
    clean = [file for file in planted if file.issue == "clean"]
    bad = [file for file in planted if file.issue == issue]
    photographs = sorted({file.photograph for file in planted})
    kinds = list(PLANTS[issue])
    verdicts = []
    for turn in range(len(kinds) * EVERY):
        chosen = {
            (name, kinds[(at // EVERY + turn) % len(kinds)])
            for at, name in enumerate(photographs)
            if at % EVERY == turn // len(kinds)
        }
        some = [*clean, *(file for file in bad if (file.photograph, file.kind) in chosen)]
        rows = _rows_of(table, some)
        scores = SCORERS[issue](rows)
        found = set(DETECTORS[issue].detect(rows, getattr(Config(), issue))["path"].to_pylist())
        paths = rows["path"].to_pylist()
        verdicts.append(pd.DataFrame({"path": paths, "score": scores, "found": [path in found for path in paths]}))
    judged = pd.concat(verdicts).merge(pd.DataFrame([vars_of(file) for file in [*clean, *bad]]), on="path")
    good, wrong = judged[judged.issue == "clean"], judged[judged.issue == issue]
    limit = np.quantile(good["score"], 0.01)
    for kind in [*kinds, "ALL"]:
        rows_ = wrong if kind == "ALL" else wrong[wrong.kind == kind]
        yield {
            "issue": issue,
            "kind": kind,
            "files": rows_.path.nunique(),
            "recall": rows_.found.mean(),
            "auc": auc(rows_["score"].to_numpy(), good["score"].to_numpy()),
            "recall_at_1pc": (rows_["score"] < limit).mean(),
            "precision": wrong.found.sum() / max(1, judged.found.sum()) if kind == "ALL" else None,
        }
    for kind in PLANTS["clean"]:
        of_kind = good[good.kind == kind]
        yield {
            "issue": issue,
            "kind": f"clean: {kind}",
            "files": of_kind.path.nunique(),
            "false_alarms": of_kind.found.mean(),
        }


def vars_of(file: Planted) -> dict[str, str]:
    """A planted file as a row."""
    return {"path": file.path, "issue": file.issue, "kind": file.kind}


def _rows_of(table: pa.Table, files: list[Planted]) -> pa.Table:
    return table.filter(pc.is_in(table["path"], pa.array([file.path for file in files])))


def auc(bad: NDArray[np.float64], good: NDArray[np.float64]) -> float:
    """Probability that a bad picture scores under a good one, ties half (Mann and Whitney's U)."""
    ranks = rankdata(np.concatenate([good, bad]))[: len(good)]
    return float((ranks.sum() - len(good) * (len(good) + 1) / 2) / (len(good) * len(bad)))


if __name__ == "__main__":
    main()
