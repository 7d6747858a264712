"""Recolor beside cleanvision and imagededup, on the same files in the same run: images per second, then what they find.

    python3.11 -m venv /tmp/peers
    /tmp/peers/bin/pip install cleanvision==0.3.7 imagededup==0.3.3
    python tools/peers.py --peers-python /tmp/peers/bin/python --images FOLDER [--planted FOLDER --data FOLDER_OF_SETS]

Speed: each contender works in a process of its own with two workers and times its own work, from the folder to the
result. Starting Python and importing is left out for all alike and stands in a column apart. The contenders take turns
and the fastest turn counts; every file has been read once before. Recolor is what `recolor index` and `recolor measure`
do at their default settings in an empty workspace; cleanvision finds all issues that it has; imagededup only hashes;
the decode is simplejpeg's, strict, at full size, by two threads, and nothing else.

What they find: the defects that `cleaning.py` plants, judged as it does, on the photographs of its half `score`. The
peers judge each image by itself, so that they see each once, and their precision is that of the same sets.
"""
# ruff: noqa: PLC0415 - two environments run this file, and neither has all that the other imports

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

Report = dict[str, Any]
NEEDS = {"blurry": ["blurry"], "monochrome": ["grayscale", "low_information"]}  # cleanvision's names for our issues


def main() -> None:
    """Measures and prints both tables; or, started by itself, works as one contender."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--images", type=Path, default=Path("../shared/data/photos_1024/files"), help="JPEG files")
    words.add_argument("--peers-python", type=Path, help="of an environment with the peers")
    words.add_argument("--workers", type=int, default=2)
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--planted", type=Path, help="--out of cleaning.py; made if it is empty")
    words.add_argument("--data", type=Path, default=Path("../shared/data"), help="as for cleaning.py")
    words.add_argument("--photographs", type=int, default=90, help="as for cleaning.py")
    words.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    words.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    given = words.parse_args()
    if given.contender:
        given.report.write_text(json.dumps(CONTENDERS[given.contender](given.images.resolve(), given.workers)))
        return
    if given.peers_python is None:
        words.error("--peers-python: which Python has cleanvision and imagededup? See the top of tools/peers.py")
    if not given.peers_python.is_file():
        words.error(f"--peers-python: there is no file {given.peers_python}; see the top of tools/peers.py")
    for option, folder in (("images", given.images), ("data", given.data if given.planted else given.images)):
        if not folder.is_dir():
            words.error(f"--{option}: there is no folder {folder}")
    compare_speed(given)
    if given.planted:
        compare_findings(given)


# --- The contenders: a folder and a number of workers in; seconds of work, images and findings out. ---


def decode(folder: Path, workers: int) -> Report:
    """Reads and decodes every file, strictly and in full size."""
    import simplejpeg

    def decode_some(files: list[Path]) -> None:
        for file in files:
            simplejpeg.decode_jpeg(file.read_bytes(), strict=True)

    started = time.perf_counter()
    files = sorted(folder.rglob("*.jpg"))
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(decode_some, [files[at : at + 16] for at in range(0, len(files), 16)]))
    return {"work_s": time.perf_counter() - started, "images": len(files)}


def recolor(folder: Path, workers: int) -> Report:
    """`recolor index` and `recolor measure` in an empty workspace."""
    from recolor.config.settings import Config, ExecutionConfig
    from recolor.pipeline.workspace import locked, open_workspace
    from recolor.stages import run_each

    with tempfile.TemporaryDirectory() as empty:
        started = time.perf_counter()
        workspace = open_workspace(Path(empty))
        stages = ("index", "measure")
        with locked(workspace):
            outcomes = list(run_each(stages, workspace, folder, Config(execution=ExecutionConfig(workers=workers))))
        return {"work_s": time.perf_counter() - started, "images": outcomes[-1].counts["measured"]}


def cleanvision(folder: Path, workers: int) -> Report:
    """All issues that cleanvision has; its scores, verdicts, and sets of copies."""
    from cleanvision import Imagelab

    started = time.perf_counter()
    lab = Imagelab(data_path=str(folder))
    lab.find_issues(n_jobs=workers, verbose=False)
    work_s = time.perf_counter() - started
    issues = lab.issues.rename(index=lambda path: Path(path).relative_to(folder).as_posix())
    sets = [*lab.info["exact_duplicates"]["sets"], *lab.info["near_duplicates"]["sets"]]
    groups = [[Path(path).relative_to(folder).as_posix() for path in paths] for paths in sets]
    pairs = [pair for paths in groups for pair in combinations(paths, 2)]
    return {"work_s": work_s, "images": len(issues), "issues": issues.to_dict(), "pairs": pairs}


def imagededup(folder: Path, workers: int) -> Report:
    """PHash of every image; untimed, the pairs at its own threshold."""
    # Its CNN downloads weights as soon as the package is imported, whatever one wants of it.
    sys.modules["imagededup.methods.cnn"] = without_cnn = ModuleType("imagededup.methods.cnn")
    without_cnn.CNN = None
    from imagededup.methods import PHash

    started = time.perf_counter()
    hashes = PHash(verbose=False).encode_images(image_dir=str(folder), recursive=True, num_enc_workers=workers)
    work_s = time.perf_counter() - started
    copies = PHash(verbose=False).find_duplicates(encoding_map=hashes, num_dist_workers=workers)
    pairs = [[path, other] for path, others in copies.items() for other in others if path < other]
    return {"work_s": work_s, "images": len(hashes), "hashed": sorted(hashes), "pairs": pairs}


CONTENDERS: dict[str, Callable[[Path, int], Report]] = {
    "decode": decode,
    "recolor": recolor,
    "cleanvision": cleanvision,
    "imagededup": imagededup,
}
PEERS = ("cleanvision", "imagededup")


def contend(name: str, folder: Path, given: argparse.Namespace) -> Report:
    """Runs a contender in a process of its own; adds the seconds that were not work: starting, importing, ending.

    Raises:
        ChildProcessError: It failed; says what it said last.
    """
    python = given.peers_python if name in PEERS else sys.executable
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "report.json"
        command = [python, __file__, "--contender", name, "--images", folder, "--workers", given.workers]
        words = [str(word) for word in [*command, "--report", target]]
        started = time.perf_counter()
        done = subprocess.run(words, check=False, capture_output=True, text=True)
        whole_s = time.perf_counter() - started
        if done.returncode:
            raise ChildProcessError(f"{name}: {done.stderr.strip().splitlines()[-1]}")
        report: Report = json.loads(target.read_text())
    return report | {"start_s": whole_s - report["work_s"]}


# --- Speed ---


def compare_speed(given: argparse.Namespace) -> None:
    """Prints images per second of each contender, and how many times faster Recolor is."""
    for file in given.images.rglob("*"):
        if file.is_file():
            file.read_bytes()
    turns = [{name: contend(name, given.images, given) for name in CONTENDERS} for _ in range(given.rounds)]
    best = {name: min((turn[name] for turn in turns), key=lambda report: report["work_s"]) for name in CONTENDERS}
    rates = {name: report["images"] / report["work_s"] for name, report in best.items()}
    print(f"{given.images}: {best['recolor']['images']} images, {given.workers} workers, best of {given.rounds}")
    print(f"{'':<12} {'images':>7} {'work s':>8} {'start s':>8} {'images/s':>9} {'of decode':>10} {'recolor is':>11}")
    for name, report in best.items():
        print(
            f"{name:<12} {report['images']:7,} {report['work_s']:8.2f} {report['start_s']:8.2f} {rates[name]:9.1f}"
            f" {rates[name] / rates['decode']:10.2f} {rates['recolor'] / rates[name]:10.2f}x"
        )


# --- What they find ---


def compare_findings(given: argparse.Namespace) -> None:
    """Prints recall, precision, AUC and false alarms a contender and issue, then recall a kind."""
    import pandas as pd
    from cleaning_score import score_copies, score_planted
    from planted import measure, photographs_of, plant

    given.planted /= "score"
    half = plant(photographs_of(given.data, "score", given.photographs), given.planted / "images")
    measured = measure(given.planted / "workspace", given.planted / "images")
    ours = pd.concat(
        [
            score_planted(half, measured),
            _named_as_peers(score_copies(half, measured, measured.slice(0, 0), given.planted / "images")),
        ]
    )
    rows = [row | {"by": "recolor"} for row in ours.to_dict("records")]
    rows += [row | {"by": "imagededup"} for row in _imagededup_rows(half, given)]
    rows += [row | {"by": "cleanvision"} for row in _cleanvision_rows(half, given)]
    table = pd.DataFrame(rows)
    table.to_parquet(given.planted / "peers.parquet")
    numbers = ["recall", "precision", "auc", "recall_at_1pc", "false_alarms"]
    over_all = table.kind.str.startswith("ALL") | table.kind.isin(["VISIBLE", "all others"])
    by_kind = table[~over_all].assign(found=table["recall"].fillna(table["false_alarms"]))
    with pd.option_context("display.width", 200, "display.max_rows", 200):
        print(table[over_all][["issue", "kind", "by", "files", *numbers]].round(3).to_string(index=False, na_rep=""))
        print("\nShare found at the default thresholds; of `clean` kinds these are false alarms")
        wide = by_kind.pivot_table(index=["issue", "kind"], columns="by", values="found", sort=False)
        print(wide.round(3).to_string(na_rep=""))
        print(given.planted / "peers.parquet")


def _named_as_peers(copies: Any) -> Any:
    """The row of all copies as one of all pairs."""
    import pandas as pd

    over_all = copies.kind == "ALL"
    pairs = copies[over_all].assign(kind="ALL PAIRS", recall=copies.pair_recall, precision=copies.pair_precision)
    return pd.concat([copies[~over_all], pairs])


def _imagededup_rows(planted: list[Any], given: argparse.Namespace) -> Iterator[Report]:
    """Corrupt is what it could not hash; duplicates are its pairs."""
    with tempfile.TemporaryDirectory() as scratch:
        report = contend("imagededup", _linked(planted, given.planted, Path(scratch)), given)
    found = {file.path for file in planted} - set(report["hashed"])
    yield from _recall_rows("corrupt", [file for file in planted if file.issue == "corrupt"], found)
    clean = [file for file in planted if file.issue != "corrupt"]
    alarms = sum(file.path in found for file in clean) / len(clean)
    yield {"issue": "corrupt", "kind": "all others", "files": len(clean), "false_alarms": alarms}
    yield from _pair_rows(planted, report["pairs"])


def _cleanvision_rows(planted: list[Any], given: argparse.Namespace) -> Iterator[Report]:
    """It stops at the first corrupt file: how it does is printed, and it gets the others alone."""
    with tempfile.TemporaryDirectory() as scratch:
        corrupt = [file for file in planted if file.issue in ("corrupt", "clean")]
        try:
            contend("cleanvision", _linked(corrupt, given.planted, Path(scratch)), given)
        except ChildProcessError as error:
            print("corrupt files among others:", error)
    issues = ("clean", "duplicate", *NEEDS)
    with tempfile.TemporaryDirectory() as scratch:
        others = [file for file in planted if file.issue in issues]
        report = contend("cleanvision", _linked(others, given.planted, Path(scratch)), given)
    yield from _pair_rows(planted, report["pairs"])
    for issue in NEEDS:
        yield from _scored_rows(issue, planted, report["issues"])


def _linked(planted: list[Any], out: Path, folder: Path) -> Path:
    """A folder with links to these planted files alone, under their own paths."""
    for file in planted:
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.path).symlink_to((out / "images" / file.path).resolve())
    return folder.resolve()


def _recall_rows(issue: str, files: list[Any], found: set[str]) -> Iterator[Report]:
    for kind in [*dict.fromkeys(file.kind for file in files), "ALL"]:
        hits = [file.path in found for file in files if kind in (file.kind, "ALL")]
        yield {"issue": issue, "kind": kind, "files": len(hits), "recall": sum(hits) / len(hits)}


def _pair_rows(planted: list[Any], found: list[list[str]]) -> Iterator[Report]:
    """As in cleaning.py: the pairs of a photograph and its copy, a row a kind; then all pairs of copies."""
    files = [file for file in planted if file.issue == "duplicate" or file.kind == "original"]
    paths = {file.path for file in files}
    said = {frozenset(pair) for pair in found if paths.issuperset(pair)}
    original = {file.photograph: file.path for file in files if file.kind == "original"}
    copies = [file for file in files if file.kind != "original"]
    for kind in dict.fromkeys(file.kind for file in copies):
        hits = [{file.path, original[file.photograph]} in said for file in copies if file.kind == kind]
        yield {"issue": "duplicate", "kind": kind, "files": len(hits), "recall": sum(hits) / len(hits)}
    wanted = {frozenset((a.path, b.path)) for a, b in combinations(files, 2) if a.photograph == b.photograph}
    right = len(said & wanted)
    yield {
        "issue": "duplicate",
        "kind": "ALL PAIRS",
        "files": len(wanted),
        "recall": right / len(wanted),
        "precision": right / max(1, len(said)),
    }


def _scored_rows(issue: str, planted: list[Any], issues: dict[str, dict[str, float]]) -> Iterator[Report]:
    """As in cleaning.py, whose sets hold all clean pictures each, and each planted one once."""
    import numpy as np
    from bootstrap import auc

    names = NEEDS[issue]
    score = {path: min(issues[f"{name}_score"][path] for name in names) for path in issues[f"{names[0]}_score"]}
    found = {path for path in score if any(issues[f"is_{name}_issue"][path] for name in names)}
    good, bad = ([file for file in planted if file.issue == wanted] for wanted in ("clean", issue))
    good_scores = np.array([score[file.path] for file in good], float)
    limit = np.quantile(good_scores, 0.01)
    for row in _recall_rows(issue, bad, found):
        scores = np.array([score[file.path] for file in bad if row["kind"] in (file.kind, "ALL")], float)
        one_each = np.ones((1, len(scores))), np.ones((1, len(good_scores)))
        yield (
            row
            | {
                "auc": float(auc(scores, one_each[0], good_scores, one_each[1])[0]),
                "recall_at_1pc": float((scores < limit).mean()),
            }
            | ({"precision": _precision(bad, good, found)} if row["kind"] == "ALL" else {})
        )
    for row in _recall_rows(issue, good, found):
        if row["kind"] != "ALL":
            yield row | {"kind": f"clean: {row['kind']}", "recall": None, "false_alarms": row["recall"]}


def _precision(bad: list[Any], good: list[Any], found: set[str]) -> float:
    from cleaning_score import EVERY
    from planted import EACH

    sets = EVERY * EACH[bad[0].issue]
    right = sum(file.path in found for file in bad)
    return right / max(1, right + sets * sum(file.path in found for file in good))


if __name__ == "__main__":
    main()
