"""Metrics on resampled test rows, all resamples at once: a resample says how often each row counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

# From how often each row counts (resamples, rows) to the metric of each resample (resamples,).
Scorer = Callable[[np.ndarray], np.ndarray]
Pair = tuple[Scorer, Scorer, int]  # of two runs on the same rows, and how many these are

CELLS = 2_000_000  # of a table of counts that is held at once


def differences(pairs: list[Pair], resamples: int, seed: int = 0) -> np.ndarray:
    """First minus second, the mean over pairs, by resample (resamples,). Pairs with equally many rows share resamples."""
    total = np.zeros(resamples)
    for rows in {rows for *_, rows in pairs}:
        of_these = [pair for pair in pairs if pair[2] == rows]
        drawn = [
            sum((first(counts) - second(counts) for first, second, _ in of_these), np.zeros(len(counts)))
            for counts in draws(rows, resamples, seed)
        ]
        total += np.concatenate(drawn)
    return total / len(pairs)


def draws(rows: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each row counts (some resamples, rows) when as many rows are drawn with replacement."""
    random = np.random.default_rng(seed)
    step = max(1, CELLS // rows)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = random.integers(0, rows, (size, rows)) + np.arange(size)[:, None] * rows
        yield np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows).astype(float)


def scorer(metric: str, predictions: pd.DataFrame) -> Scorer | None:
    """A metric of a table of predictions, for any counts of its rows; None for a metric that is not here."""
    classes = [str(name).removeprefix("probability_") for name in predictions if str(name).startswith("probability_")]
    if "actual" not in predictions or "prediction" not in predictions:
        return None
    if len(classes) == 2 and metric in ("accuracy", "roc_auc", "pr_auc"):
        actual = (predictions["actual"].astype(str) == classes[1]).to_numpy()
        probability = predictions[f"probability_{classes[1]}"].to_numpy()
        if metric == "accuracy":
            return mean((probability > 0.5) == actual)
        return area(metric, actual, probability)
    if classes:
        right = predictions["actual"].astype(str) == predictions["prediction"].astype(str)
        return mean(right.to_numpy()) if metric == "accuracy" else None
    if not pd.api.types.is_numeric_dtype(predictions["prediction"]):
        return None
    return of_numbers(metric, predictions["actual"].to_numpy(float), predictions["prediction"].to_numpy(float))


def mean(values: np.ndarray) -> Scorer:
    return lambda counts: counts @ values / counts.sum(1)


def of_numbers(metric: str, actual: np.ndarray, prediction: np.ndarray) -> Scorer | None:
    """Metrics that are made of means over rows."""
    squares, size = mean((prediction - actual) ** 2), mean(np.abs(prediction - actual))
    middle, spread = mean(actual - actual.mean()), mean((actual - actual.mean()) ** 2)
    known: dict[str, Scorer] = {
        "mae": size,
        "mse": squares,
        "rmse": lambda counts: np.sqrt(squares(counts)),
        "r2": lambda counts: 1 - squares(counts) / (spread(counts) - middle(counts) ** 2),
    }
    return known.get(metric)


def area(metric: str, actual: np.ndarray, score: np.ndarray) -> Scorer:
    """Area under the ROC curve (ties count half), or average precision; NaN where a resample has one class only."""
    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=np.inf))  # of equal scores

    def measure(counts: np.ndarray) -> np.ndarray:
        of_class = [np.add.reduceat(counts[:, order] * which, starts, axis=1) for which in (actual[order], ~actual[order])]
        right, wrong = of_class  # (resamples, scores): how many have this score
        found, false = right.cumsum(1), wrong.cumsum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            if metric == "roc_auc":
                above = false[:, -1:] - false + wrong / 2  # of the other class, how many are ranked below
                return (right * above).sum(1) / found[:, -1] / false[:, -1]
            precision = np.where(found + false > 0, found / (found + false), 0)
            return (right * precision).sum(1) / found[:, -1]

    return measure
