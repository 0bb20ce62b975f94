"""Pictures: functions that take a frame and an ``Axes``, for run folders and notebooks alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn import metrics
from sklearn.decomposition import PCA

BLUE, ORANGE, GREY = "#2f6db3", "#d9772b", "#888888"


def learning_curves(history: pd.DataFrame, ax: Axes, metric: str = "loss", best: int | None = None) -> Axes:
    """Train and validation values of a metric by epoch; the best epoch is marked."""
    for split, color in (("train", BLUE), ("val", ORANGE)):
        if (column := f"{split}/{metric}") in history:
            ax.plot(history["epoch"], history[column], color=color, label=split, marker="." if len(history) < 30 else None)
    if best is not None:
        ax.axvline(best, color=GREY, linestyle="--", linewidth=1, label=f"best epoch {best}")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="epoch", ylabel=metric)
    ax.legend()
    return ax


def path(path: pd.DataFrame, ax: Axes) -> Axes:
    """Accuracy on each split along the penalties of a ``path.csv``; the chosen one is marked."""
    by = "-log(lambda/n)"
    for split, color in (("train", "black"), ("val", ORANGE), ("test", BLUE)):
        ax.plot(path[by], path[f"{split}/accuracy"], color=color, label=split)
    ax.axvline(path.loc[path["chosen"], by].iloc[0], color=GREY, linestyle="--", linewidth=1, label="chosen")
    ax.set(xlabel=r"$-\log(\lambda / n)$", ylabel="accuracy")
    ax.legend()
    return ax


def predicted_against_actual(predictions: pd.DataFrame, ax: Axes) -> Axes:
    """Predictions (columns ``prediction`` and ``actual``) against the truth, with the line of no error."""
    predictions = some(predictions)
    ax.scatter(predictions["actual"], predictions["prediction"], s=8, alpha=0.4, color=BLUE, linewidths=0)
    ends = [predictions["actual"].min(), predictions["actual"].max()]
    ax.plot(ends, ends, color=GREY, linestyle="--", linewidth=1)
    ax.set(xlabel="actual", ylabel="prediction")
    return ax


def residuals(predictions: pd.DataFrame, ax: Axes) -> Axes:
    """Actual minus predicted, in the order of the rows (time, for a series)."""
    predictions = some(predictions)
    left = predictions["actual"] - predictions["prediction"]
    ax.plot(range(len(left)), left, ".", markersize=3, alpha=0.6, color=BLUE)
    ax.axhline(0, color=GREY, linestyle="--", linewidth=1)
    ticks = [0, len(left) // 3, 2 * len(left) // 3, len(left) - 1]
    ax.set_xticks(ticks, [str(predictions.index[tick]) for tick in ticks])
    ax.set(xlabel=predictions.index.name or "row", ylabel="actual - prediction")
    return ax


def some(rows: pd.DataFrame, most: int = 20_000) -> pd.DataFrame:
    """As many rows as a picture can show, evenly spread."""
    return rows if len(rows) <= most else rows.iloc[:: len(rows) // most + 1]


def confusion_matrix(predictions: pd.DataFrame, ax: Axes) -> Axes:
    """Counts of actual (rows) against predicted classes (columns); the shade is the share of the row."""
    names = classes(predictions)
    said = predictions[["actual", "prediction"]].astype(str)  # digits become numbers in a CSV file
    counts = pd.crosstab(said["actual"], said["prediction"]).reindex(index=names, columns=names, fill_value=0)
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(names) <= 12:
        for row, column in np.ndindex(counts.shape):
            color = "white" if shares.iloc[row, column] > 0.5 else "black"
            ax.text(column, row, f"{counts.iloc[row, column]:,}", ha="center", va="center", color=color)
    ax.set_xticks(range(len(names)), names, rotation=90 if len(names) > 5 else 0)
    ax.set_yticks(range(len(names)), names)
    if len(names) > 30:
        ax.tick_params(labelsize=5)
    ax.set(xlabel="prediction", ylabel="actual")
    return ax


def classes(predictions: pd.DataFrame) -> list[str]:
    """The names of all classes, as the columns of probabilities have them."""
    return [name.removeprefix("probability_") for name in predictions if str(name).startswith("probability_")]


def scores(predictions: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Of two classes: whether a row is of the second, and its probability."""
    positive = classes(predictions)[1]
    return predictions["actual"].astype(str) == positive, predictions[f"probability_{positive}"]


