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
        values, _ = self.parted(target)
        errors = self.loss(output, values.unfold(1, self.spec.outputs, 1)[:, -steps:])  # (batch, steps, horizon)
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
        horizon, (values, units) = self.spec.outputs, self.parted(target)
        if times and output.dim() == 3:  # in training a series may be padded: take its last real step
            rows, last = torch.arange(len(output)), times[0].isfinite().sum(1) - 1
            return output[rows, last - times[0].shape[1]], torch.cat([values.unfold(1, horizon, 1)[rows, last], units], 1)
        # copies: views would keep every step of every window in memory
        return last_step(output).clone(), torch.cat([values[:, -horizon:], units], 1)

    def parted(self, target: Tensor) -> Batch:
        """Return the values of targets, and the units behind them: (n, 3) of several series, (n, 0) of one."""
        values = target.shape[1] - self.spec.units
        return target[:, :values], target[:, values:]

    def calibrate(self, output: Tensor, target: Tensor) -> None:
        residuals = self.unscaled(output) - self.unscaled(self.parted(target)[0])
        self.half_width.copy_(conformal(residuals.abs(), self.level))

    def predict(self, output: Tensor, target: Tensor) -> Batch:
        """Return predictions and targets in original units, half the width of the intervals, and the unit of MASE."""
        values, units = self.parted(target)
        predicted, actual, half = self.unscaled(output), self.unscaled(values), self.half_width.cpu()
        if not self.spec.units:
            return predicted, actual, half, torch.tensor(self.spec.naive)
        center, scale, naive = units.double().split(1, 1)
        return predicted * scale + center, actual * scale + center, half * scale, naive

    def update(self, metric: Metric, prediction: Tensor, actual: Tensor, *more: Tensor) -> None:
        half, naive = more
        more = (naive,) if isinstance(metric, ScaledError) else (half,) if isinstance(metric, Coverage) else ()
        metric.update(prediction, actual, *more)

    def table(self, output: Tensor, rows: pd.Index, target: Tensor | None = None) -> pd.DataFrame:
        target = output.new_empty(len(rows), 0) if target is None else target
        predicted, actual, half, _ = self.predict(last_step(output), target)
        parts = {"prediction": predicted, "lower": predicted - half, "upper": predicted + half}
        parts |= {"actual": actual} if actual.shape[1] else {}
        ends = [f"_{step + 1}" for step in range(self.spec.outputs)] if self.spec.outputs > 1 else [""]
        columns = {f"{name}{end}": part[:, step].numpy() for step, end in enumerate(ends) for name, part in parts.items()}
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
        return rollout.continued(self, data, rollout.intervals(self, data), steps, origin)
