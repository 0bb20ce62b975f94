"""Lightning's loggers: ``metrics.csv`` with one row per epoch, which every run has, and TensorBoard and MLflow beside it."""

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


class TensorBoard(TensorBoardLogger):
    """Writes event files into ``tensorboard/`` of a run's folder."""

    def __init__(self, save_dir: str):
        super().__init__(save_dir, name="", version="tensorboard", default_hp_metric=False)

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        super().log_metrics(known(metrics), step)


class MLflow(MLFlowLogger):
    """Writes a run into a store of MLflow's; ``mlflow_run`` remembers which one, so that a resumed run goes on with it.

    Args:
        save_dir: The run's folder.
        tracking_uri: A folder, or what else MLflow takes, as ``http://localhost:5000``.
        experiment_name: Where MLflow lists the run.
    """

    def __init__(self, save_dir: str, tracking_uri: str, experiment_name: str):
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # MLflow wants to be asked for one
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        logging.getLogger("lightning.pytorch.loggers.mlflow").setLevel(logging.ERROR)  # it tells of every new experiment
        self.folder, self.mark = Path(save_dir), Path(save_dir, "mlflow_run")
        uri = tracking_uri if "://" in tracking_uri else Path(tracking_uri).absolute().as_uri()
        name = f"{self.folder.parent.name}/{self.folder.name}"
        run = self.mark.read_text() if self.mark.is_file() else None
        super().__init__(experiment_name, name, uri, run_id=run)

    def log_hyperparams(self, params: Any) -> None:
        super().log_hyperparams(params)
        self.mark.write_text(str(self.run_id))

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        super().log_metrics(known(metrics), step)

    def finish(self, result: dict[str, Any]) -> None:
        """Adds what is known at a run's end: test metrics, status, files and pictures."""
        client, run = self.experiment, self.run_id
        super().log_metrics(known({f"test/{name}": value for name, value in (result["test"] or {}).items()}), 0)
        for key in ("data", "model", "protocol", "seed", "status"):
            client.set_tag(run, key, str(result[key]))
        for name in ("result.json", "model.txt"):
            client.log_artifact(run, str(self.folder / name))
        if (self.folder / "plots").is_dir():
            client.log_artifacts(run, str(self.folder / "plots"), "plots")
        ended = {"interrupted": "KILLED", "failed": "FAILED", "diverged": "FAILED"}
        client.set_terminated(run, ended.get(result["status"], "FINISHED"))


def known(metrics: dict[str, Any]) -> dict[str, float]:
    """The metrics that an epoch has; one without validation has none of its."""
    return {name: value for name, value in metrics.items() if not math.isnan(value)}


def make(config: DictConfig, folder: Path) -> list[Logger]:
    """The configured loggers, told the configuration; one that writes ``metrics.csv`` is always among them."""
    parts = [part for part in (config.get("logger") or {}).values() if part]
    loggers = [instantiate(part, save_dir=str(folder)) for part in parts]
    if not any(isinstance(logger, EpochCSVLogger) for logger in loggers):
        loggers.insert(0, EpochCSVLogger(str(folder)))
    if not config.resume:
        values = leaves(OmegaConf.to_container(config, resolve=True))
        for logger in loggers:
            if not isinstance(logger, EpochCSVLogger):  # .hydra/config.yaml has it
                logger.log_hyperparams(values)
    return loggers


def finish(config: DictConfig, folder: Path, result: dict[str, Any]) -> None:
    """Tells loggers of a run's end that its fit has told of its beginning."""
    for part in (config.get("logger") or {}).values():
        if part and part._target_ == "src.training.loggers.MLflow" and (folder / "mlflow_run").is_file():
            instantiate(part, save_dir=str(folder)).finish(result)
