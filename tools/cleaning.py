"""How well cleaning finds what is bad and keeps what is good: `python tools/cleaning.py --data FOLDER_OF_SETS`.

The folder holds `photos_256`, `photos_1024`, `photos_full`, `photos_more` (photographs), `blur`, `monochrome`,
`duplicates` (labelled by people), each with a folder `files`. Five tables are printed, and written as Parquet:

- planted: defects over their whole range in photographs of three sources and of scikit-image (`planting.py`);
- copies: each edit of a photograph, among ordinary scenes;
- labelled: blurred, grey and repeated pictures of the real world (`labelled.py`);
- ordinary: what is taken of sets that should be kept, and how much of that is right by eye (`bad.csv`);
- scenes: false alarms by kind of scene (`scenes.csv`).

All figures are of one half of each source; intervals are bootstrapped over photographs (95%). A cell such as
`.955 .93-.98` is a figure and its interval.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
from cleaning_score import CONTENT, score_copies, score_planted
from labelled import SETS as LABELLED
from labelled import score_labelled, show_labelled
from needs import require_folder
from planted import SOURCES, half_of, measure, photographs_of, plant, remove_others
from scenes import ORDINARY, SETS, of_half, score_scenes
from tables import cells, print_table, show_rows

__all__ = ["half_of"]  # scripts that fit take it from here


def main() -> None:
    """Plants, measures, judges; prints the tables and writes them as Parquet."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of sets")
    words.add_argument("--out", type=Path, default=Path("data/benchmarks/cleaning"))
    words.add_argument("--photographs", type=int, default=90, help="of each source, at most")
    words.add_argument("--half", choices=("score", "fit"), default="score")
    given = words.parse_args()
    for name in sorted({*SOURCES, *SETS, *(folder for folder, _ in LABELLED.values()), "duplicates"}):
        require_folder(given.data / name / "files", "pictures; see the first lines of tools/cleaning.py")
    results = benchmark(given.data, given.out, given.half, given.photographs)
    target = given.out / f"{given.half}.parquet"
    results.to_parquet(target)
    for part, show in SHOWN.items():
        print(f"\n{part}, half `{given.half}`")
        show(results[results.part == part])
    print(target)


def benchmark(data: Path, out: Path, half: str, most: int) -> pd.DataFrame:
    """All figures: a row a part, issue and kind."""
    out.mkdir(parents=True, exist_ok=True)
    images = out / half / "images"
    planted = plant(photographs_of(data, half, most), images)
    remove_others(planted, images)
    table = measure(out / half / "workspace", images)
    scenes = {name: of_half(measure(out / "sets" / name, data / name / "files"), half) for name in SETS}
    parts = (
        score_planted(planted, table),
        score_copies(planted, table, scenes[ORDINARY], images),
        score_labelled(data, out, half),
        score_scenes(scenes),
    )
    return pd.concat(parts, ignore_index=True)


# --- Printing ---


def show_planted(table: pd.DataFrame) -> None:
    """Recall, AUC, recall at 1% false alarms and precision; then false alarms on clean pictures."""
    alarms = table.false_alarms.notna()
    names = ["recall", "auc", "recall_at_1pc", "precision"]
    show_rows(table[~alarms], by="issue", row="kind", counts=["files"], names=names)
    print("planted: false alarms on clean pictures")
    wide = table[alarms].pivot_table(index="kind", columns="issue", values="false_alarms", sort=False)
    print_table(wide.round(3).rename_axis("kind").reset_index())


def show_copies(table: pd.DataFrame) -> None:
    """How many copies of each kind are joined; over all at once, precision and recall of pairs."""
    counts = ["files", "hits", "copy_kept", "wrong_joins"]
    names = ["recall", "pair_precision", "pair_recall"]
    show_rows(table, by="issue", row="kind", counts=counts, names=names)


def show_ordinary(table: pd.DataFrame) -> None:
    """How many are taken, and how many of these are right, wrong, unclear to people, or not looked at."""
    counts = ["files", "hits", "right", "wrong", "unclear", "unseen"]
    names = ["false_alarms", "good_taken", "right_share"]
    words = {"hits": "taken", "false_alarms": "taken share", "good_taken": "good ones", "right_share": "right share"}
    some = table[table.kind.isin(SETS[:2])]  # the others have too few
    show_rows(some, by="kind", row="issue", counts=counts, names=names, words=words)


def show_scenes(table: pd.DataFrame) -> None:
    """False alarms, a row a kind and a column an issue."""
    files = table.drop_duplicates("kind").set_index("kind")["files"].astype(int)
    hits = table.pivot_table(index="kind", columns="issue", values="hits", aggfunc="sum")[[*CONTENT, "any"]].astype(int)
    alone = table[table.issue == "any"].set_index("kind")
    share_of_any = cells(alone, ["false_alarms"])["false_alarms"].rename("share of any")
    print_table(pd.concat([files, hits, share_of_any], axis=1).rename_axis("kind").reset_index())


SHOWN: Mapping[str, Callable[[pd.DataFrame], None]] = {
    "planted": show_planted,
    "copies": show_copies,
    "labelled": show_labelled,
    "ordinary": show_ordinary,
    "scenes": show_scenes,
}

if __name__ == "__main__":
    main()
