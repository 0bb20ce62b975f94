"""Images without classes, labelled by a pretrained network with the 1,000 classes of ImageNet."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from src.data.datamodule import Batch, InMemory
from src.reporting import plots
from src.reporting.images.plots import grid
from src.tasks.task import Task

if TYPE_CHECKING:  # runs on numbers start without what images need
    from src.data.images.folder import Folder
    from src.tasks.classification import Classification

MOST_SHOWN, MOST_DRAWN = 20, 48


def label(task: Task, data: InMemory, folder: Path, accelerator: str, announce: bool) -> None:
    """Write ``predictions.csv`` and ``plots/contact_sheet.png``; print the labels of the first images if ``announce``."""
    best = most_probable(cast("Classification", task.to(accelerator).eval()), cast("Folder", data))
    best.to_csv(folder / "predictions.csv")
    contact_sheet(folder / "plots" / "contact_sheet.png", data.splits["test"].x, best)
    if announce:
        show(best)


@torch.inference_mode()
def most_probable(task: Classification, data: Folder) -> pd.DataFrame:
    """Return the most probable classes of each image: ``class_1``, ``probability_1``, ``class_2``, …"""
    batches = cast(Iterator[Batch], iter(data.batches("test")))
    outputs = torch.cat([task.network(task.fed(x.to(task.device))[0]).cpu() for x, _ in batches])
    probabilities, numbers = task.probabilities(outputs).topk(data.top)  # (n, top)
    columns: dict[str, Any] = {}
    for rank in range(data.top):
        columns[f"class_{rank + 1}"] = [data.spec.classes[number] for number in numbers[:, rank]]
        columns[f"probability_{rank + 1}"] = probabilities[:, rank].numpy()
    return pd.DataFrame(columns, index=data.splits["test"].rows)


def listed(row: pd.Series) -> list[tuple[str, str]]:
    """Return the classes of an image with their probabilities as text."""
    values = row.tolist()
    return [(label, f"{probability:.3f}") for label, probability in zip(values[::2], values[1::2], strict=True)]


def show(best: pd.DataFrame) -> None:
    """Print the classes of the first images."""
    table = Table("image", "class", "probability")
    for image, row in best.iloc[:MOST_SHOWN].iterrows():
        labels, probabilities = zip(*listed(row), strict=True)
        table.add_row(str(image), "\n".join(labels), "\n".join(probabilities))
    Console().print(table)
    if len(best) > MOST_SHOWN:
        print(f"and {len(best) - MOST_SHOWN:,} more images in predictions.csv")


def contact_sheet(path: Path, images: Tensor, best: pd.DataFrame, columns: int = 4) -> None:
    """Draw the first images (n, 3, height, width) as the network reads them, each below its classes."""
    first = best.iloc[:MOST_DRAWN]
    titles = [
        "\n".join([short(str(name)), *(f"{probability} {short(label)}" for label, probability in listed(row))])
        for name, row in first.iterrows()
    ]
    size = (2.6 * columns, 3.6 * -(-len(first) // columns))
    with warnings.catch_warnings(action="ignore"):  # of characters that the font lacks
        plots.save(path, lambda ax: grid(images[: len(first)], titles, ax, columns), size, margins="tight")


def short(text: str, most: int = 28) -> str:
    return text if len(text) <= most else f"…{text[1 - most :]}"
