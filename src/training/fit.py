"""Fitting: Lightning for networks, one call for baselines. Both leave metrics and checkpoints in the run's folder."""

from __future__ import annotations

import copy
import functools
import signal
import time
from pathlib import Path
from typing import cast

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, WeightAveraging
from omegaconf import DictConfig
from torch import Tensor

from src.baselines.estimator import Estimator
from src.data.datamodule import BLOCK, InMemory
from src.errors import UserError, sentence
from src.tasks.task import Task
from src.training import distributed, interrupt, loggers
from src.training.build import instantiate


def device(accelerator: str) -> str:
    """The accelerator to use; ``auto`` is CUDA where there is one, else the CPU.

    Raises:
        UserError: The one that was asked for is not in this machine.
    """
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if accelerator == "auto":
        return "cuda" if present["cuda"] else "cpu"
    if not present.get(accelerator):
        has = ", ".join(name for name, there in present.items() if there)
        raise UserError(f"accelerator={accelerator}: this machine has no such device; it has {has}")
    return accelerator


class StopWhenAsked(Callback):
    """Ends a fit after the epoch in which somebody has asked for it."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # of several devices one hears it, and all must stop after the same epoch
        trainer.should_stop = trainer.strategy.reduce_boolean_decision(
            trainer.should_stop or interrupt.requested(), all=False
        )


def make_trainer(task: Task, config: DictConfig, folder: Path, accelerator: str) -> Trainer:
    """Lightning's Trainer with the configured callbacks and loggers, told what to monitor and where to write."""
    watch = {"monitor": config.monitor, "mode": "max" if task.higher_is_better[config.monitor.rpartition("/")[2]] else "min"}
    place = {"dirpath": str(folder / "checkpoints")}
    more = {"early_stopping": watch, "best": watch | place, "last": place, "pruning": watch | {"folder": str(folder)}}
    chosen = {name: part for name, part in (config.get("callbacks") or {}).items() if part}
    return instantiate(
        config.trainer,
        accelerator=accelerator,
        callbacks=[StopWhenAsked(), *(instantiate(part, **more.get(name, {})) for name, part in chosen.items())],
        logger=loggers.make(config, folder),
        enable_progress_bar="progress" in chosen,
        default_root_dir=str(folder),
    )


def fit_network(task: Task, data: InMemory, config: DictConfig, folder: Path, accelerator: str) -> str:
    """Trains by epochs, from scratch or on from ``config.resume``; returns the run's status."""
    if "strategy" in config.trainer:
        task = copy.deepcopy(task)  # the weights of what is given stay whole and where they are
    if distributed.shards(config):
        task.configure_model = functools.partial(distributed.shard, task)  # type: ignore[method-assign]
    with distributed.together():
        return learn(task, data, config, folder, accelerator)


def learn(task: Task, data: InMemory, config: DictConfig, folder: Path, accelerator: str) -> str:
    """What each process of a fit does; returns the run's status."""
    trainer = make_trainer(task, config, folder, accelerator)
    data.seed = config.seed
    # a limited epoch counts batches (1 is one of them, 1.0 all), several devices synchronise and averages change after each
    whole = isinstance(trainer.limit_train_batches, float) and trainer.limit_train_batches == 1.0
    averaging = any(isinstance(callback, WeightAveraging) for callback in getattr(trainer, "callbacks", []))
    data.block = BLOCK if whole and trainer.world_size == 1 and not averaging else 1
    checkpoint = Path(config.resume, "checkpoints", "last.ckpt") if config.resume else None
    if checkpoint and trainer.is_global_zero:
        rewind(folder, checkpoint)
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        with interrupt.stop_after_epoch():
            trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except SystemExit:  # Lightning's answer to a second Ctrl-C, after which it ignores the signal
        signal.signal(signal.SIGINT, on_interrupt)
        return "interrupted"
    return ended(task, trainer, config.trainer.max_epochs)


def ended(task: Task, trainer: Trainer, epochs: int) -> str:
    """The status of a run whose training is over, of which ``epochs`` were planned."""
    if task.diverged:
        return "diverged"
    early = trainer.early_stopping_callback
    if task.pruned or (early and early.stopped_epoch):
        return "stopped early"
    return "interrupted" if interrupt.requested() and trainer.current_epoch < epochs else "finished"


def rewind(folder: Path, checkpoint: Path) -> None:
    """Drops the rows of ``metrics.csv`` that are younger than the checkpoint, or that a kill cut short.

    Raises:
        UserError: One of the two cannot be read.
    """
    try:
        epochs = torch.load(checkpoint, map_location="cpu", weights_only=True)["epoch"] + 1
        lines = (folder / "metrics.csv").read_text().splitlines(keepends=True)
    except Exception as error:
        raise UserError(f"resume={folder}: {checkpoint.name} or metrics.csv is missing or damaged") from error
    (folder / "metrics.csv").write_text("".join(lines[: epochs + 1]))


def fit_baseline(task: Task, data: InMemory, config: DictConfig, folder: Path) -> str:
    """Fits a scikit-learn estimator on train; leaves one row of metrics and the same checkpoints as a network."""
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
