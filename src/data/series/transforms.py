"""Transforms of a series before it is scaled: logarithm and differences, inverted exactly, and the rule that chooses them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from src.errors import UserError

# The rule of ``auto``: fraction of the variance around the trend that makes a season strong (Hyndman and Athanasopoulos,
# Forecasting: Principles and Practice, sections 4.3 and 9.9), growth of the spread with the level from which on a logarithm
# is taken (1 would be proportional) where it is significant, and the 5 % critical value of the KPSS test.
STRONG, GROWS, SIGNIFICANT, KPSS = 0.64, 0.5, 2.0, 0.463


class Transform(NamedTuple):
    """Transforms in the order in which they are applied.

    Attributes:
        log: Take the logarithm.
        lags: Distance of each difference that is then taken, as (12, 1).
    """

    log: bool = False
    lags: tuple[int, ...] = ()

    @property
    def lost(self) -> int:
        """Number of first rows that have no transformed value."""
        return sum(self.lags)

    def forward(self, values: np.ndarray) -> np.ndarray:
        """Return transformed values (rows,); NaN in the first ``lost`` rows."""
        values = np.log(values) if self.log else values.astype(float)
        for lag in self.lags:
            values = np.append(np.full(lag, np.nan), values[lag:] - values[:-lag])
        return values

    def linked(self, values: Tensor) -> Tensor:
        """Return values in the units in which differences are taken and intervals are as wide above as below."""
        return values.log() if self.log else values

    def unlinked(self, values: Tensor) -> Tensor:
        """Invert :meth:`linked`."""
        return values.exp() if self.log else values

    def inverse(self, values: Tensor, past: Tensor) -> Tensor:
        """Return the linked values (n, steps) of transformed ones (n, steps) that follow linked ones ``past`` (n, lost)."""
        pasts = [past]
        for lag in self.lags:
            pasts.append(pasts[-1][:, lag:] - pasts[-1][:, :-lag])
        for lag, before in zip(reversed(self.lags), reversed(pasts[:-1]), strict=True):
            steps = values.shape[1]
            blocks = torch.nn.functional.pad(values, (0, -steps % lag)).unflatten(1, (-1, lag)).cumsum(1)
            values = (blocks + before[:, None, -lag:]).flatten(1)[:, :steps]
        return values


def given(names: list[str], season: int) -> Transform:
    """Return the transform of names in order: ``log``, then ``seasonal_difference`` and ``difference``."""
    if "log" in names[1:]:
        raise UserError(f"data.transform={names}: a difference may be below 0, and has no logarithm; put log first")
    if "seasonal_difference" in names and season < 2:
        raise UserError(f"data.transform={names}: a seasonal difference needs data.season, as 12 for months")
    lags = {"seasonal_difference": season, "difference": 1}
    return Transform("log" in names, tuple(lags[name] for name in names if name != "log"))


def chosen(train: np.ndarray, season: int) -> tuple[Transform, str]:
    """Return the transform that a written rule chooses, and its reasons in words.

    A logarithm, if all values are above 0 and their spread grows with their level; a seasonal difference, if the season is
    strong; else a difference, if the KPSS test finds no constant level.

    Args:
        train: Values of the rows of train (rows,), without the test rows.
        season: Steps of a season; 1 for none.
    """
    names, reasons, values = [], [], train
    if (train > 0).all() and spread_grows(train, season if season > 3 else 12):
        names, reasons, values = ["log"], ["spread grows with level"], np.log(train)
    strength = season_strength(values, season) if season > 1 and len(values) >= 3 * season else 0.0
    if strength > STRONG:
        names.append("seasonal_difference")
        reasons.insert(0, f"season strength {strength:.2f}")
    elif kpss(values) > KPSS:
        names.append("difference")
        reasons.append("level changes")
    words = ", ".join(name.replace("_", " ") for name in names) or "none"
    if strength > STRONG:
        words = words.replace("seasonal difference", f"seasonal difference of {season}")
    return given(names, season), f"transform: {words}" + (f" ({', '.join(reasons)})" if reasons else "")


def spread_grows(values: np.ndarray, size: int) -> bool:
    """Return whether the logarithm of the standard deviation of blocks of ``size`` rows grows with that of their mean."""
    blocks = values[len(values) % size :].reshape(-1, size)
    level, spread = blocks.mean(1), blocks.std(1)
    level, spread = np.log(level[spread > 0]), np.log(spread[spread > 0])
    if len(level) < 4 or np.ptp(level) == 0:
        return False
    slope, intercept = np.polyfit(level, spread, 1)
    error = np.sqrt(((spread - slope * level - intercept) ** 2).sum() / (len(level) - 2) / ((level - level.mean()) ** 2).sum())
    return bool(slope > GROWS and slope > SIGNIFICANT * error)


def season_strength(values: np.ndarray, season: int) -> float:
    """Return the fraction of the variance around a moving average that the means by step of the season explain."""
    weights = np.ones(season) if season % 2 else np.r_[0.5, np.ones(season - 1), 0.5]
    trend = np.convolve(values, weights / season, "valid")
    start = (len(values) - len(trend)) // 2
    rest = values[start : start + len(trend)] - trend
    steps = (np.arange(len(rest)) + start) % season
    means = np.bincount(steps, rest, season) / np.bincount(steps, minlength=season)
    variance = rest.var()
    return float(1 - (rest - means[steps]).var() / variance) if variance else 0.0


def kpss(values: np.ndarray) -> float:
    """Return the KPSS statistic of a constant level (Kwiatkowski et al., 1992), with 4 (n / 100)^(1/4) lags."""
    rest, count = values - values.mean(), len(values)
    lags = min(int(np.ceil(4 * (count / 100) ** 0.25)), count - 1)
    products = [(rest[lag:] * rest[: count - lag]).sum() / count for lag in range(lags + 1)]
    variance = products[0] + 2 * sum((1 - lag / (lags + 1)) * products[lag] for lag in range(1, lags + 1))
    return float((rest.cumsum() ** 2).sum() / count**2 / variance) if variance > 0 else 0.0
