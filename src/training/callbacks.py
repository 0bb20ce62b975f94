"""Callbacks of a fit: Ctrl-C, checkpoints that survive a move of the folder, averaged weights, a progress bar."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint, ProgressBar
from rich import get_console, progress

from src.training import interrupt


class StopOnRequest(Callback):
    """End a fit after the epoch in which Ctrl-C was pressed."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # of several devices one may see the signal, and all must stop after the same epoch
        stop = trainer.should_stop or interrupt.requested()
        trainer.should_stop = trainer.strategy.reduce_boolean_decision(stop, all=False)


class Checkpoint(ModelCheckpoint):
    """Lightning's checkpoint that keeps its best score after the folder of the run was moved or copied."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        old, new = str(state_dict["dirpath"]), str(self.dirpath)

        def moved(value: Any) -> Any:
            if isinstance(value, dict):
                return {moved(key): item for key, item in value.items()}
            return value.replace(old, new, 1) if isinstance(value, str) and value.startswith(old) else value

        super().load_state_dict({key: moved(value) for key, value in state_dict.items()})


class Averaging(EMAWeightAveraging):
    """Lightning's exponential moving average of the weights; the average is validated, kept and tested.

    The task's own buffers, which it sets from the validation split (a threshold), are kept as they are: they belong to the
    averaged weights already.
    """

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        current = checkpoint.get("current_model_state", {})
        checkpoint["state_dict"] |= {name: value for name, value in current.items() if not name.startswith("network.")}


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
