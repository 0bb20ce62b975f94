"""Fitting: Lightning with our callbacks for networks, one call for baselines; both write metrics and checkpoints."""

import copy
import functools
import signal
import time
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint, WeightAveraging
from omegaconf import DictConfig
from torch import Tensor

from src.baselines.estimator import Estimator
from src.data import csv_file
from src.data.datamodule import BLOCK, InMemory
from src.errors import UserError, sentence
from src.tasks.task import Task
from src.training import distributed, interrupt, loggers
from src.training.build import instantiate


class StopOnRequest(Callback):
    """End a fit after the epoch in which Ctrl-C was pressed."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # of several devices one may see the signal, and all must stop after the same epoch
        stop = trainer.should_stop or interrupt.requested()
        trainer.should_stop = trainer.strategy.reduce_boolean_decision(stop, all=False)


class Checkpoint(ModelCheckpoint):
    """Lightning's checkpoint that keeps its best score after the folder of the run was moved or copied."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # paths of the old folder only name its files: Lightning deletes none outside of dirpath
        super().load_state_dict(state_dict | {"dirpath": self.dirpath})


class Averaging(EMAWeightAveraging):
    """Lightning's exponential moving average of the weights; the average is validated, kept and tested.

    The task's own buffers, which it sets from the validation split (a threshold), are kept as they are: they belong to the
    averaged weights already.
    """

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        current = checkpoint.get("current_model_state", {})
        checkpoint["state_dict"] |= {name: value for name, value in current.items() if not name.startswith("network.")}


def device(accelerator: str, devices: int = 1) -> str:
    """Return the accelerator to use; ``auto`` is CUDA where there is one, else the CPU.

    Raises:
        UserError: This machine has no such device, or fewer of them; a CPU takes any number of processes.
    """
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if accelerator == "auto":
        accelerator = "cuda" if present["cuda"] else "cpu"
    if not present.get(accelerator):
        available = ", ".join(name for name, found in present.items() if found)
        raise UserError(f"accelerator={accelerator}: this machine has no such device; choose one of: {available}, auto")
    count = torch.cuda.device_count()
    if accelerator == "cuda" and devices > max(1, count):
        raise UserError(f"trainer.devices={devices}: this machine has {count}; use trainer.devices={count}")
    return accelerator


def make_trainer(task: Task, config: DictConfig, folder: Path, accelerator: str) -> Trainer:
    """Return Lightning's Trainer with the configured callbacks and loggers; it monitors ``config.monitor``."""
    rising = task.higher_is_better[config.monitor.rpartition("/")[2]]
    monitor = {"monitor": config.monitor, "mode": "max" if rising else "min"}
    checkpoints = {"dirpath": str(folder / "checkpoints"), "enable_version_counter": False}
    # every epoch measures train/, and by default Lightning looks at it only after a validation, unless each epoch has one
    each = config.monitor.startswith("train/")
    arguments = {
        "early_stopping": monitor | ({"check_on_train_epoch_end": True} if each else {}),
        "best": monitor | checkpoints | {"filename": "best"} | ({"save_on_train_epoch_end": True} if each else {}),
        "last": checkpoints | {"filename": "last", "save_on_train_epoch_end": True},
        "pruning": monitor | {"folder": str(folder)},
    }
    chosen = {name: part for name, part in (config.get("callbacks") or {}).items() if part}
    trainer: Trainer = instantiate(
        config.trainer,
        accelerator=accelerator,
        callbacks=[StopOnRequest(), *(instantiate(part, **arguments.get(name, {})) for name, part in chosen.items())],
        logger=loggers.make(config, folder),
        enable_progress_bar="progress" in chosen,
        default_root_dir=str(folder),
    )
    for logger in trainer.loggers:
        vars(logger)["trainer"] = trainer  # ours asks it for the epoch
    return trainer


