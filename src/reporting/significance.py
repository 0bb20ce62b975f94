"""Significance of the difference between two groups of runs: paired over seeds or folds, and paired over test rows."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from src.config.schema import trains
from src.errors import UserError
from src.reporting.collect import REPEATS
from src.reporting.comparison import Comparison
from src.reporting.tables import figure, signed
from src.runs import history, result

RESAMPLES = 1000
CELLS = 2_000_000  # of a table of counts that is in memory at once
MOST_SEEDS = 10  # of which the predictions are read
FEW = 5  # seeds below which a t-test sees only large differences
SEEDS = 5  # suggested where there are too few
# Overrides that a suggested command leaves out, because they belong to one run.
OWN = ("seed=", "hydra.", "sweep=", "resume=", "data.fold=")

# From how often each row counts (resamples, rows) to the metric of each resample (resamples,).
Scorer = Callable[[np.ndarray], np.ndarray]


class Interval(NamedTuple):
    """A 95 % interval of a difference, and its source."""

    low: float
    high: float
    source: str

    def __str__(self) -> str:
        return f"[{figure(self.low)}, {figure(self.high)}] {self.source}"


class Difference(NamedTuple):
    """First minus second of two groups.

    Attributes:
        mean: Mean over the seeds, or the folds, that both have.
        seeds: Number of these.
        intervals: Intervals over seeds or folds and over test rows, as far as they could be computed.
        missing: Reasons for each interval that could not be computed.
    """

    mean: float
    seeds: int
    intervals: list[Interval]
    missing: list[str]


class UnpairedError(UserError):
    """Two groups have nothing that could be paired."""


def best_two(comparison: Comparison) -> str | None:
    """Return a verdict on the best two groups: do they differ in the test metric? None if there are not two, or no order.

    The two are chosen by validation. The interval over seeds comes from a paired t-test, for given test rows. The interval
    over test rows comes from a paired bootstrap of the mean over seeds, for given networks and independent rows: in a time
    series they are not quite independent, so there the interval is slightly too short. Folds are compared by the corrected
    t-test alone (see :func:`difference`): between them the test rows differ, and with them the networks.

    A verdict needs two common seeds, because one may be lucky, or two baselines, which no seed changes.
    """
    honest = comparison.groups[comparison.groups["honest"]]
    ranked = honest if len(honest) > 1 else comparison.groups
    if len(ranked) < 2 or not comparison.ranking:
        return None
    names = list(ranked.index[:2])
    tested = "" if ranked["honest"].iloc[1] or not ranked["honest"].iloc[0] else ", which validated on the test rows"
    chosen = f"The best two by {comparison.ranking}: {names[0]}, and {names[1]}{tested}"
    first, second = (comparison.runs[comparison.runs["group"] == name] for name in names)
    try:
        found = difference(first, second, comparison.metric)
    except UnpairedError as error:
        return f"{chosen}. It is unknown whether they differ: {error}"
    details = "; ".join([*map(str, found.intervals), *found.missing])
    if not found.intervals:
        text = f"{chosen}. It is unknown whether they differ: {details}"
    else:
        text = f"{chosen}. Test {comparison.metric} differs by {signed(found.mean)}, 95 % interval {details}"
    if found.seeds < 2 and not (deterministic(first) and deterministic(second)):
        return f"{text}. One seed is not enough for a verdict; {more_seeds(first, second)}"
    if not found.intervals:
        return text
    if any(interval.low <= 0 <= interval.high for interval in found.intervals):
        return f"{text}: they are not shown to differ"
    higher = history.higher_is_better(comparison.runs, comparison.metric)
    better = "" if higher is None else f", {names[0] if (found.mean > 0) == higher else names[1]} is better"
    return f"{text}: they differ{better}"


def deterministic(runs: pd.DataFrame) -> bool:
    """Return True for runs of a baseline: without a training loop, no seed changes their results."""
    try:
        return not trains(result.stored(Path(runs["run"].iloc[0])).model)
    except UserError:
        return False


def more_seeds(first: pd.DataFrame, second: pd.DataFrame) -> str:
    """Suggest commands that give both groups the same seeds, at least two, or the same folds."""
    if pd.concat([first, second])["fold"].notna().any():
        return "run both with sweep=folds and the same data.folds, data.repeats and seed"
    seeds = {int(seed) for runs in (first, second) for seed in runs["seed"].dropna()}
    wanted = sorted(seeds if len(seeds) > 1 else seeds | set(range(SEEDS)))
    commands = []
    for runs in (first, second):
        if set(wanted) - set(runs["seed"]):
            overrides = result.overrides(runs["run"].iloc[0])
            own = [override for override in overrides if not override.lstrip("+~").startswith(OWN)]
            commands.append(shlex.join(["python", "-m", "src.train", "-m", *own, f"seed={','.join(map(str, wanted))}"]))
    return f"run {' and '.join(commands or ['both with the same seeds'])}"


def difference(first: pd.DataFrame, second: pd.DataFrame, metric: str) -> Difference:
    """Compare two groups of runs in a test metric, seed by seed or fold by fold.

    The training rows of folds overlap, so that their differences vary together and a plain t-test sees too much. The
    corrected one takes the variance of the mean as (1 / folds + test rows / training rows) times that of the differences
    (Nadeau and Bengio, 2003; Bouckaert and Frank, 2004, for repeated folds). Seeds of one fold enter as their mean.

    Raises:
        UnpairedError: No seed or no test row is common to both, or a group has several runs of one seed.
    """
    for runs in (first, second):
        if runs.duplicated(REPEATS).any():
            raise UnpairedError(f"{runs['group'].iloc[0]} has several runs of one seed, which differ in something else")
    needed = [*REPEATS, "run", f"test.{metric}"]
    both = first.merge(second[needed], on=REPEATS, suffixes=("_1", "_2"))
    if both.empty:
        raise UnpairedError(f"they have no seed in common; {more_seeds(first, second)}")
    by_seed = both[f"test.{metric}_1"] - both[f"test.{metric}_2"]
    folds, overlap, test = both["fold"].notna().all(), 0.0, "paired t-test"
    if folds:
        by_seed, test = by_seed.groupby([both["split_seed"], both["fold"]], dropna=False).mean(), "corrected paired t-test"
        overlap = float((both["rows.test"] / (both["rows.train"] + both["rows.val"])).mean())
    count, mean, unit = len(by_seed), float(by_seed.mean()), "folds" if folds else "seeds"
    intervals, missing = [], []
    if count == 1:
        missing.append(f"no interval over {unit}, because there is one")
    elif by_seed.std() > 1e-9 * by_seed.abs().max():  # beyond rounding
        from scipy.stats import t  # takes a second to import

        distribution = t(count - 1, mean, by_seed.std() * (1 / count + overlap) ** 0.5)
        few, p = ", few" if count < FEW else "", 2 * min(distribution.cdf(0), distribution.sf(0))
        low, high = distribution.interval(0.95)
        intervals.append(Interval(low, high, f"over {count} {unit}{few} ({test}, p = {p:.2g})"))
    else:
        missing.append(f"no spread over {unit}")
    if folds:
        return Difference(mean, count, intervals, missing)
    try:
        pairs = [paired(pair, metric) for pair in both.head(MOST_SEEDS).to_dict("records")]
        low, high = np.nanpercentile(differences(pairs, RESAMPLES), [2.5, 97.5])
        seeds_read = f"{len(pairs)} seeds" if len(pairs) > 1 else "one seed"
        rows = min(pair.rows for pair in pairs)
        intervals.append(Interval(low, high, f"over {rows:,} test rows (paired bootstrap of {seeds_read})"))
    except UnpairedError:
        raise
    except UserError as error:
        missing.append(f"no bootstrap over test rows: {error}")
    return Difference(mean, count, intervals, missing)


class Pair(NamedTuple):
    """Two runs of one seed, each as its metric on weighted test rows."""

    first: Scorer
    second: Scorer
    rows: int


def paired(pair: dict[str, Any], metric: str) -> Pair:
    """Read the predictions of two runs of one seed.

    Raises:
        UnpairedError: Their test rows or targets differ.
        UserError: There are no predictions, or the metric cannot be computed from them.
    """
    tables = [history.predictions(pair[f"run_{number}"]) for number in (1, 2)]
    targets = [table.filter(regex=r"^actual").astype(str) for table in tables]
    if not targets[0].equals(targets[1]):
        raise UnpairedError("they were tested on different rows")
    scorers = []
    for number, table in enumerate(tables, 1):
        logged, once = pair[f"test.{metric}_{number}"], np.ones((1, len(table)))
        # a metric of several steps per row or in other units is not the logged one, and must not be resampled
        fitting = [one for one in candidates(metric, table) if np.isclose(one(once)[0], logged, rtol=1e-3, atol=1e-4)]
        if not fitting:
            raise UserError(f"{metric} cannot be computed from predictions.csv")
        scorers.append(fitting[0])
    return Pair(scorers[0], scorers[1], len(tables[0]))


def differences(pairs: list[Pair], resamples: int, seed: int = 0) -> np.ndarray:
    """First minus second, mean over pairs, by resample (resamples,). Pairs with equally many rows share resamples."""
    total = np.zeros(resamples)
    for rows in {pair.rows for pair in pairs}:
        same = [pair for pair in pairs if pair.rows == rows]
        total += np.concatenate(
            [sum(pair.first(counts) - pair.second(counts) for pair in same) for counts in draws(rows, resamples, seed)]
        )
    return total / len(pairs)


def draws(rows: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Draw as many rows as there are, with replacement: yields how often each row counts (some resamples, rows)."""
    random = np.random.default_rng(seed)
    step = max(1, CELLS // rows)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = random.integers(0, rows, (size, rows)) + np.arange(size)[:, None] * rows
        yield np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows).astype(float)


