"""Pictures of many runs: functions that take frames and an ``Axes``."""

from __future__ import annotations

import functools
from pathlib import Path

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from src.errors import UserError
from src.reporting import plots
from src.reporting.comparison import Comparison
from src.reporting.plots import BLUE, GREY, ORANGE
from src.runs import history

MOST = 30  # groups of a forest
LINES = 8  # learning curves of a picture
LONG = 30  # letters of a name
COLORS = colormaps["tab10"].colors  # type: ignore[attr-defined]


def learning_curves(epochs: pd.DataFrame, ax: Axes, metric: str) -> Axes:
    """A metric by epoch (columns ``group``, ``run``, ``epoch`` and the metric's): mean of each group, ± deviation as a band.

    Groups come in the order of their categories. A line ends where half of its runs have stopped; a group that has but one
    epoch, such as a baseline, is a dashed level.
    """
    for number, (name, runs) in enumerate(epochs.groupby("group", observed=True)):
        color = COLORS[number % len(COLORS)]
        by_epoch = runs.groupby("epoch")[metric].agg(["mean", "std", "size"])
        if len(by_epoch) == 1:
            ax.axhline(by_epoch["mean"].iloc[0], color=color, linestyle="--", linewidth=1, label=str(name))
            continue
        kept = by_epoch[by_epoch["size"] >= by_epoch["size"].max() / 2]
        ax.plot(kept.index, kept["mean"], color=color, linewidth=1.2, label=str(name))
        low, high = kept["mean"] - kept["std"], kept["mean"] + kept["std"]
        ax.fill_between(kept.index, low, high, color=color, alpha=0.15, linewidth=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="epoch", ylabel=metric)
    if max((len(str(name)) for name in epochs["group"].unique()), default=0) > LONG:
        ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(0, -0.12))  # long names would hide the curves
    else:
        ax.legend(fontsize=8)
    return ax


def forest(runs: pd.DataFrame, ax: Axes, metric: str, documented: pd.Series | None = None) -> Axes:
    """A metric of each group (column ``group``), the first on top: a dot per run, mean ± deviation, the documented figure.

    Args:
        runs: One row per run, groups in the order in which they are to stand.
        ax: Where to draw.
        metric: The column to draw.
        documented: Figures by group; NaN where a source has none.
    """
    groups = runs.groupby("group", sort=False, observed=True)[metric]
    names = [str(name) for name in groups.groups]
    for place, (_, values) in enumerate(groups):
        ax.plot(values, [place] * len(values), ".", color=BLUE, alpha=0.35, label="one run" if place == 0 else None)
        told = "mean ± deviation" if place == 0 else None
        spread = values.std() if len(values) > 1 else None
        ax.errorbar(values.mean(), place, xerr=spread, fmt="o", color=BLUE, markersize=5, capsize=3, label=told)
    if documented is not None and (known := documented.reindex(names).dropna()).size:
        places = [names.index(name) for name in known.index]
        ax.plot(known, places, "D", color=ORANGE, markersize=6, markerfacecolor="none", label="documented")
    ax.set_yticks(range(len(names)), names, fontsize=7 if max(map(len, names)) > LONG else None)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="x", color=GREY, alpha=0.2)
    ax.set(xlabel=metric)
    ax.legend(fontsize=8)
    return ax


def metrics_of(comparison: Comparison, ax: Axes) -> Axes:
    """The forest of a comparison's best groups."""
    best, metric = comparison.groups.index[:MOST], comparison.metric
    told = f"test {metric} on {comparison.data}"
    runs = comparison.runs[comparison.runs["group"].isin(best)]
    runs = runs.assign(group=pd.Categorical(runs["group"], best), **{told: runs[f"test.{metric}"]})
    return forest(runs.sort_values("group", kind="stable"), ax, told, comparison.groups["documented"])


def curves_of(comparison: Comparison, ax: Axes) -> Axes:
    """The learning curves of a comparison's best groups; an empty place where none has more than one epoch."""
    epochs, name = curves(comparison)
    if len(epochs):
        return learning_curves(epochs, ax, name)
    ax.axis("off")
    return ax


def draw(comparison: Comparison, folder: Path) -> list[Path]:
    """Draws the pictures of a comparison into a folder, named by its data set and metric; returns their files."""
    start = f"{comparison.data}_{comparison.metric}"
    files = [folder / f"{start}_forest.png"]
    height = 1.2 + 0.32 * min(MOST, len(comparison.groups))
    plots.save(files[0], functools.partial(metrics_of, comparison), (8, height), margins="tight")
    epochs, name = curves(comparison)
    if len(epochs):
        files.append(folder / f"{start}_curves.png")
        plots.save(files[1], lambda ax: learning_curves(epochs, ax, name), (8, 4.5), margins="tight")
    return files


def curves(comparison: Comparison) -> tuple[pd.DataFrame, str]:
    """Columns ``group``, ``run``, ``epoch`` and the validation metric of the best groups, and that metric's name."""
    groups = list(comparison.groups.index[:LINES])
    found = []
    for run, group in comparison.runs.loc[comparison.runs["group"].isin(groups), ["run", "group"]].itertuples(index=False):
        try:
            found.append(history.load(run).assign(group=group, run=run))
        except UserError:
            continue  # its curve has been deleted, or damaged; its figures count
    joined = pd.concat(found, ignore_index=True) if found else pd.DataFrame()
    name = next((name for name in (f"val/{comparison.metric}", "val/loss") if name in joined), None)
    if name is None or joined["epoch"].max() == 0:
        return pd.DataFrame(), ""
    joined["group"] = pd.Categorical(joined["group"], groups)
    return joined[["group", "run", "epoch", name]].dropna(), name