def fit_network(task: Task, data: InMemory, config: DictConfig, folder: Path, accelerator: str) -> str:
    """Train by epochs, from the start or from the last checkpoint of ``config.resume``; return the run's status."""
    if "strategy" in config.trainer:
        task = copy.deepcopy(task)  # the caller's task keeps whole weights, on its own device
    if config.trainer.get("shards"):
        task.configure_model = functools.partial(distributed.shard, task)  # type: ignore[method-assign]
    checkpoint = Path(config.resume, "checkpoints", "last.ckpt") if config.resume else None
    if checkpoint and not distributed.rank(config):
        rewind(folder, checkpoint)
    trainer = make_trainer(task, config, folder, accelerator)
    data.seed = config.seed
    # blocks of batches save time, but a limited epoch counts batches (1 is one of them, 1.0 all of them), several devices
    # synchronise after each, and averages change after each
    whole = isinstance(trainer.limit_train_batches, float) and trainer.limit_train_batches == 1.0
    averaging = any(isinstance(callback, WeightAveraging) for callback in getattr(trainer, "callbacks", []))
    data.block = BLOCK if whole and trainer.world_size == 1 and not averaging else 1
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        with interrupt.stop_after_epoch(announce=not distributed.rank(config)), distributed.process_group(config):
            trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
            return ended(task, trainer, config.trainer.max_epochs)
    except SystemExit:  # Lightning's answer to a second Ctrl-C, after which it ignores the signal
        signal.signal(signal.SIGINT, on_interrupt)
        return "interrupted"


def ended(task: Task, trainer: Trainer, epochs: int) -> str:
    """Return the status of a run of ``epochs`` epochs after its training."""
    if task.diverged:
        return "diverged"
    early = trainer.early_stopping_callback
    if task.pruned or (early and early.stopped_epoch):
        return "stopped early"
    return "interrupted" if interrupt.requested() and trainer.current_epoch < epochs else "finished"


def rewind(folder: Path, checkpoint: Path) -> None:
    """Drop the rows of ``metrics.csv`` that are newer than the checkpoint, or incomplete after a kill.

    Raises:
        UserError: One of the two cannot be read.
    """
    try:
        last = torch.load(checkpoint, map_location="cpu", weights_only=True)["epoch"]
        rows = csv_file.epochs(folder / "metrics.csv", str)
        kept = rows[rows["epoch"].astype(int) <= last]
    except Exception as error:
        raise UserError(f"resume={folder}: {checkpoint.name} or metrics.csv is missing or damaged") from error
    loggers.write(kept, folder / "metrics.csv")


def fit_baseline(task: Task, data: InMemory, config: DictConfig, folder: Path, accelerator: str = "cpu") -> str:
    """Fit a scikit-learn estimator on train; write one row of metrics and the same checkpoints as a network."""
    begun = time.perf_counter()
    task.eval()
    (x, y, *_), (x_val, y_val, *_) = (data.splits[name] for name in ("train", "val"))
    x, x_val = (task.fed(part)[0] if isinstance(part, Tensor) else part[:] for part in (x, x_val))
    try:
        cast(Estimator, task.network).fit(x, task.measured(y, y)[1], (x_val, y_val))
    except (ValueError, TypeError) as error:
        raise UserError(f"model: {sentence(error)}") from error
    outputs = {name: task.outputs(data.batches(name)) for name in ("train", "val")}
    task.calibrate(*outputs["val"])
    row: dict[str, float] = {"epoch": 0}
    for name, (output, target) in outputs.items():
        row |= {f"{name}/{metric}": value for metric, value in task.measure(output, target).items()}
    row["seconds"] = time.perf_counter() - begun
    for each in loggers.make(config, folder):
        each.log_metrics(row, step=0)
        each.finalize("success")
    (folder / "checkpoints").mkdir()
    for name in ("best", "last"):
        torch.save({"state_dict": task.state_dict()}, folder / "checkpoints" / f"{name}.ckpt")
    return "finished"
