"""Lightning's CSVLogger with one row per epoch."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter


class EpochWriter(ExperimentWriter):
    """Lightning's writer, but it goes on with an existing file, keeps the columns' order, and counts no steps."""

    def _check_log_dir_exists(self) -> None:
        path = Path(self.metrics_file_path)
        if path.is_file():
            with path.open(newline="") as file:
                self.metrics_keys = next(csv.reader(file), [])

    def log_metrics(self, metrics_dict: dict[str, Any], step: int | None = None) -> None:
        self.metrics.append({"epoch": step or 0} | metrics_dict)

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
