"""Loggers: ``metrics.csv`` with one row per epoch, which every run has, and TensorBoard and MLflow beside it."""

import csv
import logging
import math
import os
from pathlib import Path
from typing import Any

import pandas as pd
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from src.config.compose import leaves
from src.data import csv_file
from src.runs import files
from src.training.build import instantiate

CSV = "src.training.loggers.EpochCSVLogger"
MLFLOW_RUN = "mlflow_run"  # file with the id of the run in MLflow's store


class EpochCSVLogger(CSVLogger):
    """One row per epoch in ``save_dir/metrics.csv``: the task's metrics, and beside them what callbacks log in that epoch.

    Of a value that is logged several times in an epoch, the last is kept. A row is on disk as soon as the task has logged
    its part, which has ``seconds``. New columns, and callbacks that log after that, have the file written anew.
    """

    experiment = None  # Lightning's writer deletes the rows of a run that is resumed
    trainer: Trainer | None = None  # it runs the epochs; a baseline, which has one row, has none

    def __init__(self, save_dir: str):
        super().__init__(save_dir, name="", version="")
        self.path = Path(save_dir, "metrics.csv")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        rows = csv_file.epochs(self.path, str).to_dict("records") if self.path.is_file() else []
        self.rows: dict[int, dict[str, Any]] = {int(row["epoch"]): row for row in rows}
        self.columns = list(rows[0]) if rows else []

    def pass_over(self, *_: Any, **__: Any) -> None:
        """Do nothing: ``.hydra/config.yaml`` has the configuration, and each row is written as it comes."""

    log_hyperparams = save = finalize = pass_over

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        # the step of a callback counts batches; the epoch is the one that has begun last, also after its end
        begun = self.trainer.fit_loop.epoch_progress.current.ready if self.trainer else 1
        epoch = {"epoch": max(begun - 1, 0)}
        values = {name: value.item() if isinstance(value, Tensor) else value for name, value in metrics.items()}
        before = self.rows.get(epoch["epoch"], {})
        row = self.rows[epoch["epoch"]] = epoch | values | before | values | epoch  # the task's columns come first
        if "seconds" not in row:
            return
        new = [name for name in row if name not in self.columns]
        self.columns += new
        if new or "seconds" in before:
            write(pd.DataFrame(list(self.rows.values()), columns=self.columns), self.path)
        else:
            with self.path.open("a", newline="") as file:
                csv.writer(file).writerow(row.get(name, math.nan) for name in self.columns)


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a ``metrics.csv``, whole or not at all."""
    files.write(table.to_csv(index=False, na_rep="nan", lineterminator="\r\n"), path)


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
    """Return the configured loggers with the configuration logged; the first one, always there, writes ``metrics.csv``."""
    parts = [part for part in (config.get("logger") or {}).values() if part and part._target_ != CSV]
    loggers = [EpochCSVLogger(str(folder)), *(instantiate(part, save_dir=str(folder)) for part in parts)]
    for logger in loggers:
        if not config.resume:
            logger.log_hyperparams(leaves(OmegaConf.to_container(config, resolve=True)))
    return loggers


def finish(config: DictConfig, folder: Path, result: dict[str, Any]) -> None:
    """Add test metrics, status, files and plots to the run in MLflow's store, if it has begun one."""
    addresses = [part.tracking_uri for part in (config.get("logger") or {}).values() if part and "tracking_uri" in part]
    if not addresses or not (folder / MLFLOW_RUN).is_file():
        return
    from mlflow.tracking import MlflowClient

    client, run = MlflowClient(store(addresses[0])), (folder / MLFLOW_RUN).read_text()
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
