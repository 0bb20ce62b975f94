"""Dates of a series: reading, checking, even spacing, continuation."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pandas as pd

from src.errors import UserError

AMBIGUOUS = re.compile(r"\s*\d{1,2}[./-]\d{1,2}[./-]\d{2,4}")


def read(column: pd.Series, lines: pd.Index, date_format: str | None = None) -> pd.DatetimeIndex:
    """Read a column of dates in order, oldest or newest first.

    Args:
        column: Texts, or years as whole numbers.
        lines: Line of each row in its file.
        date_format: Format as for ``strptime``; None accepts year-first dates, and names of months.

    Raises:
        UserError: Names the line of the first date that is invalid, ambiguous, repeated or out of order.
    """

    def wrong(at: int, why: str) -> UserError:
        return UserError(f"line {lines[at]}, column {column.name}: {str(column.iloc[at])!r} {why}")

    texts = column.astype(str)
    if pd.api.types.is_numeric_dtype(column):
        date_format = date_format or "%Y"
    elif date_format is None and (either := texts.str.match(AMBIGUOUS).to_numpy()).any():
        raise wrong(int(either.argmax()), "may have its day or its month first; set data.date_format, as in '%d.%m.%Y'")
    try:
        dates = pd.to_datetime(texts, errors="coerce", format=date_format)
    except ValueError as error:  # of several time zones
        raise UserError(
            f"column {column.name}: {str(error).splitlines()[0]}; write all its dates in one time zone"
        ) from error
    if dates.isna().any():
        raise wrong(int(dates.isna().to_numpy().argmax()), "is not a date; see data.date_format, or data.date=null")
    if (repeated := dates.duplicated().to_numpy()).any():
        raise wrong(int(repeated.argmax()), "is repeated; each date may occur once")
    index = pd.DatetimeIndex(dates, name=column.name)
    if not index.is_monotonic_increasing and not index.is_monotonic_decreasing:
        steps = np.diff(index.asi8) * (1 if index[-1] > index[0] else -1)
        raise wrong(int((steps < 0).argmax()) + 1, "is out of order; sort the file by date")
    return index


def spaced(series: pd.DataFrame, freq: str | None) -> pd.DataFrame:
    """Return the series with a row for every date of its frequency, which is inferred if ``freq`` is None.

    Raises:
        UserError: A date does not lie on the frequency, or far more dates would be missing than are there.
    """
    index = series.index
    if len(index) < 3:
        return series
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas will one day return another class, which works as well
        found = freq or pd.infer_freq(index)
    every = found or pd.Series(index).diff().mode()[0]  # the commonest, where dates are missing
    try:
        next_date = pd.date_range(index[0], periods=2, freq=every)[1]
    except ValueError as error:
        raise UserError(f"data.freq={freq}: must be a frequency of pandas, such as D, W, MS or h") from error
    if next_date <= index[0]:
        raise UserError(f"data.freq={freq}: must go forward in time, as D does")
    if (index[-1] - index[0]) / (next_date - index[0]) > 20 * len(index) + 1000:
        raise UserError(
            f"column {index.name}: from {shown(index[0])} to {shown(index[-1])} by {every} are far more dates than "
            f"the {len(index):,} rows; set data.freq, or look for a wrong date"
        )
    full = pd.date_range(index[0], index[-1], freq=every, name=index.name)
    if len(odd := index.difference(full)):
        raise UserError(
            f"column {index.name}: {shown(odd[0])} is not a date of the frequency {every}; set data.freq to that of the "
            "dates (W-SAT for Saturdays), or data.date=null to number the rows"
        )
    return series.reindex(full)


def after(index: pd.Index, steps: int, freq: str | None) -> pd.Index:
    """Return the ``steps`` labels that follow an index."""
    if isinstance(index, pd.DatetimeIndex):
        every = index.freq or freq or pd.Series(index).diff().mode()[0]
        return pd.date_range(index[-1], periods=steps + 1, freq=every, name=index.name)[1:]
    return pd.RangeIndex(index[-1] + 1, index[-1] + 1 + steps, name=index.name)


def shown(row: Any) -> str:
    """Format a date, without the time of day if there is none."""
    return str(row).removesuffix(" 00:00:00")
