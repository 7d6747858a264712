"""How well cleaning finds what people have labelled: `python tools/labelled.py --data FOLDER`.

The folder holds `monochrome`, `blur` and `duplicates`, each with `files` and an `index.csv` that says of each file what
it is. Each set is judged at the default settings as `recolor clean` does it.
"""

import argparse
from itertools import combinations
from pathlib import Path

import pandas as pd

from recolor.config.settings import Config
from recolor.manifests.pandas import read_manifest
from recolor.pipeline.workspace import locked, open_workspace
from recolor.stages import CLEANING, run_each


def main() -> None:
    """Cleans each set and prints recall and false alarms."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"))
    words.add_argument("--out", type=Path, default=Path("data/benchmarks/labelled"))
    given = words.parse_args()
    for issue, folder, wrong in (("monochrome", "monochrome", "mono"), ("blurry", "blur", "blurred")):
        labels = pd.read_csv(given.data / folder / "index.csv")
        found = set(outliers(given.data / folder / "files", given.out / folder, issue)["path"])
        for label, files in labels.groupby("label")["file"]:
            kind = "recall" if label == wrong else "false alarms"
            hits = sum(file in found for file in files)
            print(f"{issue:<11} {label:<12} {kind:<13} {hits:>4} of {len(files):>4}  {hits / len(files):.3f}")
    duplicates(given.data / "duplicates", given.out / "duplicates")


def outliers(images: Path, out: Path, issue: str) -> pd.DataFrame:
    """Cleans a folder; one issue's manifest."""
    workspace = open_workspace(out)
    judging = [name for name in CLEANING if name != "select"]  # of some sets nothing is kept
    with locked(workspace):
        list(run_each(judging, workspace, images, Config()))
    return read_manifest(workspace.manifest(issue))


def duplicates(data: Path, out: Path) -> None:
    """Pairs that are said to be copies, against those of the labelled groups."""
    labels = pd.read_csv(data / "index.csv")
    found = outliers(data / "files", out, "duplicate")
    kept = {path: path for path in labels["file"]} | dict(zip(found["path"], found["kept_path"], strict=True))
    said = _pairs(pd.Series(kept))
    wanted = _pairs(labels.set_index("file")["group"])
    right = len(said & wanted)
    print(f"duplicate   pairs        recall        {right:>4} of {len(wanted):>4}  {right / len(wanted):.3f}")
    print(f"duplicate   pairs        precision     {right:>4} of {len(said):>4}  {right / max(1, len(said)):.3f}")
    copies = len(labels) - labels["group"].nunique()
    print(f"duplicate   copies       found         {len(found):>4} of {copies:>4}  {len(found) / copies:.3f}")


def _pairs(group: "pd.Series[str]") -> set[frozenset[str]]:
    members = group.groupby(group).groups.values()
    return {frozenset(pair) for paths in members for pair in combinations(paths, 2)}


if __name__ == "__main__":
    main()
