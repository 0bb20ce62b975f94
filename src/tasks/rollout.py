"""Recursive forecasts: a network fed with its own predictions, over the test rows and beyond them."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from src.data.series import dates
from src.data.series.csv import Forecast
from src.errors import UserError
from src.tasks.forecasting import Forecasting, conformal, last_step

ORIGINS = 200  # at most so many places in validation show how errors grow


def forecast(network: Any, windows: Tensor, steps: int) -> Tensor:
    """Feeds a network its own predictions.

    Args:
        network: One that is ``recursive`` goes on from its own state, in time linear in ``steps``; others read a window
            that slides.
        windows: Scaled values (n, lags, 1) of a series that is its own only feature.
        steps: Values to predict.

    Returns:
        Scaled values (n, steps).
    """
    if getattr(network, "recursive", False):
        return network.forecast(windows, steps)
    parts = [last_step(network(windows)).to(windows.dtype)]  # (n, horizon)
    for _ in range(ceil(steps / parts[0].shape[1]) - 1):
        windows = torch.cat([windows, parts[-1].unsqueeze(2)], dim=1)[:, -windows.shape[1] :]
        parts.append(last_step(network(windows)).to(windows.dtype))
    return torch.cat(parts, dim=1)[:, :steps]


def check(data: Forecast, steps: int) -> None:
    """Raises a UserError where a forecast of so many steps would need what is not known."""
    if steps > data.horizon and not data.alone:
        raise UserError(
            f"steps={steps}: beyond data.horizon={data.horizon} a forecast feeds on itself, and the future of its features "
            f"{', '.join(data.features)} is unknown; train with data.features=null, or with a longer data.horizon"
        )


@torch.inference_mode()
def intervals(task: Forecasting, data: Forecast) -> pd.Series:
    """Half the width of the conformal interval (original units) by step of a recursive forecast, from validation alone."""
    task.eval()
    start, end = data.ends_of["val"]
    steps = min(end - start, stretch(data)[1])
    origins = np.unique(np.linspace(start, end - 1, min(end - start, ORIGINS)).astype(int))
    predicted = forecast(task.network, before(data, origins), steps)
    widths, widest = [], torch.tensor(0.0)
    for step in range(steps):
        known = torch.from_numpy(origins[origins + step < end])
        residuals = (predicted[: len(known), step] - data.values[known + step]).abs().double() * data.spec.scale
        if len(known) >= min(10, len(origins)):  # fewer say nothing of a quantile: the interval stays as wide as it was
            widest = torch.maximum(widest, conformal(residuals[:, None], task.level)[0])
        widths.append(float(widest))
    return pd.Series(widths, index=pd.RangeIndex(1, steps + 1, name="step"), name="half_width")


def before(data: Forecast, rows: np.ndarray) -> Tensor:
    """The windows (n, lags, features) that end before each of ``rows``."""
    return data.inputs[torch.from_numpy(rows)[:, None] + torch.arange(-data.lags, 0)]


def stretch(data: Forecast) -> tuple[np.ndarray, int]:
    """The origins in the test rows, and the steps from each."""
    start, end = data.ends_of["test"]
    origins = np.linspace(start, end, data.origins + 1).astype(int)
    steps = int(np.diff(origins).max())
    # with other features than itself a series cannot feed on what it predicts
    return origins[:-1], min(steps, data.roll_out or steps, steps if data.alone else data.horizon)


@torch.inference_mode()
def over_test(task: Forecasting, data: Forecast, widths: pd.Series) -> tuple[pd.DataFrame, dict[str, float]]:
    """Forecasts of the test rows from their origins, and their metrics; ``rollout_mse`` is in scaled units."""
    task.eval()
    end = data.ends_of["test"][1]
    origins, steps = stretch(data)
    predicted = forecast(task.network, before(data, origins), steps)
    ends = [*origins[1:], end]
    parts = [
        table(task, data, predicted[place, : stop - origin], origin, widths)
        for place, (origin, stop) in enumerate(zip(origins, ends, strict=True))
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
def onward(task: Forecasting, data: Forecast, widths: pd.Series, origin: int, steps: int) -> pd.DataFrame:
    """A forecast of ``steps`` rows from row ``origin`` on, with the truth beside it as far as it is known."""
    check(data, steps)
    task.eval()
    return table(task, data, forecast(task.network, before(data, np.array([origin])), steps)[0], origin, widths)


def table(task: Forecasting, data: Forecast, predicted: Tensor, origin: int, widths: pd.Series) -> pd.DataFrame:
    """One row per step: forecast, its interval (as wide as the widest known, beyond what validation could show), actual."""
    steps, known = len(predicted), data.index[origin : origin + len(predicted)]
    beyond = steps - len(known)
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
        index=known.append(dates.after(data.index, beyond, data.freq)) if beyond else known,
    )


def read_intervals(folder: Path) -> pd.Series:
    """The half-widths that a run has stored.

    Raises:
        UserError: It has none.
    """
    try:
        return pd.read_csv(folder / "interval.csv", index_col=0)["half_width"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{folder / 'interval.csv'}: is missing or damaged; only a finished forecasting run has it"
        ) from error
