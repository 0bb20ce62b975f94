"""Loggers: ``metrics.csv`` with one row per epoch, which every run has, and TensorBoard and MLflow beside it."""

from __future__ import annotations

import csv
import logging
import math
import os
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from omegaconf import DictConfig, OmegaConf

from src.config.compose import leaves
from src.training.build import instantiate

MLFLOW_RUN = "mlflow_run"  # file with the id of the run in MLflow's store


class EpochWriter(ExperimentWriter):
    """Lightning's writer, but it appends to an existing file, keeps the order of the columns, and writes no steps."""

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
    """Lightning's logger with one row per epoch in ``save_dir/metrics.csv``, on disk as soon as the epoch ends."""

    def __init__(self, save_dir: str):
        super().__init__(save_dir, name="", version="", flush_logs_every_n_steps=1)

    @property
    def experiment(self) -> Any:
        if self._experiment is None:
            self._experiment = EpochWriter(log_dir=self.save_dir)
        return self._experiment


class TensorBoard(TensorBoardLogger):
    """Event files in ``tensorboard/`` of a run's folder."""

    def __init__(self, save_dir: str):
        super().__init__(save_dir, name="", version="tensorboard", default_hp_metric=False)

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        super().log_metrics(without_nan(metrics), step)


class MLflow(MLFlowLogger):
    """A run in a store of MLflow's; the file ``mlflow_run`` keeps its id, so that a resumed run continues it.

    Args:
        save_dir: Folder of the run.
        tracking_uri: A folder, or the address of a server, as ``http://localhost:5000``.
        experiment_name: Name under which MLflow lists the run.
    """

    def __init__(self, save_dir: str, tracking_uri: str, experiment_name: str):
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # MLflow requires consent to store runs in files
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        logging.getLogger("lightning.pytorch.loggers.mlflow").setLevel(logging.ERROR)  # it warns of every new experiment
        folder = Path(save_dir)
        self.id_file = folder / MLFLOW_RUN
        run = self.id_file.read_text() if self.id_file.is_file() else None
        super().__init__(experiment_name, f"{folder.parent.name}/{folder.name}", store(tracking_uri), run_id=run)

    def log_hyperparams(self, params: Any) -> None:
        super().log_hyperparams(params)
        self.id_file.write_text(str(self.run_id))

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        super().log_metrics(without_nan(metrics), step)


def store(tracking_uri: str) -> str:
    """Return the address of MLflow's store; a folder becomes a file address."""
    return tracking_uri if "://" in tracking_uri else Path(tracking_uri).absolute().as_uri()


def without_nan(metrics: dict[str, Any]) -> dict[str, float]:
    """Return the metrics of an epoch without those that were not measured, such as all of ``val/`` without validation."""
    return {name: value for name, value in metrics.items() if not math.isnan(value)}


def make(config: DictConfig, folder: Path) -> list[Logger]:
    """Return the configured loggers with the configuration logged; one that writes ``metrics.csv`` is always among them."""
    parts = [part for part in (config.get("logger") or {}).values() if part]
    loggers = [instantiate(part, save_dir=str(folder)) for part in parts]
    if not any(isinstance(logger, EpochCSVLogger) for logger in loggers):
        loggers.insert(0, EpochCSVLogger(str(folder)))
    for logger in loggers:
        if not config.resume and not isinstance(logger, EpochCSVLogger):  # .hydra/config.yaml has the configuration
            logger.log_hyperparams(leaves(OmegaConf.to_container(config, resolve=True)))
    return loggers


def finish(config: DictConfig, folder: Path, result: dict[str, Any]) -> None:
    """Add test metrics, status, files and plots to the run in MLflow's store, if it has begun one."""
    address = next(
        (part.tracking_uri for part in (config.get("logger") or {}).values() if part and "tracking_uri" in part), None
    )
    if address is None or not (folder / MLFLOW_RUN).is_file():
        return
    from mlflow.tracking import MlflowClient

    client, run = MlflowClient(store(address)), (folder / MLFLOW_RUN).read_text()
    for name, value in without_nan(result["test"] or {}).items():
        client.log_metric(run, f"test/{name}", value, step=0)
    for key in ("data", "model", "protocol", "seed", "status"):
        client.set_tag(run, key, str(result[key]))
    for name in ("result.json", "model.txt"):
        client.log_artifact(run, str(folder / name))
    if (folder / "plots").is_dir():
        client.log_artifacts(run, str(folder / "plots"), "plots")
    status = {"interrupted": "KILLED", "failed": "FAILED", "diverged": "FAILED"}
    client.set_terminated(run, status.get(result["status"], "FINISHED"))
