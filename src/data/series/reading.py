"""A CSV file as a series: numbers by date, oldest first, evenly spaced, with its gaps filled."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.preprocessing import StandardScaler

from src.data.batches import Split
from src.data.series import dates
from src.errors import UserError


@dataclass(eq=False)
class Part:
    """One series of a file."""

    name: str | None  # None if there is no other
    ends: dict[str, tuple[int, int]]  # first row of each split, and the row after its last
    scaler: StandardScaler  # of all columns
    units: tuple[float, float, float]  # center, scale and naive error of the target; see :class:`Spec`
    series: Any = None  # DataFrame of all columns by date
    rows: int = 0  # rows up to the last target; behind them only known columns have values
    values: Any = None  # tensor of the scaled target (rows,)
    inputs: Any = None  # tensor of what windows hold (rows, channels); see :meth:`Forecast.channels`


def divided(names: pd.Series) -> dict[str, np.ndarray]:
    """Return the rows of each series by its name; a UserError names the line of the first row without a name."""
    codes, found = pd.factorize(names.replace("", None))
    if (codes < 0).any():
        raise UserError(
            f"line {names.index[int(codes.argmin())]}, column {names.name}: is empty; name the series of each row"
        )
    rows = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    return dict(zip(found, rows, strict=True))


def regular(series: pd.DataFrame, index: Any, texts: pd.Series | None, freq: Any) -> tuple[pd.DataFrame, list[str]]:
    """Order rows by date and space them evenly.

    Returns the columns by date, NaN where a date or a value is missing, and notes on what was done; without dates, by the
    numbers of the rows. See :func:`src.data.series.dates.ordered` and :func:`src.data.series.dates.spaced`.
    """
    if index is None or texts is None:
        return series.set_axis(pd.RangeIndex(len(series))), []
    series = series.set_axis(dates.ordered(index, texts))
    reverse = len(series) > 1 and series.index[0] > series.index[-1]
    return dates.spaced(series[::-1] if reverse else series, freq), ["newest first: reversed"] if reverse else []


def past(series: pd.DataFrame, known: list[str]) -> int:
    """Return the number of rows up to the last one with a value of a column that is not known in advance."""
    present = series.drop(columns=known).notna().any(axis=1).to_numpy()
    return len(series) - int(present[::-1].argmax()) if known else len(series)


def replaced(
    series: pd.DataFrame, column: str, replace: dict[Any, float], date_format: str | None, whole: bool = True
) -> pd.DataFrame:
    """Replace values of a column by row number, or by date, written as in the file or beginning with the year.

    Raises:
        UserError: A value is no number; or a date has to be guessed or, of a ``whole`` series, is not there.
    """
    dated = isinstance(series.index, pd.DatetimeIndex)
    for row, value in replace.items():
        try:
            label, number = dates.label(str(row), date_format) if dated else int(str(row)), float(value)
        except (ValueError, TypeError):
            label, number = None, 0.0
        if label not in series.index:
            if not whole:
                continue
            name = f"a date of column {series.index.name}" if dated else "the number of a row"
            raise UserError(f"data.replace={{{row}:{value}}}: must be {name} and the value to put there")
        series.loc[label, column] = number
    return series


def filled(series: pd.DataFrame, missing: str, borders: list[int]) -> tuple[pd.DataFrame, list[str]]:
    """Fill missing values: ``refuse``, take the ``previous`` one, or ``interpolate``. Return the series, and a note on it.

    No value behind one of the ``borders``, the first rows of validation and test, fills a gap before it.

    Raises:
        UserError: There are gaps, and ``missing`` is ``refuse``; or a column has no value before the first border.
    """
    gaps = series.isna().any(axis=1)
    if not gaps.any():
        return series, []
    first = dates.shown(series.index[gaps.to_numpy().argmax()])
    count = f"rows that are missing or have no value: {int(gaps.sum())} of {len(series)}, first {first}"
    if missing == "refuse":
        raise UserError(f"{count}; write them into the file, or train with data.missing=previous or interpolate")
    if missing == "interpolate":
        parts = [series[start:end].interpolate() for start, end in pairwise([0, *borders, len(series)])]
        series = pd.concat(parts)
    series, past = series.ffill(), borders[0] if borders else len(series)
    if (empty := series[:past].isna().all()).any():
        raise UserError(
            f"column {empty.idxmax()}: has no value in the first {past} rows, and no later one may fill them; "
            "remove the rows before its first value, or train without the column"
        )
    return pd.concat([series[:past].bfill(), series[past:]]), [f"{count}; filled ({missing})"]


def joined(parts: list[Split]) -> Split:
    """Return the splits of several series as one; that of one series stays as it is."""
    if len(parts) == 1:
        return parts[0]
    x, y, rows, time = zip(*parts, strict=True)
    return Split(torch.cat(x), torch.cat(y), rows[0].append(rows[1:]), None if time[0] is None else torch.cat(time))


def check_lengths(parts: dict[str, np.ndarray], rows: int, lags: int, horizon: int, season: int, origins: int) -> None:
    """Raise a UserError if a split is too short for windows, season or origins."""
    for name, part in parts.items():
        end = int(part[-1]) + 1
        if end - (lags if name == "train" else int(part[0])) < horizon + 1:
            raise UserError(
                f"data: {rows} rows are too few: {name} ends at row {end}, and a window takes data.lags={lags} "
                f"rows and data.horizon={horizon} after them; take fewer of both, or other fractions"
            )
    if season >= len(parts["train"]):
        raise UserError(f"data.season={season}: must be shorter than the {len(parts['train'])} rows of train")
    if origins > len(parts["test"]):
        raise UserError(f"data.origins={origins}: must be at most the {len(parts['test'])} test rows")
