"""What a run shows: its first line, the table at its end, ``model.txt`` and the pictures."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from torch import Tensor, nn

from src.baselines.estimator import Estimator
from src.data.datamodule import InMemory
from src.data.images.images import Images
from src.networks import Attends
from src.reporting import image_plots, plots
from src.tasks.classification import Binary, Classification
from src.tasks.forecasting import Forecasting
from src.tasks.reconstruction import Reconstruction
from src.tasks.regression import Regression
from src.tasks.task import Task

# What a task draws of its predictions for the test split, by the name of the file; the nearest base class counts.
PICTURES: dict[type[Task], dict[str, Callable[[pd.DataFrame, Axes], Axes]]] = {
    Regression: {"predicted_against_actual": plots.predicted_against_actual, "residuals": plots.residuals},
    Classification: {"confusion_matrix": plots.confusion_matrix},
    Forecasting: {"predicted_against_actual": plots.predicted_against_actual, "residuals": plots.residuals},
    Binary: {
        "confusion_matrix": plots.confusion_matrix,
        "roc": plots.roc,
        "precision_recall": plots.precision_recall,
        "calibration": plots.calibration,
    },
    Reconstruction: {"reconstruction_error": plots.reconstruction_error},
}


def draw(
    folder: Path, epochs: pd.DataFrame, table: pd.DataFrame, result: dict[str, Any], task: Task, data: InMemory
) -> None:
    """Draws the pictures of a run into ``plots/``."""
    pictures = folder / "plots"
    if len(epochs) > 1:
        best = result["best"]["epoch"]
        plots.save(pictures / "learning_curves.png", lambda ax: plots.learning_curves(epochs, ax, best=best))
    if isinstance(task, Forecasting):
        table = table.rename(columns=lambda name: name.removesuffix("_1"))  # of several steps ahead, the first
    known = next((PICTURES[kind] for kind in type(task).__mro__ if kind in PICTURES), {})
    for name, picture in known.items():
        size = (12, 12) if name == "confusion_matrix" and len(data.spec.classes) > 30 else (6, 4)
        plots.save(pictures / f"{name}.png", functools.partial(picture, table), size)
    if isinstance(task.network, Estimator) and hasattr(task.network.estimator, "path"):
        path = task.network.estimator.path(
            {name: (task.network.frame(x[:]), y.numpy()) for name, (x, y, *_) in data.splits.items()}
        )
        path.to_csv(folder / "path.csv", index=False, float_format="%.7g")
        plots.save(pictures / "path.png", functools.partial(plots.path, path))
    if isinstance(data, Images):
        image_plots.draw(pictures, table, task, data)
    if isinstance(task.network, Attends) and len(data.spec.shape) == 2:
        steps = attended(task.network, *examples(data))
        plots.save(pictures / "attention.png", functools.partial(plots.attention, steps))
    if isinstance(task, Reconstruction) and len(data.spec.shape) == 2:
        steps = reconstructed(task.network, *examples(data))
        plots.save(pictures / "reconstruction.png", functools.partial(plots.reconstruction, steps))


def examples(data: InMemory, most: int = 4) -> tuple[Tensor, list[str]]:
    """A few test samples (n, steps, features) with their names: the first of each class, or the first ones of all."""
    x, y, rows, _ = data.splits["test"]
    if not data.spec.classes:
        return x[:most], [str(row) for row in rows[:most]]
    first = {number: place for place, number in reversed(list(enumerate(y.tolist())))}
    places = [first[number] for number in sorted(first)][:most]
    return x[places], [f"{data.spec.classes[int(y[place])]}, {rows.name or 'row'} {rows[place]}" for place in places]


@torch.inference_mode()
def attended(network: Any, x: Tensor, names: list[str]) -> pd.DataFrame:
    """The weight of every step, beside the series' first feature."""
    return by_step(names, value=x[:, :, 0], weight=network.attention(x))


@torch.inference_mode()
def reconstructed(network: nn.Module, x: Tensor, names: list[str]) -> pd.DataFrame:
    """The first feature of series and what the network makes of it."""
    return by_step(names, input=x[:, :, 0], reconstruction=network(x)[:, :, 0])


def by_step(names: list[str], **columns: Tensor) -> pd.DataFrame:
    """One row per sample and step of columns (n, steps)."""
    steps = next(iter(columns.values())).shape[1]
    named = {"sample": np.repeat(names, steps), "step": np.tile(np.arange(steps), len(names))}
    return pd.DataFrame(named | {name: values.flatten().numpy() for name, values in columns.items()})


def draw_forecast(path: Path, forecast: pd.DataFrame, data: Any) -> None:
    """Draws a recursive forecast behind as much of the history as it is long, at least three seasons of it."""
    start = int(data.index.searchsorted(forecast.index[0]))
    first = max(0, start - max(2 * len(forecast), 3 * data.season))
    plots.save(path, lambda ax: plots.forecast(forecast, ax, data.history[first:]))
