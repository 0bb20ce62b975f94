"""What Lightning keeps of a run: checkpoints in a folder that may move, and averaged weights."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint


class Checkpoint(ModelCheckpoint):
    """Goes on with its best score after a run's folder was moved or copied, where Lightning's own would start anew."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        old, new = str(state_dict["dirpath"]), str(self.dirpath)

        def moved(value: Any) -> Any:
            if isinstance(value, dict):
                return {moved(key): item for key, item in value.items()}
            return value.replace(old, new, 1) if isinstance(value, str) and value.startswith(old) else value

        super().load_state_dict({key: moved(value) for key, value in state_dict.items()})


class Averaging(EMAWeightAveraging):
    """Lightning's exponential moving average of the weights, which is what is validated, kept and tested.

    What a task sets from the validation split (a threshold) belongs to the averaged weights as it is.
    """

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        current = checkpoint.get("current_model_state", {})
        checkpoint["state_dict"] |= {name: value for name, value in current.items() if not name.startswith("network.")}
