"""Recursive forecasts: a network fed with its own predictions, over the test rows and beyond them."""

from __future__ import annotations

from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import pad

from src.data.series import dates
from src.data.series.csv import Forecast
from src.data.series.reading import Part
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


def forecast(network: Any, windows: Tensor, steps: int, known: Tensor | None = None) -> Tensor:
    """Feed a network its own predictions, and return scaled values (n, steps).

    A network that does not forecast from its own state reads a sliding window (n, lags, channels). Its first channel is the
    series; ``known`` (n, steps, channels - 1) are the others in the rows to come.
    """
    if isinstance(network, Forecasts) and network.recursive:
        return network.forecast(windows, steps)
    parts = [last_step(network(windows)).to(windows.dtype)]  # (n, horizon)
    horizon, rows = parts[0].shape[1], windows.new_empty(len(windows), steps, 0) if known is None else known
    for first in range(0, steps - horizon, horizon):
        new = torch.cat([parts[-1].unsqueeze(2), rows[:, first : first + horizon]], dim=2)
        windows = torch.cat([windows, new], dim=1)[:, -windows.shape[1] :]
        parts.append(last_step(network(windows)).to(windows.dtype))
    return torch.cat(parts, dim=1)[:, :steps]


@torch.inference_mode()
def forecasts(task: Forecasting, data: Forecast, origins: list[tuple[Part, int, int]], steps: int) -> Tensor:
    """Return scaled forecasts (n, steps) from rows of series on; the row after the last is the caller's."""
    task.eval()
    inputs = {part.name: data.channels(part.scaler, part.series, steps) for part, *_ in origins}
    windows = torch.stack([inputs[part.name][row - data.lags : row] for part, row, _ in origins])
    known = [inputs[part.name][row : row + steps, 1:] for part, row, _ in origins] if windows.shape[2] > 1 else None
    return forecast(task.network, windows, steps, torch.stack(known) if known else None)


def intervals(task: Forecasting, data: Forecast) -> pd.Series:
    """Return the conformal half-width by step of a recursive forecast on validation; of several series, in their scales."""
    most, steps, origins = max(1, ORIGINS // len(data.parts)), test_origins(data)[1], []
    for part in data.parts.values():
        start, end = part.ends["val"]
        rows = np.unique(np.linspace(start, end - 1, min(end - start, most)).astype(int)).tolist()
        origins += [(part, row, min(row + steps, end)) for row in rows]
    steps = max(end - row for _, row, end in origins)
    actual = torch.stack([pad(part.values[row:end], (0, steps - end + row), value=torch.nan) for part, row, end in origins])
    residuals = (forecasts(task, data, origins, steps) - actual).abs().double() * data.spec.scale
    widths, widest = [], torch.tensor(0.0)
    for step in range(steps):
        inside = residuals[residuals[:, step].isfinite(), step]
        if len(inside) >= min(10, len(origins)):  # fewer do not show a quantile: the interval keeps its width
            widest = torch.maximum(widest, conformal(inside[:, None], task.level)[0])
        widths.append(float(widest))
    return pd.Series(widths, index=pd.RangeIndex(1, steps + 1, name="step"), name="half_width")


def test_origins(data: Forecast) -> tuple[list[tuple[Part, int, int]], int]:
    """Return the test rows at which forecasts start, each with the next one, and the most steps of a forecast."""
    found = []
    for part in data.parts.values():
        rows = np.linspace(*part.ends["test"], data.origins + 1).astype(int).tolist()
        found += [(part, *pair) for pair in pairwise(rows)]
    steps = max(end - row for _, row, end in found)
    # a series with further features cannot feed on its own predictions
    return found, min(steps, data.roll_out or steps, steps if data.alone else data.horizon)


def over_test(task: Forecasting, data: Forecast, widths: pd.Series) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return forecasts of the test rows from their origins, and their metrics; ``rollout_mse`` is in scaled units."""
    origins, steps = test_origins(data)
    predicted = forecasts(task, data, origins, steps)
    parts = tables(data, predicted, origins, widths)
    frame = pd.concat(parts)
    error = frame["forecast"] - frame["actual"]
    scales = np.repeat([part.units[1] for part, _, _ in origins], [len(one) for one in parts])
    inside = frame["actual"].between(frame["lower"], frame["upper"])
    return frame, {
        "rollout_mae": float(error.abs().mean()),
        "rollout_rmse": float((error**2).mean() ** 0.5),
        "rollout_mse": float(((error / scales) ** 2).mean()),
        "rollout_coverage": float(inside.mean()),
    }


def continued(task: Forecasting, data: Forecast, widths: pd.Series, steps: int, origin: str) -> pd.DataFrame:
    """Return a forecast of ``steps`` rows after each series, from its end or from the beginning of ``test`` on.

    Raises:
        UserError: So many steps need future values of other features, or values of known columns that the file lacks.
    """
    ends = [(part, *part.ends["test"]) for part in data.parts.values()]
    origins = [(part, start if origin == "test" else end, end + steps) for part, start, end in ends]
    longest = max(end - row for _, row, end in origins)
    if longest > data.horizon and not data.alone:
        raise UserError(
            f"steps={steps}: beyond data.horizon={data.horizon} a forecast feeds on itself, and the future of its features "
            f"{', '.join(data.features)} is unknown; train with data.features=null, or with a longer data.horizon"
        )
    given = min(len(part.series) - part.rows for part in data.parts.values())
    if data.known and steps > given:
        raise UserError(
            f"steps={steps}: {data.path} has {', '.join(data.known)} of {given} rows after the last {data.target}; append a "
            f"row with them, and with an empty {data.target}, for each step"
        )
    return pd.concat(tables(data, forecasts(task, data, origins, longest), origins, widths))


def tables(data: Forecast, predicted: Tensor, origins: list[tuple[Part, int, int]], widths: pd.Series) -> list[pd.DataFrame]:
    """Return the table of the forecast from each origin up to its end."""
    pairs = zip(predicted, origins, strict=True)
    return [table(data, part, values[: end - row], row, widths) for values, (part, row, end) in pairs]


def table(data: Forecast, part: Part, predicted: Tensor, origin: int, widths: pd.Series) -> pd.DataFrame:
    """Return one row per step: forecast, lower and upper end of its interval, actual value (NaN beyond the series).

    Beyond the steps of ``widths`` the interval keeps its last width.
    """
    steps, index = len(predicted), part.series.index
    index = index.append(dates.after(index, steps, data.freq)) if origin + steps > len(index) else index
    center, scale, _ = part.units
    values = predicted.double().numpy() * scale + center
    half = widths.to_numpy()[np.minimum(np.arange(steps), len(widths) - 1)] * (scale / data.spec.scale)
    actual = pad(part.values, (0, steps), value=torch.nan)[origin : origin + steps].double().numpy() * scale + center
    columns = {"forecast": values, "lower": values - half, "upper": values + half, "actual": actual}
    return pd.DataFrame(columns, data.named(part, index[origin : origin + steps]))
