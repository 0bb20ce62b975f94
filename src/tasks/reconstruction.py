"""Reconstruction: the input itself is the target."""

from typing import Any

import pandas as pd
from torch import Tensor

from src.data.datamodule import Batch
from src.tasks.task import Task


class Reconstruction(Task):
    """Reconstructs its inputs, in scaled units; a large error of a sample means that it is unlike the training data."""

    def loss_of(self, output: Tensor, target: Tensor, *times: Tensor) -> Tensor:
        return self.loss(output, target)

    def target_of(self, x: Tensor, y: Any) -> Any:
        return x

    def predict(self, output: Tensor, target: Tensor) -> Batch:
        return output.double().flatten(1), target.double().flatten(1)

    def table(self, output: Tensor, rows: pd.Index, target: Tensor | None = None) -> pd.DataFrame:
        assert target is not None
        errors = (output.double() - target.double()).square().flatten(1).mean(1)
        return pd.DataFrame({"reconstruction_error": errors.numpy()}, index=rows)
