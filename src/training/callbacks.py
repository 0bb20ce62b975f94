"""Callbacks of a fit: Ctrl-C, checkpoints that survive a move of the folder, averaged weights."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint

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
