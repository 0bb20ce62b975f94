"""Runs side by side: one row for each group of runs, and one table for each data set and metric."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pandas as pd

from src.errors import UserError, nearest
from src.reporting.collect import CHOICES, REPEATS, aggregate, changed, counted
from src.reporting.tables import pm, signed
from src.runs import history

HIDDEN = ("run", "error", "settings", "weights", "reason", "repeated", "experiment")  # columns of runs without use for --by
SEVERAL = "several"  # in place of a monitor where the runs of a group have different ones


class Comparison(NamedTuple):
    """The runs of one data set that were tested by one metric.

    Attributes:
        data: Name of the data set.
        metric: Metric of the table, without the prefix of its split.
        keys: Columns of ``groups`` by which the runs were grouped.
        groups: One row per group, best first; the index names each group by what differs. Besides the keys: ``runs`` and
            ``seeds`` (counts), ``honest``, ``mean``, ``sd``, ``documented`` and ``difference`` of the test metric,
            ``validation`` (the same metric on the validation split), ``monitor`` and ``monitored`` (name and best value),
            ``parameters_min``, ``parameters_max``, ``seconds`` and ``differing`` (keys that differ inside the group).
        metrics: One row per group and test metric: ``group``, ``metric``, ``mean``, ``sd``, ``count``, ``documented``,
            ``difference``. The metric of the table comes first.
        runs: Runs that count, with the name of each run's group in the column ``group``.
        ranking: Value that orders the groups, in words; empty if nothing does.
        notes: Remarks that a reader of the table needs.
    """

    data: str
    metric: str
    keys: list[str]
    groups: pd.DataFrame
    metrics: pd.DataFrame
    runs: pd.DataFrame
    ranking: str
    notes: list[str]


def compare(runs: pd.DataFrame, by: list[str] | None = None, metric: str | None = None) -> list[Comparison]:
    """Group runs, and compare the groups of each data set. Different data sets and different metrics are never pooled.

    Args:
        runs: Runs from :func:`src.reporting.collect.collect`.
        by: Columns of ``runs`` or keys of overrides; runs that agree in all of them form a group. None groups the runs of
            one experiment, which differ only in their seeds.
        metric: Metric of every table; None takes a documented one, or the usual one of the task.

    Raises:
        UserError: A key or the metric is unknown.
    """
    names = list(dict.fromkeys(["data", *(CHOICES if by is None else by)]))
    keys = pd.DataFrame({name: key_column(runs, name) for name in names})
    tested = tested_metrics(runs)
    if metric is not None and metric not in tested:
        hint = nearest(metric, tested) if tested else "nor by any other metric"
        raise UserError(f"--metric {metric}: no run has been tested by it; {hint}")
    comparisons = []
    compared = runs[counted(runs)]
    for data, rest in compared.groupby(list(map(subject, compared["data"], compared["settings"])), sort=True):
        while len(rest) and (name := headline(rest, metric)):
            part = rest[rest[f"test.{name}"].notna()]
            own = keys.loc[part.index]
            if by is None and (settings := differences(part)).any():
                own = own.assign(settings=settings)
            comparisons.append(side_by_side(str(data), name, part, own))
            rest = rest.drop(part.index)
    return comparisons


def subject(data: str, settings: dict[str, str]) -> str:
    """Return the name of a data set, with the file and the target that a run sets."""
    return " ".join([str(data), *(settings[key] for key in ("data.path", "data.target") if key in settings)])


def key_column(runs: pd.DataFrame, key: str) -> pd.Series:
    """Return a column of ``runs``, or the values of an override, ``default`` where a run does not set it.

    Raises:
        UserError: There is neither.
    """
    if key in runs and key not in HIDDEN:
        return runs[key].astype(object).where(runs[key].notna(), "-")
    if any(key in settings for settings in runs["settings"]):
        return pd.Series([settings.get(key, "default") for settings in runs["settings"]], runs.index, dtype=object)
    columns = [name for name in runs if "." not in name and name not in HIDDEN]
    choices = [*columns, *sorted({name for settings in runs["settings"] for name in changed(settings)})]
    hint = nearest(key, choices)
    if not hint.startswith("did"):
        hint = f"choose from: {', '.join(choices[:30])}{' and more' if len(choices) > 30 else ''}"
    raise UserError(f"--by {key}: these runs have no such column, and none sets that key; {hint}")


def tested_metrics(runs: pd.DataFrame) -> list[str]:
    """Return the metrics by which any of the runs has been tested."""
    columns = [name for name in runs if name.startswith("test.") and runs[name].notna().any()]
    return [name.removeprefix("test.") for name in columns]


def headline(runs: pd.DataFrame, metric: str | None) -> str | None:
    """Choose the metric of a table: the wanted one, or a documented one, or the usual one of the task."""
    tested = tested_metrics(runs)
    documented = [name for name in tested if f"documented.{name}" in runs and runs[f"documented.{name}"].notna().any()]
    usual = ["r2", "roc_auc" if "pr_auc" in tested else "accuracy", "mae", *tested]  # pr_auc: a task of two classes
    return next((name for name in ([metric] if metric else [*documented, *usual]) if name in tested), None)


def side_by_side(data: str, metric: str, runs: pd.DataFrame, keys: pd.DataFrame) -> Comparison:
    """Compare the groups of runs that agree in all columns of ``keys``."""
    added = {"group": labels(keys), "validation": validation(runs, metric), "monitored": monitored(runs)}
    runs = pd.concat([runs, pd.DataFrame(added)], axis=1)
    others = [name for name in tested_metrics(runs) if name != metric]
    metrics = pd.concat([metric_by_group(runs, name) for name in (metric, *others)], ignore_index=True)
    own = metrics[metrics["metric"] == metric].set_index("group")
    first = keys.groupby(runs["group"], sort=False).first()
    groups = pd.concat([first, describe(runs, list(keys)), own[["mean", "sd", "documented", "difference"]]], axis=1)
    column, ranking, higher = rank(groups, runs, metric)
    position = groups[column] * (-1 if higher else 1)
    groups = groups.assign(position=position).sort_values(["honest", "position"], ascending=[False, True], kind="stable")
    groups = groups.drop(columns="position")
    return Comparison(data, metric, list(keys), groups, metrics, runs, ranking, list(notes(groups, ranking)))


def labels(keys: pd.DataFrame) -> pd.Series:
    """Name the group of each run by the keys that differ."""
    names = [name for name in keys if name != "data"] or ["data"]
    differing = [name for name in names if keys[name].nunique() > 1] or names
    return keys[differing].astype(str).agg(" ".join, axis=1).str.strip().replace("", "default settings")


def validation(runs: pd.DataFrame, metric: str) -> pd.Series:
    """Return the validation value of a metric, for the weights that were tested."""
    missing = pd.Series(float("nan"), runs.index)
    best, last = (runs.get(f"{epoch}.val/{metric}", missing) for epoch in ("best", "last"))
    return last.where(runs["weights"] == "last", best)


def monitored(runs: pd.DataFrame) -> pd.Series:
    """Return the best value of each run's monitored metric."""
    values = [runs[f"best.{name}"][run] if f"best.{name}" in runs else math.nan for run, name in runs["monitor"].items()]
    return pd.Series(values, runs.index, dtype=float)


