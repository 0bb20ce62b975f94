"""Predictions and exact metrics of a task on any split, the same after a fit and from a stored run."""

from __future__ import annotations

import pandas as pd

from src.data.datamodule import Batches
from src.errors import UserError
from src.tasks.task import Task


def measure(
    task: Task, batches: Batches, accelerator: str = "cpu", limit: float | int = 1.0
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Run a task over batches in evaluation mode.

    Args:
        task: Task with the weights to measure.
        batches: Batches of one split, in order.
        accelerator: Device type to run on.
        limit: Fraction or number of batches, as Lightning's ``limit_test_batches``.

    Returns:
        One row per sample with its target, and the metrics over all samples.
    """
    count = int(limit * len(batches)) if isinstance(limit, float) else limit
    if count < 1:
        raise UserError(f"trainer.limit_test_batches={limit}: is no whole batch of {len(batches)}; set it higher")
    output, target = task.outputs(batches, accelerator, count)
    taken = batches.taken()[: len(target)]
    table = task.table(output, batches.split.rows[taken], target).iloc[taken.argsort()]
    return table, task.measure(output, target)
