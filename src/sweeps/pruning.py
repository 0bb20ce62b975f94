"""A callback that stops hopeless jobs of a search."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from src.errors import UserError
from src.runs import history
from src.runs import result as results
from src.tasks.task import Task


class Pruning(Callback):
    """Stop a fit whose best value so far is worse than the median of its siblings by the same epoch.

    The rule is that of Optuna's MedianPruner, over the jobs in the folders beside this one that have ended by themselves, in
    whatever process they ran. MedianPruner itself needs a study with the values of all epochs, which would have to be built
    from the same files.

    Args:
        monitor: Monitored value, such as ``val/loss``.
        mode: ``min`` or ``max``.
        folder: Folder of this job.
        trials: Number of siblings that must have ended.
        epochs: Number of epochs that this job has at least.
    """

    def __init__(self, monitor: str, mode: str, folder: str, trials: int = 5, epochs: int = 5):
        self.monitor, self.sign, self.folder = monitor, 1 if mode == "min" else -1, Path(folder)
        self.trials, self.epochs = trials, epochs
        self.best = math.inf
        self.curves: dict[Path, np.ndarray | None] = {}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        task, epoch = cast(Task, pl_module), trainer.current_epoch
        if self.monitor in trainer.callback_metrics:
            self.best = min(self.best, self.sign * float(trainer.callback_metrics[self.monitor]))
        if epoch < self.epochs:
            return
        values = [curve[min(epoch, len(curve) - 1)] for curve in self.siblings()]
        if len(values) >= self.trials and self.best > np.median(values):
            task.pruned = trainer.should_stop = True

    def siblings(self) -> list[np.ndarray]:
        """Return the best value by each epoch of every sibling that has ended; smaller is better."""
        for path in self.folder.parent.glob("*/result.json"):
            run = path.parent
            if run == self.folder or run in self.curves:
                continue
            try:
                result = results.read(run)
                if result["status"] == "interrupted":
                    continue
                kept = result["status"] in ("finished", "stopped early") and not result.get("pruned")
                values = self.sign * history.load(run)[self.monitor] if kept else None
                self.curves[run] = None if values is None else values.cummin().ffill().fillna(math.inf).to_numpy()
            except (UserError, KeyError):  # damaged: the summary says so
                self.curves[run] = None
        return [curve for curve in self.curves.values() if curve is not None]

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]