def metric_by_group(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Aggregate a test metric by group, beside the documented figure where the runs of a group agree on one."""
    spread = aggregate(runs[f"test.{metric}"], runs["group"])
    column = f"documented.{metric}"
    documented = runs[column] if column in runs else pd.Series(float("nan"), runs.index)
    sources = documented.groupby(runs["group"], sort=False)
    spread["documented"] = sources.first().where(sources.nunique() == 1)
    spread["difference"] = spread["mean"] - spread["documented"]
    return spread[spread["count"] > 0].rename_axis("group").reset_index().assign(metric=metric)


def describe(runs: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Describe each group of runs in one row; see :class:`Comparison`."""
    groups = runs.groupby("group", sort=False)
    table = groups.agg(
        runs=("run", "size"),
        honest=("honest", "all"),
        validation=("validation", "mean"),
        monitor=("monitor", lambda names: names.iloc[0] if names.nunique() == 1 else SEVERAL),
        monitored=("monitored", "mean"),
        parameters_min=("parameters", "min"),
        parameters_max=("parameters", "max"),
        seconds=("seconds.total", "mean"),
    )
    table["monitored"] = table["monitored"].where(table["monitor"] != SEVERAL)
    table.insert(1, "seeds", runs[["group", *REPEATS]].drop_duplicates().groupby("group").size())
    table["differing"] = [
        [key for key in changed(dict.fromkeys(varied(group), "")) if key not in keys] for _, group in groups
    ]
    return table


def rank(groups: pd.DataFrame, runs: pd.DataFrame, metric: str) -> tuple[str, str, bool]:
    """Return the column that orders the groups, its description, and True if higher values are better.

    The column is never a test value: a winner chosen by its test value is partly a winner by chance. The metric of the
    table comes before the monitored loss, whose weights, smoothing and scaling differ between networks. A metric without a
    better direction ranks nothing.
    """
    own = groups["monitor"].nunique() == 1 and groups["monitor"].iloc[0] != SEVERAL
    validated = groups["validation"].notna()
    higher = history.higher_is_better(runs, metric)
    if higher is not None and (validated.all() or (validated.sum() > 1 and not own)):
        return "validation", f"validation {metric}", higher
    if own:
        monitor = groups["monitor"].iloc[0]
        return "monitored", f"best {monitor}", bool(history.higher_is_better(runs, monitor))
    return "validation", "", bool(higher)


def notes(groups: pd.DataFrame, ranking: str) -> Iterator[str]:
    """Yield the remarks that a reader of a table needs."""
    if not ranking:
        yield "Not ranked: the groups have no validation value in common"
    elif not groups["honest"].any():
        yield "These runs validated on the test rows, or scaled by them, so their order was chosen by the test"
    elif not groups["honest"].all():
        yield f"Ranked by mean {ranking}; below them runs that validated on the test rows, or scaled by them"
    if mixed := sorted({key for differing in groups["differing"] for key in differing}):
        yield f"* The runs of a line differ in more than their seeds, and ± includes that: {', '.join(mixed)}"


def differences(runs: pd.DataFrame) -> pd.Series:
    """Describe each run by its settings that not all of the runs have, with short keys where these are unambiguous."""
    names = short(sorted(changed(dict.fromkeys(varied(runs), ""))))
    texts = [
        " ".join(f"{name}={settings[key]}" for key, name in names.items() if key in settings)
        for settings in runs["settings"]
    ]
    fingerprints = runs["experiment"].str.extract(r"( fingerprint=\w+)$")[0].fillna("")
    return (pd.Series(texts, runs.index, dtype=str) + fingerprints).str.strip()


def short(keys: Iterable[str]) -> dict[str, str]:
    """Return the last part of each key, or the whole key where two keys have the same one."""
    last = {key: re.sub(r".*\.(?=[^._])|.*\.(?=[^.]+\._)", "", key) for key in keys}  # _target_ alone has no meaning
    names = list(last.values())
    return {key: name if names.count(name) == 1 else key for key, name in last.items()}


def varied(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a column for each override in which the runs differ, ``default`` where a run does not set it."""
    keys = dict.fromkeys(key for settings in runs["settings"] for key in settings)
    columns = {key: [settings.get(key, "default") for settings in runs["settings"]] for key in keys}
    return pd.DataFrame({key: values for key, values in columns.items() if len(set(values)) > 1}, runs.index)


def readable(comparison: Comparison) -> pd.DataFrame:
    """Return a table of texts: a column for each key, and one for each figure that any group has."""
    groups, metric = comparison.groups, comparison.metric
    shown = {key: groups[key].astype(str) for key in comparison.keys if key != "data" or len(comparison.keys) == 1}
    seeds = groups["seeds"].map(" ({} seeds)".format).where(groups["seeds"] != groups["runs"], "")
    figures = {"runs": groups["runs"].astype(str) + groups["differing"].map(lambda keys: "*" if keys else "") + seeds}
    figures[metric] = pd.Series(map(pm, groups["mean"], groups["sd"]), groups.index)
    figures[f"val/{metric}"] = groups["validation"].map(pm)
    monitors = groups["monitor"].unique()
    monitor = monitors[0] if len(monitors) == 1 else SEVERAL
    if monitor != f"val/{metric}":
        figures["best monitored" if monitor == SEVERAL else f"best {monitor}"] = groups["monitored"].map(pm)
    lowest, highest = (groups[f"parameters_{end}"].map("{:,.0f}".format) for end in ("min", "max"))
    figures["parameters"] = lowest.where(lowest == highest, lowest + "-" + highest).replace("nan", "")
    figures["seconds"] = groups["seconds"].map("{:,.1f}".format).replace("nan", "")
    figures["documented"] = groups["documented"].map(pm)
    figures["difference"] = groups["difference"].map(signed)
    table = pd.DataFrame(shown | {name: texts for name, texts in figures.items() if texts.ne("").any()})
    return table.set_axis(pd.RangeIndex(1, len(table) + 1))


def every_metric(comparison: Comparison) -> pd.DataFrame:
    """Return the test metrics of each group as texts, one column per metric."""
    metrics = comparison.metrics
    texts = metrics.assign(text=list(map(pm, metrics["mean"], metrics["sd"])))
    table = texts.pivot(index="group", columns="metric", values="text").fillna("")
    return table.loc[comparison.groups.index, metrics["metric"].unique()].rename_axis(index=None, columns=None)


def table(comparisons: list[Comparison]) -> pd.DataFrame:
    """Return all groups of all comparisons with every test metric, indexed by data set: the content of the CSV file."""
    parts = []
    for one in comparisons:
        groups = one.groups.drop(columns=["mean", "sd", "documented", "difference"])
        groups["differing"] = groups["differing"].map(" ".join)
        figures = {}
        for metric, values in one.metrics.groupby("metric", sort=False):
            for name in ("mean", "sd", "documented", "difference"):
                if name in ("mean", "sd") or metric == one.metric or values[name].notna().any():
                    figures[f"{metric}_{name}"] = values.set_index("group")[name]
        parts.append(groups.join(pd.DataFrame(figures)).assign(metric=one.metric, ranking=one.ranking))
    return pd.concat(parts).set_index("data") if parts else pd.DataFrame(index=pd.Index([], name="data"))