def roc(predictions: pd.DataFrame, ax: Axes) -> Axes:
    """True against false positive rate over all thresholds, with the line of no knowledge."""
    actual, score = scores(predictions)
    wrong, right, _ = metrics.roc_curve(actual, score)
    ax.plot(wrong, right, color=BLUE, label=f"area {metrics.roc_auc_score(actual, score):.3f}")
    ax.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    ax.set(xlabel="false positive rate", ylabel="true positive rate")
    ax.legend()
    return ax


def precision_recall(predictions: pd.DataFrame, ax: Axes) -> Axes:
    """Precision against recall over all thresholds, with the share of positives."""
    actual, score = scores(predictions)
    precision, recall, _ = metrics.precision_recall_curve(actual, score)
    area = metrics.average_precision_score(actual, score)
    ax.plot(recall, precision, color=BLUE, label=f"average precision {area:.3f}", drawstyle="steps-post")
    ax.axhline(actual.mean(), color=GREY, linestyle="--", linewidth=1)
    ax.set(xlabel="recall", ylabel="precision", ylim=(0, 1.02))
    ax.legend()
    return ax


def calibration(predictions: pd.DataFrame, ax: Axes, bins: int = 10) -> Axes:
    """Share of positives against predicted probability, in bins of equally many rows."""
    actual, score = scores(predictions)
    groups = pd.qcut(score.rank(method="first"), min(bins, len(score)), labels=False)
    ax.plot(score.groupby(groups).mean(), actual.groupby(groups).mean(), "o-", color=BLUE)
    ax.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    ax.set(xlabel="predicted probability", ylabel="share of positives")
    return ax


def forecast(predicted: pd.DataFrame, ax: Axes, history: pd.Series) -> Axes:
    """A series, and its forecast (columns ``forecast``, ``lower``, ``upper``) with the interval as a band."""
    ax.plot(history.index, history, color=GREY, linewidth=1, label=history.name)
    ax.plot(predicted.index, predicted["forecast"], color=BLUE, label="forecast")
    ax.fill_between(predicted.index, predicted["lower"], predicted["upper"], color=BLUE, alpha=0.2, linewidth=0)
    ax.axvline(predicted.index[0], color=GREY, linestyle="--", linewidth=1)
    if isinstance(history.index, pd.DatetimeIndex):
        ax.xaxis.set_major_formatter(ConciseDateFormatter(ax.xaxis.get_major_locator()))
    ax.legend()
    return ax


def series(steps: pd.DataFrame, ax: Axes) -> Axes:
    """Series one below the other (columns ``sample``, ``step``, ``value``)."""
    for level, one in below_each_other(steps, "value", ax):
        ax.plot(one["step"], one["value"] + level, color=BLUE, linewidth=1)
    return ax


def attention(steps: pd.DataFrame, ax: Axes) -> Axes:
    """Series one below the other (columns ``sample``, ``step``, ``value``, ``weight``), dark where their attention is."""
    for level, one in below_each_other(steps, "value", ax):
        ax.plot(one["step"], one["value"] + level, color=GREY, linewidth=0.5)
        shade = one["weight"] / one["weight"].max()
        ax.scatter(one["step"], one["value"] + level, c=shade, cmap="Blues", vmin=-0.1, vmax=1, s=14, linewidths=0, zorder=2)
    return ax


def reconstruction(steps: pd.DataFrame, ax: Axes) -> Axes:
    """Series one below the other (columns ``sample``, ``step``, ``input``, ``reconstruction``)."""
    for level, one in below_each_other(steps, "input", ax):
        for name, color in (("input", GREY), ("reconstruction", ORANGE)):
            ax.plot(one["step"], one[name] + level, color=color, linewidth=1, label=name if level == 0 else None)
    ax.legend(loc="upper right")
    return ax


