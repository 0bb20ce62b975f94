"""Names what pictures without classes show, by the 1,000 classes of ImageNet."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pandas as pd
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from torch import Tensor

from src.data.datamodule import Batch, InMemory
from src.data.images.folder import Folder
from src.tasks.classification import Classification
from src.tasks.task import Task

MOST_SHOWN, MOST_DRAWN = 20, 48


def name(task: Task, data: InMemory, folder: Path, accelerator: str, announced: bool) -> None:
    """Writes ``predictions.csv`` and ``plots/contact_sheet.png``, and prints the table of the first pictures."""
    assert isinstance(task, Classification)
    assert isinstance(data, Folder)
    best = likeliest(task.to(accelerator).eval(), data)
    best.to_csv(folder / "predictions.csv", float_format="%.7g")
    contact_sheet(folder / "plots" / "contact_sheet.png", data.splits["test"].x, best)
    if announced:
        show(best)


@torch.inference_mode()
def likeliest(task: Classification, data: Folder) -> pd.DataFrame:
    """The likeliest classes of each picture and their probabilities: ``class_1``, ``probability_1``, ``class_2``, …"""
    batches = cast(Iterator[Batch], iter(data.batches("test")))
    outputs = torch.cat([task.network(task.fed(x.to(task.device))[0]).cpu() for x, _ in batches])
    probabilities, numbers = task.probabilities(outputs).topk(data.top)  # (n, top)
    columns: dict[str, Any] = {}
    for place in range(data.top):
        columns[f"class_{place + 1}"] = [data.spec.classes[number] for number in numbers[:, place]]
        columns[f"probability_{place + 1}"] = probabilities[:, place].numpy()
    return pd.DataFrame(columns, index=data.splits["test"].rows)


def listed(row: pd.Series) -> list[tuple[str, str]]:
    """The classes of a picture with their probabilities, as they are shown."""
    values = row.tolist()
    return [(label, f"{probability:.3f}") for label, probability in zip(values[::2], values[1::2], strict=True)]


def show(best: pd.DataFrame) -> None:
    """Prints the classes of the first pictures."""
    table = Table("picture", "class", "probability")
    for picture, row in best.iloc[:MOST_SHOWN].iterrows():
        labels, probabilities = zip(*listed(row), strict=True)
        table.add_row(str(picture), "\n".join(labels), "\n".join(probabilities))
    Console().print(table)
    if len(best) > MOST_SHOWN:
        print(f"and {len(best) - MOST_SHOWN:,} more pictures, in predictions.csv")


def contact_sheet(path: Path, pictures: Tensor, best: pd.DataFrame, columns: int = 4) -> None:
    """Draws the first pictures (n, 3, height, width) as the network saw them, each above its classes."""
    count = min(len(pictures), MOST_DRAWN)
    columns = min(columns, count)
    rows, lines = -(-count // columns), 1 + best.shape[1] // 2
    figure = Figure(figsize=(2.6 * columns, (2.7 + 0.16 * lines) * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.axis("off")
    for ax, picture, (label, row) in zip(axes[:count], pictures, best.iterrows(), strict=False):
        ax.imshow(picture.permute(1, 2, 0).numpy())
        text = "\n".join([short(str(label)), *(f"{probability} {short(name)}" for name, probability in listed(row))])
        ax.set_title(text, fontsize=8, loc="left", y=-0.03, va="top", parse_math=False)
    path.parent.mkdir(exist_ok=True)
    with warnings.catch_warnings(action="ignore"):  # of letters in names that the font lacks
        figure.savefig(path, dpi=100)


def short(text: str, most: int = 28) -> str:
    return text if len(text) <= most else f"…{text[1 - most :]}"
