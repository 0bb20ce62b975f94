"""Measuring: predictions and exact metrics of a task on any split, the same way after a fit and years later."""

from __future__ import annotations

import pandas as pd
from lightning.pytorch import Trainer

from src.data.datamodule import Batches
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
    trainer = Trainer(
        accelerator=accelerator,
        devices=1,
        limit_test_batches=limit,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.test(task, dataloaders=batches, verbose=False)
    assert task.tested is not None
    (output, target), metrics = task.tested
    taken = batches.taken()[: len(target)]
    return task.table(output, batches.split.rows[taken], target).iloc[taken.argsort()], metrics
