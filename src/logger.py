"""Lightning's CSVLogger with one row per epoch."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities.rank_zero import rank_zero_only


class EpochWriter(ExperimentWriter):
    """Lightning's writer, but it goes on with an existing file, keeps the columns' order, and counts no steps."""

    def _check_log_dir_exists(self) -> None:
        path = Path(self.metrics_file_path)
        if path.is_file():
            with path.open(newline="") as file:
                self.metrics_keys = next(csv.reader(file), [])

    def log_metrics(self, metrics_dict: dict[str, Any], step: int | None = None) -> None:
        # Lightning logs in single precision: its shortest decimal form is exact, and 0.001 stays 0.001
        self.metrics.append(
            {key: float(str(np.float32(value))) for key, value in metrics_dict.items()} | {"epoch": step or 0}
        )

    def _record_new_keys(self) -> set[str]:
        new = [key for row in self.metrics for key in row if key not in self.metrics_keys]
        self.metrics_keys.extend(dict.fromkeys(new))
        return set(new)


class EpochCSVLogger(CSVLogger):
    """Writes ``metrics.csv`` straight into ``save_dir``: one row per epoch, on disk as soon as the epoch ends."""

    def __init__(self, save_dir: str):
        super().__init__(save_dir, name="", version="", flush_logs_every_n_steps=1)

    @property
    def experiment(self) -> Any:
        if self._experiment is None:
            self._experiment = EpochWriter(log_dir=self.save_dir)
        return self._experiment

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        super().log_metrics({"epoch": 0} | metrics, step)  # the first column; the task counts its steps in epochs
