"""Plots of many runs: functions that take frames and an ``Axes``."""

import functools
import re
from pathlib import Path

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from src.config.keys import neutral
from src.errors import UserError
from src.reporting import plots
from src.reporting.comparison import Comparison, varied
from src.reporting.plots import GREY
from src.runs import history

GROUPS = 30  # of a forest plot
LINES = 8  # learning curves of one plot
CURVES = 4  # metrics with learning curves on the page of a run
LONG = 30  # letters of a name
VALUES = 20  # of one setting
COLORS = colormaps["tab10"].colors  # type: ignore[attr-defined]


def learning_curves(epochs: pd.DataFrame, ax: Axes, metric: str) -> Axes:
    """Plot a metric by epoch: the mean of each group, with ± standard deviation as a band.

    Groups come in the order of their categories. A line ends where half of its runs have stopped; a group with a single
    epoch, such as a baseline, is a dashed level.

    Args:
        epochs: Columns ``group``, ``run``, ``epoch`` and the metric.
        ax: Axes to draw into.
        metric: Column to plot.
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


def metrics_of(comparison: Comparison, ax: Axes) -> Axes:
    """Plot the test metric of a comparison's best groups, the best on top, with the documented figures."""
    best, label = comparison.groups.index[:GROUPS], f"test {comparison.metric} on {comparison.data}"
    runs = comparison.runs[comparison.runs["group"].isin(best)]
    plots.spread(
        runs.assign(group=pd.Categorical(runs["group"], best), **{label: runs[f"test.{comparison.metric}"]}),
        ax,
        label,
        by="group",
    )
    documented = comparison.groups["documented"][best].dropna()
    if len(documented):
        ax.plot(
            documented, best.get_indexer(documented.index), "D", color="black", markerfacecolor="none", label="documented"
        )
    ax.tick_params("y", labelsize=7 if max(best.str.len()) > LONG else None)
    ax.set(xlabel=label, ylim=(len(best) - 0.5, -0.5))
    ax.grid(axis="x", color=GREY, alpha=0.2)
    ax.legend(fontsize=8)
    return ax


def curves_of(comparison: Comparison, ax: Axes) -> Axes:
    """Plot the learning curves of a comparison's best groups; nothing if none has more than one epoch."""
    epochs, name = curves(comparison)
    if len(epochs):
        return learning_curves(epochs, ax, name)
    ax.axis("off")
    return ax


def curves(comparison: Comparison) -> tuple[pd.DataFrame, str]:
    """Return columns ``group``, ``run``, ``epoch`` and the validation metric of the best groups, and that metric's name."""
    groups = list(comparison.groups.index[:LINES])
    found = []
    for run, group in comparison.runs.loc[comparison.runs["group"].isin(groups), ["run", "group"]].itertuples(index=False):
        try:
            found.append(history.load(run).assign(group=group, run=run))
        except UserError:
            continue  # the curve was deleted or is damaged; the test figures still count
    joined = pd.concat(found, ignore_index=True) if found else pd.DataFrame()
    name = next((name for name in (f"val/{comparison.metric}", "val/loss") if name in joined), None)
    if name is None or joined["epoch"].max() == 0:
        return pd.DataFrame(), ""
    joined["group"] = pd.Categorical(joined["group"], groups)
    return joined[["group", "run", "epoch", name]].dropna(), name


def images(comparison: Comparison) -> dict[str, bytes]:
    """Draw the plots of a comparison as PNG images, by names made of its data set and metric."""
    start = re.sub(r"[^\w.-]+", "_", f"{comparison.data}_{comparison.metric}")  # a path is no name of a file
    height = 1.2 + 0.32 * min(GROUPS, len(comparison.groups))
    drawn = {f"{start}_forest": plots.png(functools.partial(metrics_of, comparison), (8, height), margins="tight")}
    epochs, name = curves(comparison)
    if len(epochs):
        drawn[f"{start}_curves"] = plots.png(lambda ax: learning_curves(epochs, ax, name), (8, 4.5), margins="tight")
    return drawn


def save(comparison: Comparison, folder: Path) -> None:
    """Write the plots of a comparison into a folder."""
    folder.mkdir(exist_ok=True)
    for name, image in images(comparison).items():
        (folder / f"{name}.png").write_bytes(image)


def curves_of_run(epochs: pd.DataFrame, best: int | None) -> bytes:
    """Draw the learning curves of one run, of the loss and of the first metrics, as a PNG image."""
    names = [name.partition("/")[2] for split in ("val/", "train/") for name in epochs if name.startswith(split)]
    metrics = list(dict.fromkeys(names))[:CURVES]
    rows = -(-len(metrics) // 2)
    figure = Figure(figsize=(10, 3.1 * rows), layout="constrained")
    axes = list(figure.subplots(rows, 2, squeeze=False).flat)
    for metric, ax in zip(metrics, axes, strict=False):
        plots.learning_curves(epochs, ax, metric, best=best)
    for ax in axes[len(metrics) :]:
        ax.axis("off")
    return plots.encoded(figure)


def by_setting(comparisons: list[Comparison]) -> bytes | None:
    """Draw the test metric by each setting alone, a dot per run, as a PNG image; None if no setting has repeated values."""
    panels = [
        (one, str(key), values)
        for one in comparisons
        for key, values in varied(one.runs).items()
        if not neutral(str(key)) and values.nunique() < min(len(values), VALUES)
    ]
    if not panels:
        return None
    heights = [0.7 + 0.3 * values.nunique() for *_, values in panels]
    figure = Figure(figsize=(8, max(1.8, sum(heights))), layout="constrained")
    axes = figure.subplots(len(panels), 1, height_ratios=heights, squeeze=False).flat
    for (one, key, values), ax in zip(panels, axes, strict=True):
        label = f"test {one.metric} on {one.data}"
        plots.spread(one.runs.assign(**{key: values, label: one.runs[f"test.{one.metric}"]}), ax, label, by=key)
    return plots.encoded(figure)
