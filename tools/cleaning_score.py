"""How well planted defects and copies are found, with bootstrap intervals over photographs.

Images are judged in sets as they occur: the clean pictures of all photographs (and the hard ones made of them), and
among them one planted defect for every fourth photograph. Copies are judged one kind at a time among ordinary scenes,
so that no other copy leads to one, and all together once.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from bootstrap import Floats, Resamples, auc, estimate, ratio, recall_at, resample, share
from planted import Planted, rows_of
from planting import LIGHT, PLANTS

from recolor.cleaning.detect import DETECTORS
from recolor.cleaning.detect.duplicate import compact_measurements, detect_duplicate, judge_enlargements
from recolor.cleaning.detect.enlargements import Photographs
from recolor.cleaning.thresholds.survey import SCORERS
from recolor.config.settings import Config

EVERY = 4  # one photograph of so many has a defect in a set
CONTENT = tuple(SCORERS)  # issues of the content
Row = dict[str, object]


def figure(name: str, values: Floats) -> Row:
    """A figure as columns: value, low and high end of its interval."""
    of = estimate(values)
    return {name: of.value, f"{name}_low": of.low, f"{name}_high": of.high}


def found_by(issue: str, table: pa.Table) -> set[str]:
    """The paths that a detector takes at its default settings."""
    detector = DETECTORS[issue]
    return set(detector.detect(table, detector.settings(Config()))["path"].to_pylist())


def score_planted(planted: Sequence[Planted], table: pa.Table) -> pd.DataFrame:
    """Recall, AUC, recall at 1% false alarms and precision of each kind; false alarms of each clean kind."""
    draws = resample([file.photograph for file in planted])
    rows = [*_corrupt_rows(planted, table, draws)]
    for issue in CONTENT:
        if issue in PLANTS:
            rows += _content_rows(issue, planted, table, draws)
    rows += _any_rows(planted, table, draws)
    return pd.DataFrame([{"part": "planted", **row} for row in rows])


def _corrupt_rows(planted: Sequence[Planted], table: pa.Table, draws: Resamples) -> Iterator[Row]:
    found = found_by("corrupt", table)
    corrupt = [file for file in planted if file.issue == "corrupt"]
    for kind in [*PLANTS["corrupt"], "ALL"]:
        files = [file for file in corrupt if kind in (file.kind, "ALL")]
        yield {"issue": "corrupt", "kind": kind, **_share_row("recall", files, found, draws)}
    others = [file for file in planted if file.issue != "corrupt"]
    yield {"issue": "corrupt", "kind": "all others", **_share_row("false_alarms", others, found, draws)}


def _any_rows(planted: Sequence[Planted], table: pa.Table, draws: Resamples) -> Iterator[Row]:
    """Empty pictures, by whichever issue: before there is a detector for them, others find some."""
    some = [file for file in planted if file.issue in ("exposure", "clean")]
    rows = rows_of(table, [file.path for file in some])
    found = set().union(*(found_by(issue, rows) for issue in CONTENT))
    for kind in [*PLANTS["exposure"], "ALL"]:
        files = [file for file in some if file.issue == "exposure" and kind in (file.kind, "ALL")]
        yield {"issue": "exposure, by any", "kind": kind, **_share_row("recall", files, found, draws)}


def _share_row(name: str, files: Sequence[Planted], found: set[str], draws: Resamples) -> Row:
    hits = np.array([file.path in found for file in files], bool)
    weights = draws.of([file.photograph for file in files])
    return {"files": len(files), "hits": int(hits.sum()), **figure(name, share(hits, weights))}


def _content_rows(issue: str, planted: Sequence[Planted], table: pa.Table, draws: Resamples) -> Iterator[Row]:
    clean = [file for file in planted if file.issue == "clean"]
    bad = [file for file in planted if file.issue == issue]
    judged, sets = judge_in_sets(issue, clean, bad, table)
    good, wrong = judged[judged.issue == "clean"], judged[judged.issue == issue]
    good_scores, good_weights = good["score"].to_numpy(), draws.of(list(good.photograph))
    rows_of_kinds = {kind: wrong[wrong.kind == kind] for kind in PLANTS[issue]}
    rows_of_kinds["ALL"] = wrong
    if LIGHT & set(wrong.kind):
        rows_of_kinds["VISIBLE"] = wrong[~wrong.kind.isin(LIGHT)]
    rows_of_kinds |= {f"ALL, {source}": wrong[wrong.source == source] for source in sorted(set(wrong.source))}
    for kind, some in rows_of_kinds.items():
        scores, weights = some["score"].to_numpy(), draws.of(list(some.photograph))
        of_source = np.ones(len(good), bool)
        if kind.startswith("ALL, "):
            of_source = good.source.to_numpy() == kind.removeprefix("ALL, ")
        against = (scores, weights, good_scores[of_source], good_weights[:, of_source])
        row = {"issue": issue, "kind": kind, "files": len(some), "hits": int(some.found.sum())}
        row |= figure("recall", share(some.found.to_numpy(), weights))
        row |= figure("auc", auc(*against)) | figure("recall_at_1pc", recall_at(*against))
        if kind in ("ALL", "VISIBLE"):
            right = weights @ some.found.to_numpy(np.float64)
            row |= figure("precision", ratio(right, right + sets * (good_weights @ good.found.to_numpy(np.float64))))
        yield row
    for kind in PLANTS["clean"]:
        some = good[good.kind == kind]
        alarms = share(some.found.to_numpy(), draws.of(list(some.photograph)))
        yield {"issue": issue, "kind": f"clean: {kind}", "files": len(some), **figure("false_alarms", alarms)}


def judge_in_sets(
    issue: str, clean: Sequence[Planted], bad: Sequence[Planted], table: pa.Table
) -> tuple[pd.DataFrame, int]:
    """Judges sets of all clean pictures and some bad ones, until each bad one has been in one.

    Returns:
        A row a file: its score and whether it was found (of clean ones, the means over the sets); the number of sets.
    """
    names = sorted({file.photograph for file in bad})
    of_photograph: dict[str, list[Planted]] = {name: [] for name in names}
    for file in bad:
        of_photograph[file.photograph].append(file)
    sets = EVERY * max(map(len, of_photograph.values()))
    parts = []
    for turn in range(sets):
        chosen = [of_photograph[name][turn // EVERY :][:1] for name in names[turn % EVERY :: EVERY]]
        rows = rows_of(table, [file.path for file in [*clean, *(file for some in chosen for file in some)]])
        paths, found = rows["path"].to_pylist(), found_by(issue, rows)
        parts.append(
            pd.DataFrame({"path": paths, "score": SCORERS[issue](rows), "found": [float(p in found) for p in paths]})
        )
    means = pd.concat(parts).groupby("path", as_index=False).mean()
    about = [
        {name: getattr(file, name) for name in ("path", "photograph", "source", "issue", "kind")}
        for file in [*clean, *bad]
    ]
    return means.merge(pd.DataFrame(about), on="path"), sets


# --- Copies ---


def score_copies(planted: Sequence[Planted], table: pa.Table, scenes: pa.Table, images: Path) -> pd.DataFrame:
    """Copies joined with their photograph, a row a kind; wrong joins among them and ordinary scenes; all pairs.

    The planted files are in the folder `images`, so that copies in several sizes are opened again.
    """
    originals = [file for file in planted if file.kind == "original"]
    draws = resample([file.photograph for file in originals])
    rows = []
    for kind in PLANTS["duplicate"]:
        copies = [file for file in planted if file.issue == "duplicate" and file.kind == kind]
        rows.append(_copy_row(kind, originals, copies, _groups([*originals, *copies], table, scenes, images), draws))
    every = [file for file in planted if file.issue == "duplicate"]
    group = _groups([*originals, *every], table, scenes, images)
    row = _copy_row("ALL", originals, every, group, draws) | _pair_figures([*originals, *every], group, draws)
    return pd.DataFrame([{"part": "copies", "issue": "duplicate", **row} for row in [*rows, row]])


def _groups(files: Sequence[Planted], table: pa.Table, scenes: pa.Table, images: Path) -> dict[str, str]:
    """Of each file the one that is kept of its group."""
    some = pa.concat_tables([rows_of(table, [file.path for file in files]), scenes])
    settings = Config().duplicate
    some = judge_enlargements(compact_measurements(some, settings), settings, Photographs(images, Config().measure))
    outliers = detect_duplicate(some, settings)
    group = {path: path for path in some["path"].to_pylist()}
    return group | dict(zip(outliers["path"].to_pylist(), outliers["kept_path"].to_pylist(), strict=True))


def _copy_row(
    kind: str, originals: Sequence[Planted], copies: Sequence[Planted], group: dict[str, str], draws: Resamples
) -> Row:
    of = {file.photograph: file.path for file in originals}
    joined = np.array([group[file.path] == group[of[file.photograph]] for file in copies], bool)
    kept = sum(group[file.path] == file.path for file, hit in zip(copies, joined, strict=True) if hit)
    photograph = {file.path: file.photograph for file in [*originals, *copies]}
    wrong = sum(photograph.get(path, path) != photograph.get(best, best) for path, best in group.items())
    weights = draws.of([file.photograph for file in copies])
    counts = {"files": len(copies), "hits": int(joined.sum()), "copy_kept": int(kept), "wrong_joins": int(wrong)}
    return {"kind": kind, **counts, **figure("recall", share(joined, weights))}


def _pair_figures(files: Sequence[Planted], group: dict[str, str], draws: Resamples) -> Row:
    """Precision and recall over pairs; a pair with an ordinary scene is wrong, and in no photograph's resample."""
    said, right, wanted = (dict.fromkeys(draws.index, 0) for _ in range(3))
    photograph = {file.path: file.photograph for file in files}
    members: dict[str, list[str]] = {}
    for path, kept in group.items():
        members.setdefault(kept, []).append(path)
    others = 0
    for paths in members.values():
        for pair in combinations(paths, 2):
            names = [photograph.get(path) for path in pair]
            of_photographs = [name for name in names if name is not None]
            if not of_photographs:
                others += 1
                continue
            said[of_photographs[0]] += 1
            right[of_photographs[0]] += names[0] == names[1]
    for name, count in pd.Series([file.photograph for file in files]).value_counts().items():
        wanted[str(name)] = int(count) * (int(count) - 1) // 2
    sums = [
        draws.counts @ np.array([counts[name] for name in draws.index], np.float64) for counts in (said, right, wanted)
    ]
    return {
        "pairs_of_scenes": others,
        **figure("pair_precision", ratio(sums[1], sums[0] + others)),
        **figure("pair_recall", ratio(sums[1], sums[2])),
    }