def below_each_other(steps: pd.DataFrame, column: str, ax: Axes) -> Iterator[tuple[float, pd.DataFrame]]:
    """The series of a frame, named by ``sample``, each with the height at which it is to be drawn."""
    height = 1.2 * (steps[column].max() - steps[column].min()) or 1.0
    for place, (name, one) in enumerate(steps.groupby("sample", sort=False)):
        ax.text(one["step"].iloc[0], -place * height + one[column].max() + 0.02 * height, str(name), fontsize=8)
        yield -place * height, one
    ax.set_yticks([])
    ax.set(xlabel="step")


def reconstruction_error(predictions: pd.DataFrame, ax: Axes) -> Axes:
    """How many samples have which reconstruction error; those far to the right are unlike what was learnt."""
    ax.hist(predictions["reconstruction_error"], bins=30, color=BLUE)
    ax.set(xlabel="reconstruction error (mean square, scaled units)", ylabel="samples")
    return ax


def embeddings(table: pd.DataFrame, ax: Axes) -> Axes:
    """Samples (columns ``target``, ``embedding_0``, …) in the plane of the two principal components of their embeddings."""
    numbers = table.filter(like="embedding_")
    pca = PCA(2)
    places = pca.fit_transform((numbers - numbers.mean()) / numbers.std().replace(0, 1))
    for name in sorted(table["target"].unique()):
        inside = (table["target"] == name).to_numpy()
        ax.scatter(places[inside, 0], places[inside, 1], s=10, alpha=0.6, linewidths=0, label=str(name))
    first, second = pca.explained_variance_ratio_
    ax.set(xlabel=f"first component ({first:.0%} of the variance)", ylabel=f"second component ({second:.0%})")
    ax.legend()
    return ax


def autocorrelation(series: pd.Series, ax: Axes, lags: int = 35) -> Axes:
    """Correlation of a series with itself 0 … ``lags`` steps before, and the 95 % band of white noise."""
    values = [series.autocorr(lag) for lag in range(lags + 1)]
    ax.vlines(range(lags + 1), 0, values, color=BLUE)
    ax.axhspan(-1.96 / len(series) ** 0.5, 1.96 / len(series) ** 0.5, color=GREY, alpha=0.3, linewidth=0)
    ax.axhline(0, color=GREY, linewidth=1)
    ax.set(xlabel="lag", ylabel="autocorrelation", title=series.name)
    return ax


def spread(runs: pd.DataFrame, ax: Axes, metric: str = "test.r2", by: str = "model") -> Axes:
    """One dot per run, its group's mean as a bar: how much a metric depends on the seed."""
    groups = runs.groupby(by)[metric]
    order = groups.mean().sort_values().index
    for place, name in enumerate(order):
        values = groups.get_group(name)
        ax.plot(values, [place] * len(values), "o", alpha=0.5, color=BLUE)
        ax.plot([values.mean()] * 2, [place - 0.25, place + 0.25], color=ORANGE)
    ax.set_yticks(range(len(order)), [str(name) for name in order])
    ax.set(xlabel=f"{metric} by {by}")
    return ax


def setting(values: pd.Series, best: pd.Series, ax: Axes, name: str = "", metric: str = "val/loss") -> Axes:
    """One dot per job of a search: its best validation value by one setting, numbers over a decade on a logarithmic axis."""
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.notna().all():
        ax.plot(numbers, best, "o", alpha=0.6, color=BLUE)
        ax.set_xscale("log" if 0 < 10 * numbers.min() < numbers.max() else "linear")
    else:
        names = sorted(values.astype(str).unique())
        ax.plot(values.astype(str).map(names.index), best, "o", alpha=0.6, color=BLUE)
        ax.set_xticks(range(len(names)), names)
    ax.set(xlabel=name, ylabel=f"best {metric}")
    return ax


def save(path: Path, draw: Callable[[Axes], object], size: tuple[float, float] = (6, 4), margins: str | None = None) -> None:
    """Draws one picture into a PNG file, without a display and without pyplot's global state.

    Args:
        path: Of the file.
        draw: Draws into an Axes.
        size: Inches.
        margins: ``tight`` cuts off what is left empty.
    """
    figure = Figure(figsize=size)
    FigureCanvasAgg(figure)
    figure.subplots_adjust(left=0.14, right=0.96, bottom=0.13, top=0.95)  # a layout engine would draw everything twice
    draw(figure.add_subplot())
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=100, bbox_inches=margins)
