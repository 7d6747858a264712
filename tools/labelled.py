"""How well cleaning finds what people have labelled: `python tools/labelled.py --data FOLDER`.

The folder holds `monochrome`, `blur` and `duplicates`, each with `files` and an `index.csv` that says of each file what
it is. Each set is judged at the default settings. `cleaning.py` reports the same.
"""

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from bootstrap import auc, ratio, recall_at, resample, share
from cleaning_score import Row, figure, found_by
from needs import require_folder
from planted import half_of, measure, rows_of
from tables import show_rows

from recolor.cleaning.detect import DETECTORS
from recolor.cleaning.thresholds.survey import SCORERS
from recolor.config.settings import Config

SETS = {"monochrome": ("monochrome", "mono"), "blurry": ("blur", "blurred")}  # folder, and the label of bad ones


def main() -> None:
    """Judges each set; prints recall and false alarms."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"))
    words.add_argument("--out", type=Path, default=Path("data/benchmarks/cleaning"))
    words.add_argument("--half", choices=("score", "fit", "both"), default="score")
    given = words.parse_args()
    show_labelled(score_labelled(given.data, given.out, given.half))


def score_labelled(data: Path, out: Path, half: str) -> pd.DataFrame:
    """Recall and false alarms on each labelled set, and pairs of copies."""
    for name in [folder for folder, _ in SETS.values()] + ["duplicates"]:
        require_folder(data / name / "files", "a set that people have labelled, with an index.csv beside it")
    rows = [row for issue in SETS for row in _label_rows(issue, data, out, half)]
    return pd.DataFrame([{"part": "labelled", **row} for row in [*rows, _duplicate_row(data, out, half)]])


def show_labelled(table: pd.DataFrame) -> None:
    """Recall or false alarms of each label."""
    names = ["recall", "false_alarms", "auc", "recall_at_1pc", "precision"]
    show_rows(table, by="issue", row="kind", counts=["files", "hits"], names=names)


def _of_half(name: str, half: str) -> bool:
    return half == "both" or half_of(name) == half


def _label_rows(issue: str, data: Path, out: Path, half: str) -> list[Row]:
    folder, wrong = SETS[issue]
    labels = pd.read_csv(data / folder / "index.csv")
    labels = labels[[_of_half(Path(file).stem, half) for file in labels["file"]]]
    rows = rows_of(measure(out / "sets" / folder, data / folder / "files"), labels["file"])
    paths, found = rows["path"].to_pylist(), found_by(issue, rows)
    judged = labels.merge(
        pd.DataFrame({"file": paths, "score": SCORERS[issue](rows), "found": [p in found for p in paths]})
    )
    draws = resample(list(judged["file"]))
    bad, good = judged[judged.label == wrong], judged[judged.label != wrong]
    bad_weights, good_weights = (draws.of(list(some["file"])) for some in (bad, good))
    against = (bad["score"].to_numpy(), bad_weights, good["score"].to_numpy(), good_weights)
    counts = ({"files": len(some), "hits": int(some.found.sum())} for some in (bad, good))
    return [
        {
            "issue": issue,
            "kind": wrong,
            **next(counts),
            **figure("recall", share(bad.found.to_numpy(), bad_weights)),
            **figure("auc", auc(*against)),
            **figure("recall_at_1pc", recall_at(*against)),
        },
        {
            "issue": issue,
            "kind": str(good.label.iloc[0]),
            **next(counts),
            **figure("false_alarms", share(good.found.to_numpy(), good_weights)),
        },
    ]


def _duplicate_row(data: Path, out: Path, half: str) -> Row:
    """Pairs that are said to be copies, against those of the labelled groups, which are drawn whole."""
    labels = pd.read_csv(data / "duplicates" / "index.csv")
    labels = labels[[_of_half(group, half) for group in labels["group"]]]
    rows = rows_of(measure(out / "sets" / "duplicates", data / "duplicates" / "files"), labels["file"])
    detector = DETECTORS["duplicate"]
    outliers = detector.detect(rows, detector.settings(Config()))
    kept = {path: path for path in rows["path"].to_pylist()}
    kept |= dict(zip(outliers["path"].to_pylist(), outliers["kept_path"].to_pylist(), strict=True))
    group_of = dict(zip(labels["file"], labels["group"], strict=True))
    said, wanted = _pairs(pd.Series(kept)), _pairs(pd.Series(group_of))
    draws = resample(list(labels["group"]))

    def summed(pairs: set[frozenset[str]]) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        return draws.of([group_of[min(pair)] for pair in pairs]).sum(axis=1).astype(np.float64)

    right = said & wanted
    figures = figure("recall", ratio(summed(right), summed(wanted))) | figure(
        "precision", ratio(summed(right), summed(said))
    )
    return {"issue": "duplicate", "kind": "pairs of wallpapers", "files": len(wanted), "hits": len(right), **figures}


def _pairs(group: "pd.Series[str]") -> set[frozenset[str]]:
    members = group.groupby(group).groups.values()
    return {frozenset(pair) for paths in members for pair in combinations(paths, 2)}


if __name__ == "__main__":
    main()
