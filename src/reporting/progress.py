"""The progress bar of a fit."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich import get_console, progress


class Progress(ProgressBar):
    """One line for the whole fit: epoch, losses and the time left; gone at the end, and silent without a terminal."""

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
            refresh_per_second=2,  # each refresh takes a few milliseconds from the fit
            disable=not self.enabled or not get_console().is_terminal,
        )
        steps = int(trainer.num_training_batches)
        total, completed = (trainer.max_epochs or 1) * steps, trainer.current_epoch * steps
        self.line = self.bar.add_task(self.epoch(trainer), total=total, completed=completed, values="")
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

    def on_train_end(self, *_: Any) -> None:
        if self.bar:
            self.bar.stop()

    def on_exception(self, *_: Any) -> None:
        self.on_train_end()
