"""Runs side by side: one row for each group of runs, the groups of a data set in one table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from src.errors import UserError, nearest
from src.runs import history
from src.runs.collect import CHOICES, changed, differences

# Columns of runs that --by does not offer.
HIDDEN = ("run", "error", "settings", "weights", "reason", "repeated", "experiment")


class Comparison(NamedTuple):
    """The runs of one data set that were tested by one metric.

    Attributes:
        data: The data set.
        metric: Without the prefix of its split.
        groups: One row per group, best first, named by what tells it from the others.
        runs: The runs that count, with the group of each in the column ``group``.
        ranking: What the order of the groups comes from.
        notes: What a reader of the table must know.
    """

    data: str
    metric: str
    groups: pd.DataFrame
    runs: pd.DataFrame
    ranking: str
    notes: list[str]


def column(runs: pd.DataFrame, key: str) -> pd.Series:
    """What the runs have by a column's name, or have set by an override's; ``default`` where a run has left it alone.

    Raises:
        UserError: It is neither.
    """
    if key in runs and key not in HIDDEN:
        return runs[key].astype(object).where(runs[key].notna(), "-")
    if any(key in own for own in runs["settings"]):
        return pd.Series([own.get(key, "default") for own in runs["settings"]], runs.index, dtype=object)
    dotted = sorted({name for own in runs["settings"] for name in changed(own)})
    plain = [name for name in runs if "." not in name and name not in HIDDEN]
    known = [*plain, *dotted]
    hint = nearest(key, known)
    if not hint.startswith("did"):
        hint = f"there are {', '.join(known[:30])}{' and more' if len(known) > 30 else ''}"
    raise UserError(f"--by {key}: these runs have no such column, nor has any set that key; {hint}")


def compare(runs: pd.DataFrame, by: list[str] | None = None, metric: str | None = None) -> list[Comparison]:
    """Groups what :func:`src.runs.collect.collect` has found.

    Runs on different data sets are never pooled, nor are different metrics.

    Args:
        runs: From :func:`src.runs.collect.collect`.
        by: Columns of ``runs`` or keys of overrides; runs that agree in all of them form a group. None groups what differs
            in nothing but its seeds.
        metric: Heads every table; None takes a documented one, or what is usual for the task.

    Raises:
        UserError: A key or the metric is unknown.
    """
    keys = list(dict.fromkeys(["data", *(CHOICES if by is None else by)]))
    values = {key: column(runs, key) for key in keys}
    known = metrics(runs)
    if metric is not None and metric not in known:
        hint = nearest(metric, known) if known else "nor by any other"
        raise UserError(f"--metric {metric}: no run has been tested by it; {hint}")
    counted = runs[(runs["reason"] == "") & ~runs["repeated"]]
    found = []
    for data, left in counted.groupby("data", sort=True):
        while len(left) and (name := headline(left, metric)):
            ours = left[left[f"test.{name}"].notna()]
            shown = pd.DataFrame({key: values[key].loc[ours.index] for key in keys})
            if by is None and (own := differences(ours)).any():
                shown["settings"] = own
            found.append(side_by_side(str(data), name, ours, shown))
            left = left.drop(ours.index)
    return found


def metrics(runs: pd.DataFrame) -> list[str]:
    """By what any of the runs has been tested."""
    tested = [name for name in runs if name.startswith("test.") and runs[name].notna().any()]
    return [name.removeprefix("test.") for name in tested]


def headline(runs: pd.DataFrame, metric: str | None) -> str | None:
    """The metric for a table of these runs: the wanted one, or a documented one, or what is usual for its task."""
    known = metrics(runs)
    documented = [name for name in known if f"documented.{name}" in runs and runs[f"documented.{name}"].notna().any()]
    usual = ["r2", "roc_auc" if "pr_auc" in known else "accuracy", "mae", *known]  # pr_auc has the task of two classes
    wanted = [metric] if metric else [*documented, *usual]
    return next((name for name in wanted if name in known), None)


def side_by_side(data: str, metric: str, runs: pd.DataFrame, keys: pd.DataFrame) -> Comparison:
    """One table: a row for each group of runs that agree in all ``keys``."""
    plain = [key for key in keys if key != "data"] or ["data"]
    told = [key for key in plain if keys[key].nunique() > 1] or plain
    label = keys[told].astype(str).agg(" ".join, axis=1).str.strip().replace("", "default settings")
    best = pd.Series(float("nan"), runs.index)
    for monitor in set(runs["monitor"].dropna()) & {name.removeprefix("best.") for name in runs}:
        best = best.mask(runs["monitor"] == monitor, runs[f"best.{monitor}"])
    runs = pd.concat([runs, label.rename("group"), best.rename("monitored")], axis=1)
    rows = []
    for _, group in runs.groupby("group", sort=False):
        settings = pd.DataFrame([changed(own) for own in group["settings"]]).fillna("default")
        several = [key for key in settings if settings[key].nunique() > 1 and key not in keys]
        row = {
            **keys.loc[group.index[0]],
            "runs": len(group),
            "seeds": len(group[["seed", "split_seed"]].drop_duplicates()),
            "honest": bool(group["honest"].all()),
            "validation": validated(group, metric).mean(),
            "monitor": only(group["monitor"]),
            "monitored": group["monitored"].mean() if only(group["monitor"]) != "several" else float("nan"),
            "parameters_min": group["parameters"].min(),
            "parameters_max": group["parameters"].max(),
            "seconds": group["seconds.total"].mean(),
            "differing": several if "settings" not in keys else [],
        }
        for name in [metric, *(name for name in metrics(group) if name != metric)]:
            values = group[f"test.{name}"]
            row |= {f"{name}_mean": values.mean(), f"{name}_sd": values.std()}
            if f"documented.{name}" in group and (source := group[f"documented.{name}"].dropna().unique()).size == 1:
                row |= {f"{name}_documented": source[0], f"{name}_difference": values.mean() - source[0]}
        rows.append(row)
    groups = pd.DataFrame(rows, index=pd.Index(runs["group"].unique(), name="group"))
    for name in ("documented", "difference"):
        if f"{metric}_{name}" not in groups:
            groups[f"{metric}_{name}"] = float("nan")
    by, text, rising = ranking(groups, runs, metric)
    order = groups.assign(first=~groups["honest"], then=groups[by] * (-1 if rising else 1)).sort_values(["first", "then"])
    groups = groups.loc[order.index]
    return Comparison(data, metric, groups, runs, text, list(notes(groups, text)))


def validated(runs: pd.DataFrame, metric: str) -> pd.Series:
    """A validation metric of the weights that were tested."""
    at = {epoch: runs.get(f"{epoch}.val/{metric}", pd.Series(float("nan"), runs.index)) for epoch in ("best", "last")}
    return at["last"].where(runs["weights"] == "last", at["best"])


def only(values: pd.Series) -> str:
    """What all have in common, or that they have nothing."""
    return str(values.iloc[0]) if values.nunique() == 1 else "several"


def ranking(groups: pd.DataFrame, runs: pd.DataFrame, metric: str) -> tuple[str, str, bool]:
    """Return the column that orders the groups, its description, and whether higher values are better.

    Never a test value: a winner chosen by its test value has been lucky. The metric of the table comes before the monitored
    loss, which weights, smoothing and scaling make another one for each network. A metric without a better direction ranks
    nothing.
    """
    own = groups["monitor"].nunique() == 1 and groups["monitor"].iloc[0] != "several"
    validated = groups["validation"].notna()
    higher = history.higher_is_better(runs, metric)
    if higher is not None and (validated.all() or (validated.sum() > 1 and not own)):
        return "validation", f"validation {metric}", higher
    if own:
        monitor = groups["monitor"].iloc[0]
        return "monitored", f"best {monitor}", bool(history.higher_is_better(runs, monitor))
    return "validation", "", bool(higher)


def notes(groups: pd.DataFrame, ranked: str) -> Iterator[str]:
    """What a reader of a table must know."""
    if not ranked:
        yield "Not ranked: the groups have no validation value in common"
    elif not groups["honest"].all() and groups["honest"].any():
        yield f"Ranked by mean {ranked}; below them runs that validated on the test rows, or scaled by them"
    elif not groups["honest"].any():
        yield "These runs validated on the test rows, or scaled by them, so their order has been chosen by the test"
    if mixed := sorted({key for differing in groups["differing"] for key in differing}):
        yield f"* The runs of a line differ in more than their seeds, and ± has that in it: {', '.join(mixed)}"


def table(comparisons: list[Comparison]) -> pd.DataFrame:
    """All groups of all comparisons, with every test metric: what the CSV file has."""
    parts = [one.groups.assign(metric=one.metric, ranking=one.ranking) for one in comparisons]
    whole = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"data": []})
    if "differing" in whole:
        whole["differing"] = whole["differing"].map(" ".join)
    return whole
