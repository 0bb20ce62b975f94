"""Whether two groups of runs differ: paired over their seeds, and paired over their test rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from src.errors import UserError
from src.reporting import bootstrap
from src.reporting.comparison import Comparison
from src.reporting.tables import figure, signed
from src.runs import history

RESAMPLES = 1000
MOST_SEEDS = 10  # whose predictions are read
FEW = 5  # seeds below which a t-test sees only large differences


class Interval(NamedTuple):
    """A 95 % interval of a difference, and how it was found."""

    low: float
    high: float
    how: str

    def __str__(self) -> str:
        return f"[{figure(self.low)}, {figure(self.high)}] {self.how}"


def best_two(comparison: Comparison) -> str | None:
    """One sentence on whether the best two groups differ in the test metric; None where there are no two.

    The two are chosen by validation. The interval over seeds comes from a paired t-test, which takes the test rows as given.
    The interval over test rows comes from a paired bootstrap of the mean over seeds, which takes the trained networks as
    given, and the rows as independent: in series they are not quite, so there it is a little short.
    """
    honest = comparison.groups[comparison.groups["honest"]]
    ranked = honest if len(honest) > 1 else comparison.groups
    if len(ranked) < 2 or not comparison.ranking:
        return None
    first, second = ranked.index[:2]
    tested = "" if ranked["honest"].iloc[1] or not ranked["honest"].iloc[0] else ", which validated on the test rows"
    chosen = f"The best two by {comparison.ranking}: {first}, and {second}{tested}"
    runs = [comparison.runs[comparison.runs["group"] == name] for name in (first, second)]
    told = difference(runs[0], runs[1], comparison.metric)
    if isinstance(told, str):
        return f"{chosen}. Whether they differ cannot be said: {told}"
    mean, intervals, missing = told
    known = [*map(str, intervals), *missing]
    higher = history.higher_is_better(comparison.runs, comparison.metric)
    apart = all(interval.low > 0 or interval.high < 0 for interval in intervals)
    better = "" if higher is None else f", {first if (mean > 0) == higher else second} is better"
    verdict = f"they differ{better}" if apart else "they are not shown to differ"
    return f"{chosen}. Test {comparison.metric} differs by {signed(mean)}, 95 % interval {'; '.join(known)}: {verdict}"


def difference(first: pd.DataFrame, second: pd.DataFrame, metric: str) -> tuple[float, list[Interval], list[str]] | str:
    """First minus second, the mean over common seeds; its intervals; what is missing. Or else why there is no answer."""
    seeds = ["seed", "split_seed"]
    for runs in (first, second):
        if runs.duplicated(seeds).any():
            return f"{runs['group'].iloc[0]} has several runs of one seed, which differ in something else"
    needed = [*seeds, "run", f"test.{metric}"]
    both = first[needed].merge(second[needed], on=seeds, suffixes=("_1", "_2"))
    if both.empty:
        return "they have no seed in common"
    values = [both[f"test.{metric}_{number}"].to_numpy() for number in (1, 2)]
    apart = values[0] - values[1]
    intervals, missing = [], []
    try:
        pairs = [paired(pair, metric) for pair in both.head(MOST_SEEDS).to_dict("records")]
        drawn = bootstrap.differences(pairs, RESAMPLES)
        over = f"{len(pairs)} seeds" if len(pairs) > 1 else "one seed"
        how = f"over {min(rows for *_, rows in pairs):,} test rows (paired bootstrap of {over})"
        low, high = np.nanpercentile(drawn, [2.5, 97.5])
        intervals.append(Interval(low, high, how))
    except OtherRowsError as error:
        return str(error)
    except UserError as error:
        missing.append(f"no bootstrap over test rows: {error}")
    if len(both) > 1 and apart.std() > 1e-9 * np.abs(apart).max():
        from scipy.stats import ttest_rel  # takes a second to import

        test = ttest_rel(*values)
        few = ", few" if len(both) < FEW else ""
        how = f"over {len(both)} seeds{few} (paired t-test, p = {test.pvalue:.2g})"
        low, high = test.confidence_interval(0.95)
        intervals.insert(0, Interval(low, high, how))
    else:
        missing.append("the spread over seeds is not known from one" if len(both) == 1 else "there is no spread over seeds")
    return (float(apart.mean()), intervals, missing) if intervals else "; ".join(missing)


class OtherRowsError(UserError):
    """Two runs were tested on different rows, so that nothing about them is paired."""


def paired(pair: dict[str, Any], metric: str) -> bootstrap.Pair:
    """Two runs of one seed, each as its metric on weighted test rows.

    Raises:
        OtherRowsError: Their test rows or targets differ.
        UserError: There are no predictions, or the metric does not come out of them.
    """
    tables = [history.predictions(pair[f"run_{number}"]) for number in (1, 2)]
    targets = [table.filter(regex=r"^actual").astype(str) for table in tables]
    if not targets[0].equals(targets[1]):
        raise OtherRowsError("they were tested on different rows")
    scorers = []
    for number, table in enumerate(tables, 1):
        scorer = bootstrap.scorer(metric, table)
        logged = pair[f"test.{metric}_{number}"]
        # threshold, several steps a row, other units: what does not give the logged figure is not what was measured
        if scorer is None or not np.isclose(scorer(np.ones((1, len(table))))[0], logged, rtol=1e-3, atol=1e-4):
            raise UserError(f"{metric} does not come out of predictions.csv")
        scorers.append(scorer)
    return scorers[0], scorers[1], len(tables[0])
