"""A CSV file as a series: numbers by date, oldest first, evenly spaced, with its gaps filled."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from src.data import LARGEST, csv_file
from src.data.series import dates
from src.errors import UserError


def read(path: Path, columns: list[str], texts: tuple[str, ...]) -> tuple[pd.DataFrame, list[str]]:
    """Read a CSV file that must have some columns, some of them as texts; see :func:`src.data.csv_file.read`.

    Raises:
        UserError: The file cannot be read, or lacks a column.
    """
    try:
        frame, notes = csv_file.read(path, texts)
    except UserError as error:
        raise UserError(f"data.path={path}: {error}") from error
    if absent := [name for name in columns if name not in frame]:
        hint = csv_file.separated(list(map(str, frame)))
        raise UserError(
            f"data: {path.name} has no column {', '.join(absent)}; choose from: {', '.join(map(str, frame))}{hint}"
        )
    return frame, notes


def regular(
    frame: pd.DataFrame, columns: list[str], date: str | None, date_format: str | None, freq: Any
) -> tuple[pd.DataFrame, list[str]]:
    """Order rows by date and space them evenly.

    Args:
        frame: Rows of a file, named by their lines.
        columns: Columns to keep, as numbers.
        date: Column of dates as texts, oldest or newest first; None numbers the rows.
        date_format: Format of the dates, see :func:`src.data.series.dates.read`.
        freq: Frequency of the dates, see :func:`src.data.series.dates.spaced`.

    Returns:
        The columns as floats by date, NaN where a date or a value is missing; and notes on what was done.

    Raises:
        UserError: Names the line of the first value that is no number, or of the first date that is invalid, repeated or
            out of order.
    """
    series = frame[columns].apply(pd.to_numeric, errors="coerce").astype(float)
    invalid = (series.isna() & frame[columns].notna()) | (series.abs() > LARGEST)
    if invalid.to_numpy().any():
        column = invalid.any().idxmax()
        at = int(invalid[column].to_numpy().argmax())
        raise UserError(
            f"line {frame.index[at]}, column {column}: {frame[column].iloc[at]} is not a number below {LARGEST:g}"
        )
    if not date:
        return series.set_axis(pd.RangeIndex(len(series))), []
    series.index = dates.read(frame[date], date_format)
    reverse = len(series) > 1 and series.index[0] > series.index[-1]
    return dates.spaced(series[::-1] if reverse else series, freq), ["newest first: reversed"] if reverse else []


def replaced(
    series: pd.DataFrame, column: str, replace: dict[Any, float], date_format: str | None, whole: bool = True
) -> pd.DataFrame:
    """Replace values of a column.

    Args:
        series: Values by date or row number.
        column: Column to correct.
        replace: Values by row number, or by date, written as in the file or beginning with the year.
        date_format: Format of the file's dates, see :func:`src.data.series.dates.read`.
        whole: Refuse a date that is not in the series; False, for a part of it, leaves it out.

    Raises:
        UserError: A date is not in the series or has to be guessed, or a value is no number.
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
    """Fill missing values.

    Args:
        series: Values by date, NaN where they are missing.
        missing: ``refuse``, ``previous`` (the value before) or ``interpolate``.
        borders: First rows of validation and test, as the split has them. No value behind a border fills a gap before it.

    Returns:
        The series without gaps, and a note if there were any.

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