def candidates(metric: str, predictions: pd.DataFrame) -> list[Scorer]:
    """Return a metric of a table of predictions as functions of the rows' counts; none for a metric without one.

    Accuracy has two: earlier versions measured it at a probability of 0.5, whatever threshold made the predictions.
    """
    classes = [str(name).removeprefix("probability_") for name in predictions if str(name).startswith("probability_")]
    if "actual" not in predictions or "prediction" not in predictions:
        return []
    scorers = []
    if classes and metric == "accuracy":
        correct = predictions["actual"].astype(str) == predictions["prediction"].astype(str)
        scorers.append(mean(correct.to_numpy()))
    if len(classes) == 2 and metric in ("accuracy", "roc_auc", "pr_auc"):
        actual = (predictions["actual"].astype(str) == classes[1]).to_numpy()
        probability = predictions[f"probability_{classes[1]}"].to_numpy()
        scorers.append(mean((probability > 0.5) == actual) if metric == "accuracy" else area(metric, actual, probability))
    if not classes and pd.api.types.is_numeric_dtype(predictions["prediction"]):
        scorers += regression(metric, predictions["actual"].to_numpy(float), predictions["prediction"].to_numpy(float))
    return scorers


def mean(values: np.ndarray) -> Scorer:
    return lambda counts: counts @ values / counts.sum(1)


