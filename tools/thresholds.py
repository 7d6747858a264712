"""How good suggested thresholds are: `python tools/thresholds.py data/benchmarks/cleaning/score/workspace`.

Takes the measurements that `cleaning.py` made, of any number of workspaces, and draws data sets from them: clean
photographs (a fifth of them hard ones) and a share of planted defects. On each, the threshold that a method suggests is
scored by its F1, beside the detector's default and the best threshold that the labels would tell; `suggested` is how
often the shipped rule suggests one. `shift` moves the log-odds of all scores, as another camera or size may.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray
from planted import half_of
from scipy.ndimage import gaussian_filter1d

from recolor.cleaning.thresholds import suggest_threshold
from recolor.cleaning.thresholds.gap import log_odds
from recolor.cleaning.thresholds.survey import SCORERS

Floats = NDArray[np.float64]

SHARES = (0.0, 0.02, 0.1, 0.25)
SHIFTS = (-2.0, 0.0, 2.0)
PRIOR_MEAN, PRIOR_STD = -2.5, 2.0  # of the mixture: log-odds at which the detectors put planted outliers
PRIOR_SHARE = 0.05  # weight of that prior, as a share of the images
_ITERATIONS = 100
_LEAST_VARIANCE = 0.05  # of the bulk, for data sets of equal scores


def default(x: Floats) -> float:
    """The detectors' own 0.5."""
    return 0.0


def gap(x: Floats) -> float:
    """What is shipped; where it suggests nothing, the default stays."""
    threshold = suggest_threshold(1 / (1 + np.exp(-x)))
    return 0.0 if threshold is None else float(log_odds(np.array([threshold]))[0])


def mixture(x: Floats) -> float:
    """Greatest expected F1 of a mixture of two normal distributions, with a prior for the outliers: shipped before."""
    x = np.sort(x)
    outlier = mixture_probabilities(x)
    if outlier.sum() < 0.5:
        return 0.0
    f1 = 2 * np.cumsum(outlier) / (np.arange(1, len(x) + 1) + outlier.sum())
    last = int(np.argmax(f1))
    return float((x[last] + x[min(last + 1, len(x) - 1)]) / 2)


def mixture_probabilities(x: Floats) -> Floats:
    """Probability that each of some ascending log-odds is an outlier: float64 [images], falling."""
    weight = max(PRIOR_SHARE * len(x), 1.0)
    outlier = 1 / (1 + np.exp(x))  # the detector's own guess
    for _ in range(_ITERATIONS):
        count = outlier.sum()
        mean = (outlier @ x + weight * PRIOR_MEAN) / (count + weight)
        variance = (outlier @ (x - mean) ** 2 + weight * PRIOR_STD**2) / (count + weight)
        share = (count + 1) / (len(x) + 2)
        log_outlier = np.log(share / (1 - share)) - 0.5 * np.log(variance) - 0.5 * (x - mean) ** 2 / variance
        before, outlier = outlier, mixture_posterior(x, 1 - outlier, log_outlier)
        if np.abs(outlier - before).max() < 1e-4:
            break
    return np.asarray(np.maximum.accumulate(outlier[::-1])[::-1])


def mixture_posterior(x: Floats, bulk: Floats, log_outlier: Floats) -> Floats:
    """Returns the posterior probability of an outlier; 0 in the right half of the bulk."""
    members = x[bulk > 0.5]
    centre = float(np.median(members if len(members) else x))
    left = x < centre
    variance = float(bulk[left] @ (x[left] - centre) ** 2) / max(float(bulk[left].sum()), 1e-9)
    variance = max(variance, _LEAST_VARIANCE)
    log_bulk = -0.5 * np.log(variance) - 0.5 * (x - centre) ** 2 / variance
    return np.where(left, 1 / (1 + np.exp(np.clip(log_bulk - log_outlier, -500, 500))), 0.0)


def median_3_mad(x: Floats) -> float:
    """Three robust standard deviations under the median."""
    centre = np.median(x)
    return float(centre - 3 * 1.4826 * np.median(np.abs(x - centre)))


def otsu(x: Floats) -> float:
    """Greatest variance between two classes (Otsu 1979)."""
    counts, edges = np.histogram(x, 256)
    middles, below = (edges[1:] + edges[:-1]) / 2, np.cumsum(counts)[:-1]
    total, mass = len(x), np.cumsum(counts * middles)
    between = (mass[-1] * below / total - mass[:-1]) ** 2 / (below * (total - below))
    return float(middles[np.argmax(between)])


