"""Regression: one number per sample."""

from typing import Any

import pandas as pd
from torch import Tensor

from src.data.datamodule import Batch
from src.errors import UserError
from src.tasks.task import Task


class Regression(Task):
    """Predicts a number. The network works in scaled units of the target; metrics and tables are in its original units."""

    def __init__(self, *parts: Any, **more: Any):
        super().__init__(*parts, **more)
        if self.spec.classes:
            raise UserError(f"task=regression: {self.spec.target} is a class, not a number; use task=classification")
        if self.spec.forecast:
            raise UserError("task=regression: this data set has the values after a window for targets; use task=forecasting")

    def loss_of(self, output: Tensor, target: Tensor, *times: Tensor) -> Tensor:
        return self.loss(output.squeeze(1), target)

    def predict(self, output: Tensor, target: Tensor) -> Batch:
        return self.unscaled(output.squeeze(1)), self.unscaled(target)

    def table(self, output: Tensor, rows: pd.Index, target: Tensor | None = None) -> pd.DataFrame:
        columns = {"prediction": self.unscaled(output.squeeze(1)).numpy()}
        if target is not None:
            columns["actual"] = self.unscaled(target).numpy()
        return pd.DataFrame(columns, index=rows)