def regression(metric: str, actual: np.ndarray, prediction: np.ndarray) -> list[Scorer]:
    """Return a metric that is made of means over rows; none for any other."""
    squares, centred = mean((prediction - actual) ** 2), actual - actual.mean()
    offset, variance = mean(centred), mean(centred**2)
    scorers: dict[str, Scorer] = {
        "mae": mean(np.abs(prediction - actual)),
        "mse": squares,
        "rmse": lambda counts: np.sqrt(squares(counts)),
        "r2": lambda counts: 1 - squares(counts) / (variance(counts) - offset(counts) ** 2),
    }
    return [scorers[metric]] if metric in scorers else []


def area(metric: str, actual: np.ndarray, score: np.ndarray) -> Scorer:
    """Area under the ROC curve (ties count half), or average precision; NaN where a resample has one class only."""
    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=np.inf))  # of equal scores
    positive = actual[order]

    def measure(counts: np.ndarray) -> np.ndarray:
        # rows of each class with each score, and down to it: (resamples, scores)
        hits, misses = (np.add.reduceat(counts[:, order] * which, starts, axis=1) for which in (positive, ~positive))
        true, false = hits.cumsum(1), misses.cumsum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            if metric == "roc_auc":
                below = false[:, -1:] - false + misses / 2  # rows of the other class that are ranked below
                return (hits * below).sum(1) / true[:, -1] / false[:, -1]
            precision = np.where(true + false > 0, true / (true + false), 0)
            return (hits * precision).sum(1) / true[:, -1]

    return measure
