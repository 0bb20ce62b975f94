"""Plots of runs on images: samples, mistakes, filters and reconstructions."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from torch import Tensor, nn

from src.data.datamodule import InMemory, Spec
from src.reporting import plots
from src.tasks.reconstruction import Reconstruction
from src.tasks.task import Task


def grid(images: Tensor, titles: list[str], ax: Axes, columns: int = 5) -> Axes:
    """Plot images (n, channels, height, width), bytes or numbers from 0 to 1, row by row with a title above each."""
    bytes_ = images if images.dtype == torch.uint8 else (images.clamp(0, 1) * 255).to(torch.uint8)
    tiles = bytes_[:, :3].permute(0, 2, 3, 1).expand(-1, -1, -1, 3).numpy()  # (n, height, width, 3)
    height, width = tiles.shape[1:3]
    lines = 1 + max(title.count("\n") for title in titles)
    down, right = height + max(2, lines * height // 9), width + max(1, width // 8)
    rows = -(-len(tiles) // columns)
    canvas = np.full((rows * down, columns * right, 3), 255, np.uint8)
    for index, (tile, title) in enumerate(zip(tiles, titles, strict=True)):
        row, column = divmod(index, columns)
        bottom, left = (row + 1) * down, column * right
        canvas[bottom - height : bottom, left : left + width] = tile
        center, top, size = left + width / 2, bottom - height - 0.7, 30 / columns
        ax.text(center, top, title, ha="center", va="bottom", fontsize=size, parse_math=False)
    ax.imshow(canvas, interpolation="nearest")
    ax.axis("off")
    return ax


def samples(data: InMemory, ax: Axes, count: int = 25) -> Axes:
    """Plot random training images and their classes, the same ones for every run on a split."""
    x, y, *_ = data.splits["train"]
    rows = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))[:count]
    return grid(x[rows], [data.spec.classes[number] for number in y[rows]], ax)


def mistakes(predictions: pd.DataFrame, data: InMemory, ax: Axes, count: int = 25) -> Axes:
    """Plot the wrongly classified test images with the most probable predictions: prediction, probability and class."""
    probability = predictions[[f"probability_{name}" for name in data.spec.classes]].to_numpy().max(1)
    wrong = np.flatnonzero((predictions["prediction"] != predictions["actual"]).to_numpy())
    rows = wrong[np.argsort(-probability[wrong], kind="stable")][:count]
    shown = predictions.iloc[rows].assign(probability=probability[rows])
    titles = [
        f"{row['prediction']} {row['probability']:.0%}\nis {row['actual']}"
        for row in shown[["prediction", "probability", "actual"]].to_dict("records")
    ]
    if not len(rows):
        ax.text(0.5, 0.5, "no mistakes", ha="center")
        ax.axis("off")
        return ax
    return grid(data.splits["test"].x[torch.from_numpy(rows)], titles, ax)


def filters(weights: Tensor, ax: Axes, names: tuple[str, ...] = ()) -> Axes:
    """Plot the weights (units, channels, height, width) of a first layer, each unit scaled to its own range."""
    low, high = weights.flatten(1).min(1).values, weights.flatten(1).max(1).values
    scaled = (weights - low.reshape(-1, 1, 1, 1)) / (high - low).clamp(min=1e-12).reshape(-1, 1, 1, 1)
    return grid(scaled, list(names) or [""] * len(weights), ax, columns=8 if len(weights) > 12 else 5)


def first_layer(network: nn.Module, spec: Spec, most: int = 64) -> Tensor | None:
    """Return the weights of a network's first layer as images, if it is a convolution or reads whole images."""
    layer = next((module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)), None)
    if layer is None or spec.shape[0] not in (1, 3):
        return None
    weights = layer.weight.detach().cpu()[:most]
    if isinstance(layer, nn.Linear):
        return weights.unflatten(1, spec.shape) if weights.shape[1] == np.prod(spec.shape) else None
    return weights if weights.shape[1] == spec.shape[0] else None


def reconstructions(task: Task, data: InMemory, ax: Axes, count: int = 8) -> Axes:
    """Plot test images in the upper row, and their reconstructions in the lower one."""
    with torch.inference_mode():
        x, _ = task.eval().fed(data.splits["test"].x[:count])
        both = torch.cat([x, task.network(x)]) * task.feed.std + task.feed.mean  # type: ignore[union-attr, operator]
    return grid(both, [""] * len(both), ax, columns=len(x))


def draw(folder: Path, predictions: pd.DataFrame, task: Task, data: InMemory) -> None:
    """Draw the plots that a run on images has besides those of its task."""
    drawings: dict[str, Callable[[Axes], Axes]] = {"samples": lambda ax: samples(data, ax)}
    if isinstance(task, Reconstruction):
        drawings["reconstruction"] = lambda ax: reconstructions(task, data, ax)
    else:
        drawings["mistakes"] = lambda ax: mistakes(predictions, data, ax)
    if (weights := first_layer(task.network, data.spec)) is not None:
        names = data.spec.classes if len(weights) == len(data.spec.classes) else ()
        drawings["filters"] = lambda ax: filters(weights, ax, names)
    for name, drawing in drawings.items():
        plots.save(folder / f"{name}.png", drawing, size=(7, 7), margins="tight")
