"""Pictures of pictures: samples, mistakes, filters and reconstructions."""

from __future__ import annotations

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


def grid(pictures: Tensor, titles: list[str], ax: Axes, columns: int = 5) -> Axes:
    """Pictures (n, channels, height, width), bytes or numbers from 0 to 1, row by row with a title above each."""
    bytes_ = pictures if pictures.dtype == torch.uint8 else (pictures.clamp(0, 1) * 255).to(torch.uint8)
    tiles = bytes_[:, :3].permute(0, 2, 3, 1).expand(-1, -1, -1, 3).numpy()  # (n, height, width, 3)
    height, width = tiles.shape[1:3]
    down, right = height + max(2, height // 4), width + max(1, width // 8)
    rows = -(-len(tiles) // columns)
    canvas = np.full((rows * down, columns * right, 3), 255, np.uint8)
    for place, (tile, title) in enumerate(zip(tiles, titles, strict=True)):
        row, column = divmod(place, columns)
        bottom, left = (row + 1) * down, column * right
        canvas[bottom - height : bottom, left : left + width] = tile
        ax.text(left + width / 2, bottom - height - 0.7, title, ha="center", va="bottom", fontsize=30 / columns)
    ax.imshow(canvas, interpolation="nearest")
    ax.axis("off")
    return ax


def samples(data: InMemory, ax: Axes, count: int = 25) -> Axes:
    """Training pictures drawn by lot, the same for every run on a split, and their classes."""
    x, y, *_ = data.splits["train"]
    rows = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))[:count]
    return grid(x[rows], [data.spec.classes[number] for number in y[rows]], ax)


def mistakes(predictions: pd.DataFrame, data: InMemory, ax: Axes, count: int = 25) -> Axes:
    """The test pictures of which the network was most certain, and wrong: what it said, how probable, what they are."""
    sure = predictions[[f"probability_{name}" for name in data.spec.classes]].to_numpy().max(1)
    wrong = np.flatnonzero((predictions["prediction"] != predictions["actual"]).to_numpy())
    rows = wrong[np.argsort(-sure[wrong], kind="stable")][:count]
    said = predictions.iloc[rows]
    titles = [
        f"{prediction} {probability:.0%}\nis {actual}"
        for prediction, probability, actual in zip(said["prediction"], sure[rows], said["actual"], strict=True)
    ]
    if not len(rows):
        ax.text(0.5, 0.5, "no mistakes", ha="center")
        ax.axis("off")
        return ax
    return grid(data.splits["test"].x[torch.from_numpy(rows)], titles, ax)


def filters(weights: Tensor, ax: Axes, names: tuple[str, ...] = ()) -> Axes:
    """What each unit of a first layer looks for, weights (units, channels, height, width), from its least to its most."""
    low, high = weights.flatten(1).min(1).values, weights.flatten(1).max(1).values
    scaled = (weights - low.reshape(-1, 1, 1, 1)) / (high - low).clamp(min=1e-12).reshape(-1, 1, 1, 1)
    return grid(scaled, list(names) or [""] * len(weights), ax, columns=8 if len(weights) > 12 else 5)


def first_layer(network: nn.Module, spec: Spec, most: int = 64) -> Tensor | None:
    """The weights of a network's first layer as pictures, if it is a convolution or reads whole pictures."""
    layer = next((module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)), None)
    if layer is None or spec.shape[0] not in (1, 3):
        return None
    weights = layer.weight.detach().cpu()[:most]
    if isinstance(layer, nn.Linear):
        return weights.unflatten(1, spec.shape) if weights.shape[1] == np.prod(spec.shape) else None
    return weights if weights.shape[1] == spec.shape[0] else None


def reconstructions(task: Task, data: InMemory, ax: Axes, count: int = 8) -> Axes:
    """Test pictures in the upper row, and what the network makes of each in the lower one."""
    with torch.inference_mode():
        x, _ = task.eval().fed(data.splits["test"].x[:count])
        both = torch.cat([x, task.network(x)]) * task.feed.std + task.feed.mean  # type: ignore[union-attr, operator]
    return grid(both, [""] * len(both), ax, columns=len(x))


def draw(folder: Path, predictions: pd.DataFrame, task: Task, data: InMemory) -> None:
    """Draws what a run on pictures leaves besides what its task draws."""
    pictures: dict[str, Callable[[Axes], Axes]] = {"samples": lambda ax: samples(data, ax)}
    if isinstance(task, Reconstruction):
        pictures["reconstruction"] = lambda ax: reconstructions(task, data, ax)
    else:
        pictures["mistakes"] = lambda ax: mistakes(predictions, data, ax)
    if (weights := first_layer(task.network, data.spec)) is not None:
        names = data.spec.classes if len(weights) == len(data.spec.classes) else ()
        pictures["filters"] = lambda ax: filters(weights, ax, names)
    for name, picture in pictures.items():
        plots.save(folder / f"{name}.png", picture, size=(7, 7), margins="tight")
