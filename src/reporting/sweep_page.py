"""What a page says of a sweep, in the pieces that IPython displays."""

from __future__ import annotations

import tempfile
from html import escape
from pathlib import Path

import pandas as pd
from IPython.display import HTML
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from src.reporting import comparison_plots, html, plots, run_page, significance
from src.reporting.comparison import Comparison, readable
from src.runs import collect

GROUPS, JOBS = 25, 500  # as many are listed


def headline(sweep: Path, runs: pd.DataFrame) -> HTML:
    """The title, and how the jobs ended."""
    ended = ", ".join(f"{count} {status}" for status, count in runs["status"].value_counts().items())
    title = " and ".join(runs["data"].dropna().unique()) or sweep.name
    total = runs["seconds.total"].sum()
    spent = f"{total:,.0f} s" if total < 6000 else f"{total / 3600:.1f} h"
    return HTML(f"<h1>{escape(title)}: {len(runs)} runs</h1><p>{escape(sweep.name)}: {escape(ended)}; {spent} in all.</p>")


def summary(comparisons: list[Comparison]) -> HTML:
    """The groups of each data set side by side, and whether the best two differ."""
    parts = []
    for one in comparisons:
        verdict = significance.best_two(one)
        said = [f"<p>{escape(text)}.</p>" for text in [*one.notes, *([verdict] if verdict else [])]]
        if len(one.groups) > GROUPS:
            said.insert(0, f"<p>The first {GROUPS} of {len(one.groups)} groups; every run stands below.</p>")
        title = f"<h3>{escape(one.data)}, test {escape(one.metric)}</h3>"
        parts += [title, html.table(readable(one).head(GROUPS)), *said]
    return HTML("".join(parts) or "<p>None of the runs was tested.</p>")


def pictures(comparisons: list[Comparison]) -> HTML:
    """Forests, and learning curves over one another."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for one in comparisons:
            found += [html.image(path) for path in comparison_plots.draw(one, Path(folder))]
    return HTML("".join(found) or "<p>There are none.</p>")


def differed(runs: pd.DataFrame) -> HTML:
    """The keys that were not the same in all runs, with their values."""
    rows = []
    for key, values in given(runs).items():
        if str(key).startswith(collect.NEUTRAL) and "seed" not in str(key):
            continue
        told = values.value_counts(sort=False)
        few = ", ".join(f"{value} ({count})" for value, count in told.items()) if len(told) <= 20 else f"{len(told)} values"
        rows.append({"key": key, "values (runs)": few})
    return HTML(html.table(pd.DataFrame(rows)) if rows else "<p>Nothing.</p>")


def given(runs: pd.DataFrame) -> pd.DataFrame:
    """A column for each key in which the runs differ."""
    keys = {key for own in runs["settings"] for key in own}
    table = {key: [own.get(key, "default") for own in runs["settings"]] for key in sorted(keys)}
    return pd.DataFrame({key: values for key, values in table.items() if len(set(values)) > 1}, runs.index)


def by_key(comparisons: list[Comparison]) -> Figure | HTML:
    """How much a test metric depends on each key alone: a dot per run."""
    panels = [
        (one, key, values)
        for one in comparisons
        for key, values in given(one.runs).items()
        if not str(key).startswith(collect.NEUTRAL) and values.nunique() < min(len(values), 20)
    ]
    if not panels:
        return HTML("<p>No key has several runs for each of its values.</p>")
    heights = [0.7 + 0.3 * values.nunique() for *_, values in panels]
    size = (8, max(1.8, sum(heights)))
    drawn, axes = plt.subplots(len(panels), 1, figsize=size, height_ratios=heights, layout="constrained", squeeze=False)
    for ax, (one, key, values) in zip(axes.flat, panels, strict=True):
        name = f"test {one.metric} on {one.data}"
        plots.spread(one.runs.assign(**{key: values, name: one.runs[f"test.{one.metric}"]}), ax, name, by=str(key))
    plt.close(drawn)
    return drawn


def failed(runs: pd.DataFrame) -> HTML:
    """The runs that do not count, and why."""
    bad = runs[runs["reason"] != ""]
    rows = [
        {"run": Path(run).name, "reason": reason, "set on the command line": " ".join(f"{k}={v}" for k, v in own.items())}
        for run, reason, own in zip(bad["run"], bad["reason"], bad["settings"], strict=True)
    ]
    return HTML(html.table(pd.DataFrame(rows)) if rows else "<p>All runs came to their end and were tested.</p>")


def jobs(runs: pd.DataFrame, comparisons: list[Comparison]) -> HTML:
    """Every run that counts, with what sets it apart."""
    parts = []
    for one in comparisons:
        metric = one.metric
        table = given(one.runs).assign(
            **{
                f"test {metric}": one.runs[f"test.{metric}"].map(run_page.told),
                "best monitored": one.runs["monitored"].map(run_page.told),
                "seconds": one.runs["seconds.total"].map("{:.1f}".format),
                "status": one.runs["status"],
                "run": [Path(run).name for run in one.runs["run"]],
            }
        )
        more = f"<p>and {len(table) - JOBS} more</p>" if len(table) > JOBS else ""
        listed = f"{html.table(table.head(JOBS))}{more}"
        parts.append(f"<details><summary>{escape(one.data)}: {len(table)} runs</summary>{listed}</details>")
    return HTML("".join(parts))


def environment(runs: pd.DataFrame) -> HTML:
    """With what the runs were made."""
    return run_page.environment(*(Path(run) for run in runs.loc[runs["status"] != "unreadable", "run"]))
