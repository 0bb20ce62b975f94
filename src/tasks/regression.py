"""Regression: one number per sample."""

from __future__ import annotations

import numpy as np
import pandas as pd
from torch import Tensor

from src.data.memory import Batch
from src.tasks.task import Task


class Regression(Task):
    """Predicts a number. The network works in the target's scaled units; metrics and tables are in its own."""

    def loss_of(self, output: Tensor, target: Tensor) -> Tensor:
        return self.loss(output.squeeze(1), target)

    def predict(self, output: Tensor, target: Tensor) -> Batch:
        return self.unscaled(output.squeeze(1)), self.unscaled(target)

    def table(self, output: Tensor, rows: pd.Index) -> pd.DataFrame:
        return pd.DataFrame({"prediction": self.unscaled(output.squeeze(1)).numpy()}, index=rows)

    def actual(self, target: Tensor) -> np.ndarray:
        return self.unscaled(target).numpy()

    def unscaled(self, values: Tensor) -> Tensor:
        return values.double() * self.spec.scale + self.spec.center
