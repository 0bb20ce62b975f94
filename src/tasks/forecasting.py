"""Forecasting: the next values of a series."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from src.data.datamodule import Batch
from src.errors import UserError
from src.tasks.metrics import Coverage, ScaledError
from src.tasks.task import Task


class Forecasting(Task):
    """Predicts the values that follow a window, in scaled units; metrics and tables are in the series' own.

    A network may predict after every step of the window (outputs of three axes); it then learns from all, and is measured
    by what it says after the last. The intervals are split-conformal: half as wide as the ``level`` quantile of the absolute
    residuals on validation, for each step of the horizon; they travel with the weights.

    Args:
        level: Share of targets that the intervals should cover.
        forgetting: Weight of a step at place t of the training series (0 to 1) in the loss: ``tanh`` is tanh(e t),
            ``shifted_tanh`` is tanh(alpha (t - 1)) + 1, both seed 001's; null weighs all the same.
        alpha: Of ``shifted_tanh``.
        learn_padding: Whether zeros that pad a series count as targets (the source's slip) or not.
        parts: As for every task.
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
            raise UserError("task=forecasting: this data set is no series of windows; take data=csv, passengers or wordle")
        two = torch.ones(2, 1, self.spec.outputs)
        try:
            single = self.loss(two, two).shape == two.shape
        except RuntimeError:
            single = False
        if not single:
            raise UserError("task.loss: must give an error for each value, as MSELoss and L1Loss with reduction=none do")
        self.level, self.forgetting, self.alpha, self.learn_padding = level, forgetting, alpha, learn_padding
        # of the recursive forecast, see src.tasks.rollout
        self.higher_is_better |= {
            "rollout_mae": False,
            "rollout_rmse": False,
            "rollout_mse": False,
            "rollout_coverage": True,
        }
        self.register_buffer("half_width", torch.full((self.spec.outputs,), math.nan))
        for metric in self.metrics.values():
            if isinstance(metric, ScaledError):
                metric.naive = self.spec.naive

    def loss_of(self, output: Tensor, target: Tensor, *when: Tensor) -> Tensor:
        output = output if output.dim() == 3 else output.unsqueeze(1)  # (batch, steps, horizon)
        steps = output.shape[1]
        if when and steps < when[0].shape[1] and not self.learn_padding and when[0].isnan().any():
            raise UserError(
                "data.windows=prefixes: are padded at their end, where this network does not say what follows; take one "
                "that predicts at every step (rnn, lstm, gru with model.bidirectional=false), or data.windows=fixed"
            )
        errors = self.loss(output, target.unfold(1, self.spec.outputs, 1)[:, -steps:])
        if when:
            time = when[0][:, -steps:]
            errors = errors * self.weight(time.nan_to_num(1.0)).unsqueeze(2)
            if not self.learn_padding:
                errors = errors[time.isfinite()]
        return errors.mean()

    def weight(self, time: Tensor) -> Tensor:
        if self.forgetting == "tanh":
            return torch.tanh(math.e * time)
        if self.forgetting == "shifted_tanh":
            return torch.tanh(self.alpha * (time - 1)) + 1
        return torch.ones_like(time)

    def measured(self, output: Tensor, target: Tensor, *when: Tensor) -> Batch:
        horizon = self.spec.outputs
        if when and output.dim() == 3:  # in training a series may be padded: its last real step
            rows, last = torch.arange(len(output)), when[0].isfinite().sum(1) - 1
            return output[rows, last], target.unfold(1, horizon, 1)[rows, last]
        # copies: as views they would keep every step of every window in memory
        return last_step(output).clone(), target[:, -horizon:].clone()

    def calibrate(self, output: Tensor, target: Tensor) -> None:
        prediction, actual = self.unscaled(output), self.unscaled(target)
        self.half_width.copy_(conformal((prediction - actual).abs(), self.level))

    def predict(self, output: Tensor, target: Tensor) -> Batch:
        for metric in self.metrics.values():
            if isinstance(metric, Coverage):
                metric.half_width = self.half_width.cpu()
        return self.unscaled(output), self.unscaled(target)

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

    def unscaled(self, values: Tensor) -> Tensor:
        return values.double() * self.spec.scale + self.spec.center


def last_step(output: Tensor) -> Tensor:
    """What a network says after the last step of a window: (batch, horizon)."""
    return output[:, -1] if output.dim() == 3 else output


def conformal(residuals: Tensor, level: float) -> Tensor:
    """The split-conformal quantile of absolute residuals (n, steps) along n; the largest where n is too small for it."""
    rank = min(math.ceil(level * (len(residuals) + 1)), len(residuals))
    return residuals.kthvalue(rank, dim=0).values
