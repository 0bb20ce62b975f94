"""Recursive forecasts: a network fed with its own predictions, over the test rows and beyond them."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from src.data.series import dates
from src.data.series.csv import Forecast
from src.errors import UserError
from src.networks import Forecasts

if TYPE_CHECKING:
    from src.tasks.forecasting import Forecasting

ORIGINS = 200  # at most so many rows of validation show how errors grow with the steps
HIGHER_IS_BETTER = {"rollout_mae": False, "rollout_rmse": False, "rollout_mse": False, "rollout_coverage": True}


def last_step(output: Tensor) -> Tensor:
    """Return the prediction after the last step of a window (batch, horizon)."""
    return output[:, -1] if output.dim() == 3 else output


def conformal(residuals: Tensor, level: float) -> Tensor:
    """Return the split-conformal quantile of absolute residuals (n, steps) by step; the largest where n is too small."""
    rank = min(ceil(level * (len(residuals) + 1)), len(residuals))
    return residuals.kthvalue(rank, dim=0).values


def forecast(network: Any, windows: Tensor, steps: int) -> Tensor:
    """Feed a network its own predictions.

    Args:
        network: Network that forecasts from its own state (:class:`src.networks.Forecasts`), or any other, which reads a
            sliding window.
        windows: Scaled values (n, lags, 1) of a series that is its own only feature.
        steps: Values to predict.

    Returns:
        Scaled values (n, steps).
    """
    if isinstance(network, Forecasts) and network.recursive:
        return network.forecast(windows, steps)
    parts = [last_step(network(windows)).to(windows.dtype)]  # (n, horizon)
    for _ in range(ceil(steps / parts[0].shape[1]) - 1):
        windows = torch.cat([windows, parts[-1].unsqueeze(2)], dim=1)[:, -windows.shape[1] :]
        parts.append(last_step(network(windows)).to(windows.dtype))
    return torch.cat(parts, dim=1)[:, :steps]


@torch.inference_mode()
def intervals(task: Forecasting, data: Forecast) -> pd.Series:
    """Return the half-width of the conformal interval (original units) by step of a recursive forecast on validation."""
    task.eval()
    start, end = data.ends_of["val"]
    steps = min(end - start, test_origins(data)[1])
    origins = np.unique(np.linspace(start, end - 1, min(end - start, ORIGINS)).astype(int))
    predicted = forecast(task.network, windows_before(data, origins), steps)
    widths, widest = [], torch.tensor(0.0)
    for step in range(steps):
        inside = torch.from_numpy(origins[origins + step < end])
        residuals = (predicted[: len(inside), step] - data.values[inside + step]).abs().double() * data.spec.scale
        if len(inside) >= min(10, len(origins)):  # fewer do not show a quantile: the interval keeps its width
            widest = torch.maximum(widest, conformal(residuals[:, None], task.level)[0])
        widths.append(float(widest))
    return pd.Series(widths, index=pd.RangeIndex(1, steps + 1, name="step"), name="half_width")


def windows_before(data: Forecast, rows: np.ndarray) -> Tensor:
    """Return the windows (n, lags, features) that end before each of ``rows``."""
    return data.inputs[torch.from_numpy(rows)[:, None] + torch.arange(-data.lags, 0)]


def test_origins(data: Forecast) -> tuple[np.ndarray, int]:
    """Return the test rows at which forecasts start, and the steps of each forecast."""
    start, end = data.ends_of["test"]
    origins = np.linspace(start, end, data.origins + 1).astype(int)
    steps = int(np.diff(origins).max())
    # a series with further features cannot feed on its own predictions
    return origins[:-1], min(steps, data.roll_out or steps, steps if data.alone else data.horizon)


@torch.inference_mode()
def over_test(task: Forecasting, data: Forecast, widths: pd.Series) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return forecasts of the test rows from their origins, and their metrics; ``rollout_mse`` is in scaled units."""
    task.eval()
    origins, steps = test_origins(data)
    predicted = forecast(task.network, windows_before(data, origins), steps)
    ends = [*origins[1:], data.ends_of["test"][1]]
    parts = [
        table(task, data, values[: end - origin], origin, widths)
        for values, origin, end in zip(predicted, origins, ends, strict=True)
    ]
    frame = pd.concat(parts)
    error = frame["forecast"] - frame["actual"]
    inside = frame["actual"].between(frame["lower"], frame["upper"])
    return frame, {
        "rollout_mae": float(error.abs().mean()),
        "rollout_rmse": float((error**2).mean() ** 0.5),
        "rollout_mse": float((error**2).mean()) / data.spec.scale**2,
        "rollout_coverage": float(inside.mean()),
    }


@torch.inference_mode()
def from_row(task: Forecasting, data: Forecast, widths: pd.Series, origin: int, steps: int) -> pd.DataFrame:
    """Return a forecast of ``steps`` rows from row ``origin`` on, with actual values as far as the series has them.

    Raises:
        UserError: So many steps need future values of other features.
    """
    if steps > data.horizon and not data.alone:
        raise UserError(
            f"steps={steps}: beyond data.horizon={data.horizon} a forecast feeds on itself, and the future of its features "
            f"{', '.join(data.features)} is unknown; train with data.features=null, or with a longer data.horizon"
        )
    task.eval()
    return table(task, data, forecast(task.network, windows_before(data, np.array([origin])), steps)[0], origin, widths)


def table(task: Forecasting, data: Forecast, predicted: Tensor, origin: int, widths: pd.Series) -> pd.DataFrame:
    """Return one row per step: forecast, lower and upper end of its interval, actual value (NaN beyond the series).

    Beyond the steps of ``widths`` the interval keeps its last width.
    """
    steps, index = len(predicted), data.index[origin : origin + len(predicted)]
    beyond = steps - len(index)
    values = task.unscaled(predicted).numpy()
    half = widths.to_numpy()[np.minimum(np.arange(steps), len(widths) - 1)]
    actual = task.unscaled(data.values[origin : origin + steps]).numpy()
    return pd.DataFrame(
        {
            "forecast": values,
            "lower": values - half,
            "upper": values + half,
            "actual": np.append(actual, np.full(beyond, np.nan)),
        },
        index=index.append(dates.after(data.index, beyond, data.freq)) if beyond else index,
    )
