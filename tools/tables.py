"""Prints the benchmark's tables, in at most 100 columns."""

from collections.abc import Mapping, Sequence

import pandas as pd
from bootstrap import Estimate

SHORT = {"recall": "R", "recall_at_1pc": "R at 1% FA", "precision": "P", "auc": "AUC", "false_alarms": "FA"}
SHORT |= {"hits": "found", "copy_kept": "copy kept", "wrong_joins": "wrong joins"}
SHORT |= {"pair_precision": "P of pairs", "pair_recall": "R of pairs"}


def cells(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Figures with their intervals as words; columns without any are left out."""
    shown = {}
    for name in names:
        if name in table and table[name].notna().any():
            ends = zip(table[name], table[f"{name}_low"], table[f"{name}_high"], strict=True)
            shown[name] = [str(Estimate(*three)) for three in ends]
    return pd.DataFrame(shown, index=table.index)


def show_rows(
    table: pd.DataFrame,
    *,
    by: str,
    row: str,
    counts: Sequence[str],
    names: Sequence[str],
    words: Mapping[str, str] = SHORT,
) -> None:
    """Prints a block a value of one column, with a line a value of another."""
    for name, some in table.groupby(by, sort=False):
        whole = some[[row, *counts]].astype(dict.fromkeys(counts, "Int64"))
        print_table(pd.concat([whole, cells(some, names)], axis=1).rename(columns={**words, row: str(name)}))
        print()


def print_table(shown: pd.DataFrame) -> None:
    """Prints a table, its first column to the left."""
    first, *_ = shown.columns
    words = shown.astype(object).where(shown.notna(), "").astype(str)
    width = max(len(first), *words[first].map(len))
    lines = words.drop(columns=first).to_string(index=False, justify="right").splitlines()
    for name, line in zip([first, *words[first]], lines, strict=True):
        print(f"{name:<{width}} {line}".rstrip())