def minimum_error(x: Floats, reach: float = np.inf) -> float:
    """Least error of two normal distributions (Kittler and Illingworth 1986), within a reach of the default."""
    x = np.sort(x)
    first, second, count = np.cumsum(x), np.cumsum(x**2), np.arange(3, len(x) - 3)
    share = count / len(x)
    low = np.maximum(second[count - 1] / count - (first[count - 1] / count) ** 2, 0.05)
    rest = len(x) - count
    high = np.maximum((second[-1] - second[count - 1]) / rest - ((first[-1] - first[count - 1]) / rest) ** 2, 0.05)
    error = share * np.log(low / share**2) + (1 - share) * np.log(high / (1 - share) ** 2)
    between = (x[count - 1] + x[count]) / 2
    inside = np.abs(between) <= reach
    return float(between[inside][np.argmin(error[inside])]) if inside.any() else 0.0


def minimum_error_near(x: Floats) -> float:
    """The same, at most 2 away from the default."""
    return minimum_error(x, 2.0)


def valley(x: Floats) -> float:
    """First minimum of the smoothed density under its highest mode."""
    centre = np.median(x)
    width = 1.06 * min(float(np.std(x)), 1.4826 * float(np.median(np.abs(x - centre)))) * len(x) ** -0.2
    counts, edges = np.histogram(x, 256)
    density = gaussian_filter1d(counts.astype(float), max(width, 1e-3) / (edges[1] - edges[0]))
    at = int(np.argmax(density))
    while at > 0 and density[at - 1] <= density[at]:
        at -= 1
    return float(edges[at])


METHODS: dict[str, Callable[[Floats], float]] = {
    "default": default,
    "gap": gap,
    "mixture": mixture,
    "median_3_mad": median_3_mad,
    "otsu": otsu,
    "min_error": minimum_error,
    "min_error_near": minimum_error_near,
    "valley": valley,
}


def main() -> None:
    """Draws, scores, prints."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("workspaces", type=Path, nargs="+")
    words.add_argument("--half", choices=("score", "fit"), default="score")
    words.add_argument("--images", type=int, default=2000, help="of each set that is drawn")
    words.add_argument("--draws", type=int, default=20)
    given = words.parse_args()
    for path in given.workspaces:
        if not (path / "manifests" / "measurements.parquet").is_file():
            words.error(f"{path}: there are no measurements. Run `python tools/cleaning.py` first.")
    rng = np.random.default_rng(0)
    rows = [row for path in given.workspaces for row in judge(path, given.half, given.images, given.draws, rng)]
    drawn = pd.DataFrame(rows)
    columns = ["best", "suggested", *METHODS]
    with pd.option_context("display.width", 200):
        print("F1, scores as they are (share 0: of all images, how many would go)")
        print(drawn[drawn["shift"] == 0].groupby(["share", "issue", "set"])[columns].mean().round(3).to_string())
        print("F1, mean over issues and sets")
        print(drawn[drawn["share"] > 0].groupby(["shift", "share"])[columns].mean().round(3).to_string())
        print(drawn[drawn["share"] > 0].groupby("shift")[columns].mean().round(3).to_string())


def judge(workspace: Path, half: str, images: int, draws: int, rng: np.random.Generator) -> list[dict[str, object]]:
    """A row a drawn set, issue, share and shift: F1 of each method."""
    table = pq.read_table(workspace / "manifests" / "measurements.parquet")
    table = table.filter(table["reason"].is_null())
    parts = [path.split("/") for path in table["path"].to_pylist()]
    issue, kind = np.array([part[0] for part in parts]), np.array([part[1] for part in parts])
    of_half = np.array([half_of(Path(part[-1]).stem) == half for part in parts])
    easy = np.flatnonzero(of_half & (issue == "clean") & (kind == "original"))
    hard = np.flatnonzero(of_half & (issue == "clean") & (kind != "original"))
    rows = []
    for name, score in SCORERS.items():
        bad = np.flatnonzero(of_half & (issue == name))
        for share in [share for share in SHARES for _ in range(draws)]:
            planted = int(images * share)
            some_hard = (images - planted) // 5
            chosen = [rng.choice(bad, planted), rng.choice(hard, some_hard)]
            chosen.append(rng.choice(easy, images - planted - some_hard))
            x, is_bad = log_odds(score(table.take(np.concatenate(chosen)))), np.arange(images) < planted
            for shift in SHIFTS:
                about = {"set": workspace.parent.name, "issue": name, "share": share, "shift": shift}
                rows.append(about | score_methods(x + shift, is_bad))
    return rows


def score_methods(x: Floats, is_bad: NDArray[np.bool_]) -> dict[str, float]:
    """F1 of each method and of the best threshold; without outliers, the share of images that would go."""
    hits = np.cumsum(is_bad[np.argsort(x)])
    f1 = 2 * hits / (np.arange(1, len(x) + 1) + max(int(is_bad.sum()), 1))
    scores = {"best": float(f1.max()), "suggested": float(gap(x) != 0.0)}
    for name, method in METHODS.items():
        flagged = x < method(x)
        both = flagged.sum() + is_bad.sum()
        scores[name] = float(2 * (flagged & is_bad).sum() / max(both, 1) if is_bad.any() else flagged.mean())
    return scores


if __name__ == "__main__":
    main()
