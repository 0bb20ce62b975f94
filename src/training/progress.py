"""A progress bar over the whole of a fit: one line, gone when it is over."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich import get_console, progress


class Progress(ProgressBar):
    """Shows epochs, the loss so far and the time left; nothing where there is no terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.bar: progress.Progress | None = None
        self.enabled = True

    def disable(self) -> None:
        self.enabled = False

    def enable(self) -> None:
        self.enabled = True

    def on_train_start(self, trainer: Trainer, *_: Any) -> None:
        self.bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[values]}"),
            progress.TimeRemainingColumn(),
            transient=True,
            disable=not self.enabled or not get_console().is_terminal,
        )
        self.total = (trainer.max_epochs or 1) * int(trainer.num_training_batches)
        done = trainer.current_epoch * int(trainer.num_training_batches)
        self.line = self.bar.add_task(self.epoch(trainer), total=self.total, completed=done, values="")
        self.bar.start()

    def epoch(self, trainer: Trainer) -> str:
        return f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"

    def on_train_batch_end(self, *_: Any) -> None:
        if self.bar:
            self.bar.advance(self.line)

    def on_train_epoch_end(self, trainer: Trainer, *_: Any) -> None:
        logged = trainer.callback_metrics
        values = "  ".join(f"{key} {logged[key]:.4g}" for key in ("train/loss", "val/loss") if key in logged)
        if self.bar:
            self.bar.update(self.line, description=self.epoch(trainer), values=values)

    def stop(self) -> None:
        if self.bar:
            self.bar.stop()

    def on_train_end(self, *_: Any) -> None:
        self.stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.stop()
