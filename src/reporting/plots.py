"""Plots of one run: functions that take a frame and an ``Axes``, for run folders and notebooks alike.

scikit-learn is imported where it draws, because runs on numbers start without it.
"""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

BLUE, ORANGE, GREY = "#2f6db3", "#d9772b", "#888888"
CHANCE = {"color": GREY, "linestyle": "--", "linewidth": 1}  # the line of a guess


def learning_curves(history: pd.DataFrame, ax: Axes, metric: str = "loss", best: int | None = None) -> Axes:
    """Plot train and validation values of a metric by epoch, with a line at the best epoch."""
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
    """Plot the accuracy on each split along the penalties of a ``path.csv``, with a line at the chosen one."""
    by = "-log(lambda/n)"
    for split, color in (("train", "black"), ("val", ORANGE), ("test", BLUE)):
        ax.plot(path[by], path[f"{split}/accuracy"], color=color, label=split)
    ax.axvline(path.loc[path["chosen"], by].iloc[0], color=GREY, linestyle="--", linewidth=1, label="chosen")
    ax.set(xlabel=r"$-\log(\lambda / n)$", ylabel="accuracy")
    ax.legend()
    return ax


def predicted_against_actual(predictions: pd.DataFrame, ax: Axes) -> Axes:
    """Plot predictions (columns ``prediction`` and ``actual``) against actual values, with the line of no error."""
    predictions = some(predictions)
    ax.scatter(predictions["actual"], predictions["prediction"], s=8, alpha=0.4, color=BLUE, linewidths=0)
    ends = [predictions["actual"].min(), predictions["actual"].max()]
    ax.plot(ends, ends, color=GREY, linestyle="--", linewidth=1)
    ax.set(xlabel="actual", ylabel="prediction")
    return ax


