"""The plots of a run folder: which of them a run has, and the tables that they need."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from src.data.datamodule import InMemory
from src.networks import Attends
from src.reporting import plots
from src.tasks.task import Task

# Plots of the predictions for the test split by task, functions of src.reporting.plots and names of the files; the nearest
# base class of a task counts. Classes stand here by name, so that a run imports no task but its own.
PLOTS = {
    "Regression": ["predicted_against_actual", "residuals"],
    "Classification": ["confusion_matrix"],
    "Forecasting": ["predicted_against_actual", "residuals"],
    "Binary": ["confusion_matrix", "roc", "precision_recall", "calibration"],
    "Reconstruction": ["reconstruction_error"],
}


def draw(
    folder: Path,
    epochs: pd.DataFrame,
    tables: dict[str, pd.DataFrame],
    result: dict[str, Any],
    task: Task,
    data: InMemory,
) -> None:
    """Draw the plots of a run into ``plots/``, and write ``path.csv`` of penalties and ``series.csv`` of several series.

    Args:
        folder: Folder of the run.
        epochs: Content of ``metrics.csv``.
        tables: Predictions for the test split (``predictions``), and further tables of the run by name.
        result: Content of ``result.json``.
        task: Task with the tested weights.
        data: Data of the run.
    """
    images, table = folder / "plots", tables["predictions"]
    if "forecast" in tables:
        if data.spec.units:
            by_series(task, data, table).to_csv(folder / "series.csv")
        draw_forecast(images / "forecast.png", tables["forecast"], data)
    if len(epochs) > 1:
        best = result["best"]["epoch"]
        plots.save(images / "learning_curves.png", lambda ax: plots.learning_curves(epochs, ax, best=best))
    tasks = [kind.__name__ for kind in type(task).__mro__]
    if "Forecasting" in tasks:
        table = table.rename(columns=lambda name: name.removesuffix("_1"))  # of several steps ahead, the first
    for name in next((PLOTS[name] for name in tasks if name in PLOTS), []):
        size = (12, 12) if name == "confusion_matrix" and len(data.spec.classes) > 30 else (6, 4)
        plots.save(images / f"{name}.png", functools.partial(getattr(plots, name), table), size)
    network: Any = task.network
    if hasattr(getattr(network, "estimator", None), "path"):
        path = network.estimator.path({name: (network.frame(x[:]), y.numpy()) for name, (x, y, *_) in data.splits.items()})
        path.to_csv(folder / "path.csv", index=False)
        plots.save(images / "path.png", functools.partial(plots.path, path))
    if len(data.spec.shape) == 3:  # images: (channels, height, width)
        from src.reporting.images.plots import draw as draw_images

        draw_images(images, table, task, data)
    if isinstance(task.network, Attends) and len(data.spec.shape) == 2:
        steps = attended(task.network, *examples(data))
        plots.save(images / "attention.png", functools.partial(plots.attention, steps))
    if "Reconstruction" in tasks and len(data.spec.shape) == 2:
        steps = reconstructed(task.network, *examples(data))
        plots.save(images / "reconstruction.png", functools.partial(plots.reconstruction, steps))


def by_series(task: Task, data: Any, predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the metrics of a forecast for each of several series, from their predictions."""
    found = {}
    for name, rows in predictions.groupby(level=0, sort=False):
        parts = [torch.tensor(rows.filter(like=part).to_numpy(copy=True)) for part in ("prediction", "actual", "upper")]
        prediction, actual, upper = (part.contiguous() for part in parts)
        naive = torch.tensor(data.parts[name].units[2])
        found[name] = {"rows": len(rows)} | task.scores(prediction, actual, upper - prediction, naive)
    return pd.DataFrame.from_dict(found, orient="index").rename_axis(data.series)


def examples(data: InMemory, most: int = 4) -> tuple[Tensor, list[str]]:
    """Return a few test samples (n, steps, features) and their names: the first of each class, or the first of all."""
    x, y, rows, _ = data.splits["test"]
    if not data.spec.classes:
        return x[:most], [str(row) for row in rows[:most]]
    first = {number: index for index, number in reversed(list(enumerate(y.tolist())))}
    chosen = [first[number] for number in sorted(first)][:most]
    return x[chosen], [f"{data.spec.classes[int(y[index])]}, {rows.name or 'row'} {rows[index]}" for index in chosen]


@torch.inference_mode()
def attended(network: Any, x: Tensor, names: list[str]) -> pd.DataFrame:
    """Return the attention weight of every step, beside the first feature of the series."""
    return by_step(names, value=x[:, :, 0], weight=network.attention(x))


@torch.inference_mode()
def reconstructed(network: nn.Module, x: Tensor, names: list[str]) -> pd.DataFrame:
    """Return the first feature of series, beside its reconstruction."""
    return by_step(names, input=x[:, :, 0], reconstruction=network(x)[:, :, 0])


def by_step(names: list[str], **columns: Tensor) -> pd.DataFrame:
    """Return one row per sample and step, from columns (n, steps)."""
    steps = next(iter(columns.values())).shape[1]
    named = {"sample": np.repeat(names, steps), "step": np.tile(np.arange(steps), len(names))}
    return pd.DataFrame(named | {name: values.flatten().numpy() for name, values in columns.items()})


def draw_forecast(path: Path, forecast: pd.DataFrame, data: Any) -> None:
    """Draw a recursive forecast, of several series the first, after twice as much of the history, or three seasons."""
    name, part = next(iter(data.parts.items()))
    own = forecast if name is None else forecast.xs(name)
    start = int(part.series.index.searchsorted(own.index[0]))
    first = max(0, start - max(2 * len(own), 3 * data.season))
    label = data.spec.target if name is None else f"{data.spec.target}, {data.series} {name}"
    plots.save(path, lambda ax: plots.forecast(own, ax, part.series[data.target][first:].rename(label)))
