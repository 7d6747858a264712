"""What is taken of ordinary pictures: how many, how many of them rightly, and of which kinds of scene.

`scenes.csv` names pictures of each kind that a curator of landscapes would keep, drawn without regard to what is taken;
`taken_wrongly` are good ones that the detectors took in November 2026, and people may differ about those that are
`unclear`. `bad.csv` names the truly bad ones. All were judged by eye.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from bootstrap import resample, share
from cleaning_score import CONTENT, Row, figure, found_by
from planted import HERE, half_of

SETS = ("photos_more", "photos_256", "photos_1024", "photos_full")
ORDINARY = "photos_more"  # each of them looked at: nearly all must be kept
NO_KIND = ("taken_wrongly", "unclear")


def of_half(table: pa.Table, half: str) -> pa.Table:
    """The rows of one half of the photographs."""
    return table.filter(pa.array([half_of(Path(path).stem) == half for path in table["path"].to_pylist()]))


def score_scenes(tables: Mapping[str, pa.Table]) -> pd.DataFrame:
    """What each issue of the content, and any of them, takes of each set, and of each kind of scene."""
    taken = pd.concat([_taken(name, table) for name, table in tables.items()])
    judged = pd.read_csv(HERE / "scenes.csv")
    bad = pd.read_csv(HERE / "bad.csv")
    rows = [row for name in tables for row in _set_rows(taken[taken["set"] == name], judged, bad)]
    kinds = judged[~judged.kind.isin(NO_KIND)].merge(taken, on=["set", "file"])
    for kind, some in kinds.groupby("kind"):
        rows += [{"part": "scenes", "kind": str(kind), **row} for row in _shares(some)]
    rows += [{"part": "scenes", "kind": "ALL KINDS", **row} for row in _shares(kinds.drop_duplicates(["set", "file"]))]
    return pd.DataFrame(rows)


def _taken(name: str, table: pa.Table) -> pd.DataFrame:
    """A row a picture of a set: whether each issue takes it."""
    table = table.filter(pc.is_null(table["reason"]))
    files = table["path"].to_pylist()
    found = {issue: found_by(issue, table) for issue in CONTENT}
    columns = {issue: [file in paths for file in files] for issue, paths in found.items()}
    frame = pd.DataFrame({"set": name, "file": files, **columns})
    return frame.assign(any=frame[list(CONTENT)].any(axis=1))


def _shares(some: pd.DataFrame) -> list[Row]:
    weights = resample(list(some.file)).of(list(some.file))
    return [
        {
            "issue": issue,
            "files": len(some),
            "hits": int(some[issue].sum()),
            **figure("false_alarms", share(some[issue].to_numpy(), weights)),
        }
        for issue in (*CONTENT, "any")
    ]


def _set_rows(taken: pd.DataFrame, judged: pd.DataFrame, bad: pd.DataFrame) -> list[Row]:
    """How many of the taken are right, wrong, unclear, or not looked at (which counts as wrong in `good_taken`)."""
    name = taken["set"].iloc[0]
    bad, judged = bad[bad["set"] == name], judged[judged["set"] == name]
    unclear = set(judged[judged.kind == "unclear"].file)
    good = set(judged[judged.kind != "unclear"].file)
    return [{**row, **_judged_row(taken, str(row["issue"]), good, unclear, bad)} for row in _shares(taken)]


def _judged_row(taken: pd.DataFrame, issue: str, good: set[str], unclear: set[str], bad: pd.DataFrame) -> Row:
    truly = set(bad.file if issue == "any" else bad[bad.issue == issue].file)
    files = set(taken.file[taken[issue]])
    right, wrong = files & truly, (files & (good | set(bad.file))) - truly
    doubtful = (files & unclear) - right - wrong
    unseen = files - right - wrong - doubtful
    is_right, is_judged = taken.file.isin(right).to_numpy(), taken.file.isin(right | wrong).to_numpy()
    weights = resample(list(taken.file)).of(list(taken.file))
    return {
        "part": "ordinary",
        "kind": taken["set"].iloc[0],
        "right": len(right),
        "wrong": len(wrong),
        "unclear": len(doubtful),
        "unseen": len(unseen),
        **figure("good_taken", share(taken.file.isin(wrong | unseen).to_numpy(), weights)),
        **figure("right_share", share(is_right[is_judged], weights[:, is_judged])),
    }
