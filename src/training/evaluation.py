"""Measuring: predictions and exact metrics of a task on any split, the same way after a fit and years later."""

from __future__ import annotations

import pandas as pd

from src.data.datamodule import Batches
from src.errors import UserError
from src.tasks.task import Task


def measure(
    task: Task, batches: Batches, accelerator: str = "cpu", limit: float | int = 1.0
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Runs ``task`` over batches in evaluation mode.

    Args:
        task: With the weights to measure.
        batches: Of one split, in order.
        accelerator: Where to run.
        limit: Share or number of batches, as Lightning's ``limit_test_batches``.

    Returns:
        One row per sample with the truth beside it, and the metrics over all of them.
    """
    count = int(limit * len(batches)) if isinstance(limit, float) else limit
    if count < 1:
        raise UserError(f"trainer.limit_test_batches={limit}: is no whole batch of {len(batches)}; set it higher")
    output, target = task.outputs(batches, accelerator, count)
    taken = batches.taken()[: len(target)]
    table = task.table(output, batches.split.rows[taken], target).iloc[taken.argsort()]
    return table, task.measure(output, target)
