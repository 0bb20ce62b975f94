"""Forecasting: the next values of a series."""

import math
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torchmetrics import Metric

from src.data.datamodule import Batch, InMemory
from src.data.series.csv import Forecast
from src.errors import UserError
from src.tasks import rollout
from src.tasks.metrics import Coverage, ScaledError
from src.tasks.rollout import conformal, last_step
from src.tasks.task import Task


class Forecasting(Task):
    """Predicts the values that follow a window, in scaled units; metrics and tables are in original units.

    A network may predict after every step of the window (outputs of three axes); then it is trained on all of them, and
    measured by the prediction after the last. The intervals are split-conformal: for each step of the horizon, half as wide
    as the ``level`` quantile of the absolute residuals on validation; their widths are stored with the weights.

    Args:
        level: Fraction of targets that the intervals should cover.
        forgetting: Weight in the loss of a step at time t of the training series (0 to 1): ``tanh`` is tanh(e t),
            ``shifted_tanh`` is tanh(alpha (t - 1)) + 1, both from seed 001; null weighs all steps equally.
        alpha: Steepness of ``shifted_tanh``.
        learn_padding: Whether zeros that pad a series count as targets, an error of the source.
        parts: Arguments of :class:`src.tasks.task.Task`.
    """

    half_width: Tensor

    def __init__(
        self,
        *,
        level: float = 0.9,
        forgetting: str | None = None,
        alpha: float = 10.0,
        learn_padding: bool = False,
        **parts: Any,
    ):
        super().__init__(**parts)
        if not self.spec.forecast:
            raise UserError("task=forecasting: this data set has no windows of a series; use data=csv, passengers or wordle")
        sample = torch.ones(2, 1, self.spec.outputs)
        try:
            reduced = self.loss(sample, sample).shape != sample.shape
        except RuntimeError:
            reduced = True
        if reduced:
            raise UserError("task.loss: must give an error for each value, as MSELoss and L1Loss with reduction=none do")
        self.level, self.forgetting, self.alpha, self.learn_padding = level, forgetting, alpha, learn_padding
        self.higher_is_better |= rollout.HIGHER_IS_BETTER
        self.register_buffer("half_width", torch.full((self.spec.outputs,), math.nan))

    def loss_of(self, output: Tensor, target: Tensor, *times: Tensor) -> Tensor:
        output = output if output.dim() == 3 else output.unsqueeze(1)  # (batch, steps, horizon)
        steps = output.shape[1]
        if times and steps < times[0].shape[1] and not self.learn_padding and times[0].isnan().any():
            raise UserError(
                "data.windows=prefixes: are padded at their end, so the network must predict at every step; use rnn, lstm "
                "or gru with model.bidirectional=false, or data.windows=fixed"
            )
        errors = self.loss(output, target.unfold(1, self.spec.outputs, 1)[:, -steps:])  # (batch, steps, horizon)
        if times:
            time = times[0][:, -steps:]  # (batch, steps)
            errors = errors * self.weight(time.nan_to_num(1.0)).unsqueeze(2)
            if not self.learn_padding:
                errors = errors[time.isfinite()]
        return errors.mean()

    def weight(self, time: Tensor) -> Tensor:
        """Return the weight in the loss of steps at times of any shape."""
        if self.forgetting == "tanh":
            return torch.tanh(math.e * time)
        if self.forgetting == "shifted_tanh":
            return torch.tanh(self.alpha * (time - 1)) + 1
        return torch.ones_like(time)

    def measured(self, output: Tensor, target: Tensor, *times: Tensor) -> Batch:
        horizon = self.spec.outputs
        if times and output.dim() == 3:  # in training a series may be padded: take its last real step
            rows, last = torch.arange(len(output)), times[0].isfinite().sum(1) - 1
            return output[rows, last], target.unfold(1, horizon, 1)[rows, last]
        # copies: views would keep every step of every window in memory
        return last_step(output).clone(), target[:, -horizon:].clone()

    def calibrate(self, output: Tensor, target: Tensor) -> None:
        prediction, actual = self.unscaled(output), self.unscaled(target)
        self.half_width.copy_(conformal((prediction - actual).abs(), self.level))

    def predict(self, output: Tensor, target: Tensor) -> Batch:
        return self.unscaled(output), self.unscaled(target)

    def update(self, metric: Metric, prediction: Tensor, actual: Tensor) -> None:
        if isinstance(metric, ScaledError):
            metric.update(prediction, actual, self.spec.naive)
        elif isinstance(metric, Coverage):
            metric.update(prediction, actual, self.half_width.cpu())
        else:
            metric.update(prediction, actual)

    def table(self, output: Tensor, rows: pd.Index, target: Tensor | None = None) -> pd.DataFrame:
        predicted, half, columns = self.unscaled(last_step(output)), self.half_width.cpu(), {}
        for step in range(self.spec.outputs):
            end = f"_{step + 1}" if self.spec.outputs > 1 else ""
            columns[f"prediction{end}"] = predicted[:, step].numpy()
            columns[f"lower{end}"] = (predicted[:, step] - half[step]).numpy()
            columns[f"upper{end}"] = (predicted[:, step] + half[step]).numpy()
            if target is not None:
                columns[f"actual{end}"] = self.unscaled(target[:, step]).numpy()
        return pd.DataFrame(columns, index=rows)

    def after_test(self, data: InMemory, predictions: pd.DataFrame) -> tuple[dict[str, float], dict[str, pd.DataFrame]]:
        """Return metrics of the recursive forecast; it as ``forecast``, and the half-width of its ``interval`` by step."""
        if not isinstance(data, Forecast):
            return {}, {}
        widths = rollout.intervals(self, data)
        table, metrics = rollout.over_test(self, data, widths)
        return metrics, {"interval": widths.to_frame(), "forecast": table}

    def continuation(self, data: InMemory, steps: int, origin: str) -> pd.DataFrame:
        if not isinstance(data, Forecast):
            return super().continuation(data, steps, origin)
        start, end = data.ends_of["test"]
        first, count = (start, end - start + steps) if origin == "test" else (end, steps)
        return rollout.from_row(self, data, rollout.intervals(self, data), first, count)

    def unscaled(self, values: Tensor) -> Tensor:
        return values.double() * self.spec.scale + self.spec.center
