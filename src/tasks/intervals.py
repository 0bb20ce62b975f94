"""Intervals of the metrics of one run, over resampled rows."""

import math

import pandas as pd
import torch
from torch import Tensor

from src.data.datamodule import Split, stored
from src.tasks.task import Task

RESAMPLES = 500


def intervals(task: Task, output: Tensor, target: Tensor, split: Split) -> dict[str, list[float]]:
    """Return a 95 % bootstrap interval of each metric of the outputs and targets of a split, for the given network.

    Windows that overlap depend on their neighbours, so that blocks of them are drawn (Künsch, 1989).
    """
    rows, random, found = len(target), torch.Generator().manual_seed(0), []
    overlapping = isinstance(split.x, Tensor) and len(stored(split.x)) < split.x.numel()
    block = round(rows ** (1 / 3)) if overlapping else 1
    for _ in range(RESAMPLES):
        first = torch.randint(rows, (math.ceil(rows / block), 1), generator=random)
        drawn = ((first + torch.arange(block)).flatten() % rows)[:rows]
        found.append(task.measure(output[drawn], target[drawn]))
    return pd.DataFrame(found).quantile([0.025, 0.975]).to_dict("list")
