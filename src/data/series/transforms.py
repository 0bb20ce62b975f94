"""Season of a series and transforms before it is scaled: chosen on the rows of train by a written rule."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from src.errors import UserError

# The rule of ``auto``: fraction of the variance around the trend that makes a season strong, and the level of the KPSS test
# (Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd edition, sections 4.3 and 9.1); growth of the spread
# with the level from which on a logarithm is taken (1 would be proportional), and how many standard errors it must be.
STRONG, SIGNIFICANT, GROWS, ERRORS = 0.64, 0.05, 0.5, 2.0


class Transform(NamedTuple):
    """Transform of the target inside a network's windows; its inverse is applied to the outputs.

    A logarithm first, if there is one; then differences; then standardisation.
    """

    log: bool = False
    lags: tuple[int, ...] = ()  # distance of each difference, in order: (12, 1)
    floor: float = 0.0  # smallest value whose logarithm is taken, a thousandth of the smallest of train
    mean: float = 0.0  # of the transformed rows of train
    std: float = 1.0

    @property
    def lost(self) -> int:
        """Number of first steps of a window that have no transformed value."""
        return sum(self.lags)


def learn(
    index: pd.Index, train: np.ndarray, season: int | str, names: Sequence[str] | str, fits: bool
) -> tuple[int, Transform | None, list[str]]:
    """Return season and transform of a series, and notes on what was chosen where they are ``auto``.

    Args:
        index: Dates or numbers of all rows.
        train: Values of the rows of train (rows,).
        season: Steps of a season, or ``auto``.
        names: Transforms in order, or ``auto``.
        fits: Whether there is one series, in windows of fixed lengths that hold the target.
    """
    usual = usual_season(index) if "auto" in (season, names) else 1
    steps, note = found_season(train, usual) if isinstance(season, str) else (season, "")
    reason = ""
    if isinstance(names, str):
        names, reason = chosen(train, steps, max(steps, usual)) if fits else ([], "")
    if names and not fits:
        raise UserError(
            f"data.transform=[{','.join(names)}]: needs one series, and windows of fixed lengths that hold the target; set "
            "data.windows=fixed and data.features with it, or data.transform=[]"
        )
    return steps, transform(names, train, steps), [text for text in (note, reason) if text]


def transform(names: Sequence[str], train: np.ndarray, season: int) -> Transform | None:
    """Return the transform of names in order, fitted to the rows of train (rows,); None without names.

    Raises:
        UserError: The names are in an order that has no meaning, or do not fit the values or the season.
    """
    if not names:
        return None
    option = f"data.transform=[{','.join(names)}]"
    if "log" in names[1:]:
        raise UserError(f"{option}: a difference may be below 0 and has no logarithm; put log first")
    if "log" in names and train.min() <= 0:
        raise UserError(f"{option}: the rows of train hold values of 0 or less, which have no logarithm; leave log out")
    if "seasonal_difference" in names and season < 2:
        raise UserError(f"{option}: a seasonal difference needs a season; set data.season, as 12 for months")
    lags = tuple({"seasonal_difference": season, "difference": 1}[name] for name in names if name != "log")
    if len(train) < sum(lags) + 3:
        raise UserError(f"{option}: {len(train)} rows of train are too few for its differences; take fewer")
    values = np.log(train) if "log" in names else train
    for lag in lags:
        values = values[lag:] - values[:-lag]
    floor = float(train.min()) / 1000 if "log" in names else 0.0
    return Transform("log" in names, lags, floor, float(values.mean()), float(values.std()) or 1.0)


def usual_season(index: pd.Index) -> int:
    """Return the usual steps of a season at the frequency of dates; 1 for none."""
    from statsmodels.tsa.tsatools import freq_to_period

    try:
        return int(freq_to_period(index.freqstr)) if getattr(index, "freqstr", None) else 1
    except ValueError:  # a frequency without a usual season
        return 1


def found_season(train: np.ndarray, season: int) -> tuple[int, str]:
    """Return the usual steps of a season if train correlates with itself at them, else 1; and a note."""
    if season == 1 or len(train) < 3 * season:
        return 1, ""
    changes = np.diff(train)
    centred = changes - changes.mean()
    correlation = float((centred[season:] * centred[:-season]).sum() / ((centred**2).sum() or 1))
    if correlation < 2 / np.sqrt(len(changes)):
        return 1, f"season: none (correlation at {season} steps {correlation:.2f})"
    return season, f"season: {season} steps (correlation {correlation:.2f})"


def chosen(train: np.ndarray, season: int, block: int) -> tuple[list[str], str]:
    """Return the names of the transforms that the rule chooses, and a note with its reasons.

    A logarithm, if all values are above 0 and the spread within blocks of rows grows with their level; a seasonal
    difference, if the season is strong; else a difference, if the KPSS test finds no constant level.

    Args:
        train: Values of the rows of train (rows,).
        season: Steps of a season; 1 for none.
        block: Rows of a block; 12 in place of 3 or fewer.
    """
    from statsmodels.tsa.seasonal import STL
    from statsmodels.tsa.stattools import kpss

    names, reasons, values = [], [], train
    if train.min() > 0 and spread_grows(train, block if block > 3 else 12):
        names, reasons, values = ["log"], ["spread grows with level"], np.log(train)
    strength = 0.0
    if season > 1 and len(values) >= 3 * season:
        parts = STL(values, period=season, robust=True).fit()
        strength = 1 - parts.resid.var() / ((parts.resid + parts.seasonal).var() or 1)
    if strength > STRONG:
        names.append("seasonal_difference")
        reasons.insert(0, f"season strength {strength:.2f}")
    elif np.ptp(values) > 0:
        with warnings.catch_warnings(action="ignore"):  # of p-values outside of its table
            if kpss(values, nlags="auto")[1] < SIGNIFICANT:
                names.append("difference")
                reasons.append("level changes")
    words = {"seasonal_difference": f"seasonal difference of {season}"}
    listed = ", ".join(words.get(name, name) for name in names) or "none"
    return names, f"transform: {listed}" + (f" ({', '.join(reasons)})" if reasons else "")


def spread_grows(values: np.ndarray, size: int) -> bool:
    """Return whether the logarithm of the standard deviation of blocks of ``size`` rows grows with that of their mean."""
    from scipy.stats import linregress

    blocks = values[len(values) % size :].reshape(-1, size)
    level, spread = blocks.mean(1), blocks.std(1)
    level, spread = np.log(level[spread > 0]), np.log(spread[spread > 0])
    if len(level) < 4 or np.ptp(level) == 0:
        return False
    line = linregress(level, spread)
    return bool(line.slope > GROWS and line.slope > ERRORS * line.stderr)