def residuals(predictions: pd.DataFrame, ax: Axes) -> Axes:
    """Plot actual minus predicted values in the order of the rows (time, for a series)."""
    predictions = some(predictions)
    left = predictions["actual"] - predictions["prediction"]
    ax.plot(range(len(left)), left, ".", markersize=3, alpha=0.6, color=BLUE)
    ax.axhline(0, color=GREY, linestyle="--", linewidth=1)
    ticks = [0, len(left) // 3, 2 * len(left) // 3, len(left) - 1]
    ax.set_xticks(ticks, [str(predictions.index[tick]) for tick in ticks])
    ax.set(xlabel=predictions.index.name or "row", ylabel="actual - prediction")
    return ax


def some(rows: pd.DataFrame, most: int = 20_000) -> pd.DataFrame:
    """Return at most as many rows as a plot can show, evenly spread."""
    return rows if len(rows) <= most else rows.iloc[:: len(rows) // most + 1]


def confusion_matrix(predictions: pd.DataFrame, ax: Axes) -> Axes:
    """Plot counts of actual (rows) against predicted classes (columns), shaded by their fraction of the row."""
    from sklearn.metrics import ConfusionMatrixDisplay
    from sklearn.metrics import confusion_matrix as count

    names = classes(predictions)
    labels = predictions[["actual", "prediction"]].astype(str)  # pandas reads digits as numbers
    counts = count(labels["actual"], labels["prediction"], labels=names)
    fractions = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    display = ConfusionMatrixDisplay(fractions, display_labels=names)
    rotation = "vertical" if len(names) > 5 else "horizontal"
    options = {"cmap": "Blues", "colorbar": False, "im_kw": {"vmin": 0, "vmax": 1}, "xticks_rotation": rotation}
    display.plot(ax=ax, include_values=len(names) <= 12, **options)
    if display.text_ is not None:
        for text, number in zip(display.text_.flat, counts.flat, strict=True):
            text.set_text(f"{number:,}")
    if len(names) > 30:
        ax.tick_params(labelsize=5)
    ax.set(xlabel="prediction", ylabel="actual")
    return ax


def classes(predictions: pd.DataFrame) -> list[str]:
    """Return the names of all classes from the columns of probabilities."""
    return [name.removeprefix("probability_") for name in predictions if str(name).startswith("probability_")]


def scores(predictions: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return for two classes the rows of the second as True, and the probability of the second."""
    positive = classes(predictions)[1]
    return predictions["actual"].astype(str) == positive, predictions[f"probability_{positive}"]


def roc(predictions: pd.DataFrame, ax: Axes) -> Axes:
    """Plot true against false positive rate over all thresholds, with the line of chance."""
    from sklearn.metrics import RocCurveDisplay

    ax.set_prop_cycle(color=[BLUE])
    RocCurveDisplay.from_predictions(*scores(predictions), ax=ax, plot_chance_level=True, chance_level_kw=CHANCE)
    ax.set(xlabel="false positive rate", ylabel="true positive rate")
    return ax


def precision_recall(predictions: pd.DataFrame, ax: Axes) -> Axes:
    """Plot precision against recall over all thresholds, with the fraction of positives as a line."""
    from sklearn.metrics import PrecisionRecallDisplay

    ax.set_prop_cycle(color=[BLUE])
    options = {"drop_intermediate": True, "plot_chance_level": True, "chance_level_kw": CHANCE}
    PrecisionRecallDisplay.from_predictions(*scores(predictions), ax=ax, **options)
    ax.set(xlabel="recall", ylabel="precision")
    return ax


def calibration(predictions: pd.DataFrame, ax: Axes, bins: int = 10) -> Axes:
    """Plot the fraction of positives against the predicted probability, in bins of equally many rows."""
    from sklearn.calibration import CalibrationDisplay

    ax.set_prop_cycle(color=[BLUE])
    CalibrationDisplay.from_predictions(*scores(predictions), n_bins=bins, strategy="quantile", ax=ax, name="predictions")
    ax.set(xlabel="predicted probability", ylabel="fraction of positives")
    return ax


def forecast(predicted: pd.DataFrame, ax: Axes, history: pd.Series) -> Axes:
    """Plot a series and its forecast (columns ``forecast``, ``lower``, ``upper``), with the interval as a band."""
    ax.plot(history.index, history, color=GREY, linewidth=1, label=history.name)
    ax.plot(predicted.index, predicted["forecast"], color=BLUE, label="forecast")
    ax.fill_between(predicted.index, predicted["lower"], predicted["upper"], color=BLUE, alpha=0.2, linewidth=0)
    ax.axvline(predicted.index[0], color=GREY, linestyle="--", linewidth=1)
    if isinstance(history.index, pd.DatetimeIndex):
        ax.xaxis.set_major_formatter(ConciseDateFormatter(ax.xaxis.get_major_locator()))
    ax.legend()
    return ax


def series(steps: pd.DataFrame, ax: Axes) -> Axes:
    """Plot series one below the other (columns ``sample``, ``step``, ``value``)."""
    for level, one in below_each_other(steps, "value", ax):
        ax.plot(one["step"], one["value"] + level, color=BLUE, linewidth=1)
    return ax


def attention(steps: pd.DataFrame, ax: Axes) -> Axes:
    """Plot series one below the other (columns ``sample``, ``step``, ``value``, ``weight``), shaded by attention weight."""
    for level, one in below_each_other(steps, "value", ax):
        ax.plot(one["step"], one["value"] + level, color=GREY, linewidth=0.5)
        shade = one["weight"] / one["weight"].max()
        ax.scatter(one["step"], one["value"] + level, c=shade, cmap="Blues", vmin=-0.1, vmax=1, s=14, linewidths=0, zorder=2)
    return ax


def reconstruction(steps: pd.DataFrame, ax: Axes) -> Axes:
    """Plot series one below the other (columns ``sample``, ``step``, ``input``, ``reconstruction``)."""
    for level, one in below_each_other(steps, "input", ax):
        for name, color in (("input", GREY), ("reconstruction", ORANGE)):
            ax.plot(one["step"], one[name] + level, color=color, linewidth=1, label=name if level == 0 else None)
    ax.legend(loc="upper right")
    return ax


def below_each_other(steps: pd.DataFrame, column: str, ax: Axes) -> Iterator[tuple[float, pd.DataFrame]]:
    """Yield the series of a frame, named by ``sample``, each with the height at which to draw it."""
    height = 1.2 * (steps[column].max() - steps[column].min()) or 1.0
    for row, (name, one) in enumerate(steps.groupby("sample", sort=False)):
        ax.text(one["step"].iloc[0], -row * height + one[column].max() + 0.02 * height, str(name), fontsize=8)
        yield -row * height, one
    ax.set_yticks([])
    ax.set(xlabel="step")


def reconstruction_error(predictions: pd.DataFrame, ax: Axes) -> Axes:
    """Plot the distribution of reconstruction errors; samples far to the right are unlike the training data."""
    ax.hist(predictions["reconstruction_error"], bins=30, color=BLUE)
    ax.set(xlabel="reconstruction error (mean square, scaled units)", ylabel="samples")
    return ax


def embeddings(table: pd.DataFrame, ax: Axes) -> Axes:
    """Plot samples (columns ``target``, ``embedding_0``, …) by the first two principal components of their embeddings."""
    from sklearn.decomposition import PCA

    numbers = table.filter(like="embedding_")
    pca = PCA(2)
    points = pca.fit_transform((numbers - numbers.mean()) / numbers.std().replace(0, 1))
    for name in sorted(table["target"].unique()):
        inside = (table["target"] == name).to_numpy()
        ax.scatter(points[inside, 0], points[inside, 1], s=10, alpha=0.6, linewidths=0, label=str(name))
    first, second = pca.explained_variance_ratio_
    ax.set(xlabel=f"first component ({first:.0%} of the variance)", ylabel=f"second component ({second:.0%})")
    ax.legend()
    return ax


def autocorrelation(series: pd.Series, ax: Axes, lags: int = 35) -> Axes:
    """Plot the correlation of a series with itself 0 … ``lags`` steps before, and the 95 % band of white noise."""
    values = [series.autocorr(lag) for lag in range(lags + 1)]
    ax.vlines(range(lags + 1), 0, values, color=BLUE)
    ax.axhspan(-1.96 / len(series) ** 0.5, 1.96 / len(series) ** 0.5, color=GREY, alpha=0.3, linewidth=0)
    ax.axhline(0, color=GREY, linewidth=1)
    ax.set(xlabel="lag", ylabel="autocorrelation", title=series.name)
    return ax


def spread(runs: pd.DataFrame, ax: Axes, metric: str = "test.r2", by: str = "model") -> Axes:
    """Plot a metric by group, ordered by mean unless they are categories: a dot per run, and mean ± standard deviation."""
    groups = runs.groupby(by, observed=True)[metric]
    means = groups.agg(["mean", "std"])
    means = means if isinstance(runs[by].dtype, pd.CategoricalDtype) else means.sort_values("mean")
    for row, name in enumerate(means.index):
        values = groups.get_group(name)
        ax.plot(values, [row] * len(values), "o", alpha=0.35, color=BLUE, label=None if row else "one run")
    bars: dict[str, Any] = {"fmt": "o", "color": ORANGE, "markersize": 5, "capsize": 3, "label": "mean ± standard deviation"}
    ax.errorbar(means["mean"], range(len(means)), xerr=means["std"], **bars)
    ax.set_yticks(range(len(means)), [str(name) for name in means.index])
    ax.set(xlabel=f"{metric} by {by}")
    return ax


def setting(values: pd.Series, best: pd.Series, ax: Axes, name: str = "", metric: str = "val/loss") -> Axes:
    """Plot the best validation value of each job of a search by one setting; the axis is logarithmic above a decade."""
    numbers = pd.to_numeric(values, errors="coerce")
    ax.plot(values.astype(str) if numbers.isna().any() else numbers, best, "o", alpha=0.6, color=BLUE)
    if numbers.notna().all() and 0 < 10 * numbers.min() < numbers.max():
        ax.set_xscale("log")
    ax.set(xlabel=name, ylabel=f"best {metric}")
    return ax


def png(draw: Callable[[Axes], object], size: tuple[float, float] = (6, 4), margins: str | None = None) -> bytes:
    """Draw one plot as a PNG image, without a display and without pyplot's global state.

    Args:
        draw: Function that draws into an Axes.
        size: Width and height in inches.
        margins: ``tight`` cuts off empty margins.
    """
    figure = Figure(figsize=size)
    figure.subplots_adjust(left=0.14, right=0.96, bottom=0.13, top=0.95)  # a layout engine would draw everything twice
    draw(figure.add_subplot())
    return encoded(figure, margins)


def encoded(figure: Figure, margins: str | None = None) -> bytes:
    """Return a figure as a PNG image."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=100, bbox_inches=margins)
    return buffer.getvalue()


def save(path: Path, draw: Callable[[Axes], object], size: tuple[float, float] = (6, 4), margins: str | None = None) -> None:
    """Draw one plot into a PNG file; see :func:`png`."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(png(draw, size, margins))
