"""Dates of a series: reading, checking, even spacing, continuation."""

import re
import warnings
from typing import Any

import numpy as np
import pandas as pd
from pandas.tseries.api import guess_datetime_format

from src.errors import UserError

AMBIGUOUS = re.compile(r"\s*\d{1,2}[./\s-]\d{1,2}[./\s-]\d{4}")
# Dates that leave nothing to guess: with a year of four digits, and the month behind it or named. pandas also reads others:
# it makes 2049 of 49, the year 1 of no year, and today of a time.
MONTH, DAY = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?", r"\d{1,2}(?:st|nd|rd|th)?"
CLEAR = re.compile(
    rf"""\s*(?:
        \d{{4}} | \d{{8}}                                                            # 2024; 20240131
      | \d{{4}}-?Q[1-4]                                                            # 2024Q1
      | \d{{4}}[-/\s](?:\d{{1,2}}|{MONTH})                                          # 2024-01; 2024 Jan
      | \d{{4}}[-/.\s](?:\d{{1,2}}|{MONTH})[-/.\s]\d{{1,2}}                         # 2024-01-31; 2024-Jan-31
      | \d{{1,2}}[-/]\d{{4}}                                                       # 01/2024
      | (?:[a-z]+,?\s+)?(?:{DAY}[-/.\s]*(?:of\s)?)?{MONTH}[-/.,\s]*\d{{4}}         # Jan-2024; Wed, 31 Jan 2024
      | (?:[a-z]+,?\s+)?{MONTH}\s*{DAY},?\s+(?:\d+:[\d:.]+\s+)?\d{{4}}            # Jan 31, 2024; Wed Jan 31 10:00:00 2024
    )(?:[T\s]\s*\d.*)?\s*                                                        # and a time of day
    """,
    re.VERBOSE | re.IGNORECASE,
)
CENTURY = "%y reads 69-99 as 1969-1999 and 00-68 as 2000-2068"


def wrong(column: pd.Series, at: int, why: str) -> UserError:
    """Return the error of one value of a column, named by its line."""
    return UserError(f"line {column.index[at]}, column {column.name}: {column.iloc[at]!r} {why}")


def valid(column: pd.Series, date_format: str | None = None) -> pd.DatetimeIndex:
    """Read a column of texts, named by their lines, as dates in any order; see :func:`check` and :func:`parsed`.

    Raises:
        UserError: Names the line of the first date that is invalid or ambiguous.
    """
    check(date_format)
    try:
        dates = parsed(column, date_format)
    except ValueError as error:
        raise UserError(f"column {column.name}: its dates are in several time zones; write all of them in one") from error
    if dates.isna().any():
        at = int(dates.isna().to_numpy().argmax())
        if date_format:
            why = f"is not a date of data.date_format={date_format}; change one of them, or train with data.date=null"
        elif AMBIGUOUS.match(column.iloc[at]):
            why = "may have its day or its month first; train with data.date_format, as in '%d.%m.%Y'"
        elif CLEAR.fullmatch(column.iloc[at]):
            why = "is not a date that pandas can read; correct it, or train with data.date_format"
        else:
            why = (
                "is not a date that can be read without a guess; write a year of four digits and the month, as in 1949-01 "
                f"or Jan 1949, or train with data.date_format, as in %b-%y for Jan-49 ({CENTURY}), or data.date=null"
            )
        raise wrong(column, at, why)
    return pd.DatetimeIndex(dates, name=column.name)


def ordered(index: pd.DatetimeIndex, column: pd.Series) -> pd.DatetimeIndex:
    """Return dates in order, oldest or newest first; a UserError names the line of the first that is repeated or is not.

    ``column`` has them as written, by line.
    """
    if (repeated := index.duplicated()).any():
        raise wrong(column, int(repeated.argmax()), "is repeated; each date may occur once")
    if not index.is_monotonic_increasing and not index.is_monotonic_decreasing:
        steps = np.diff(index.asi8) * (1 if index[-1] > index[0] else -1)
        raise wrong(column, int((steps < 0).argmax()) + 1, "is out of order; sort the file by date")
    return index


def calendar(index: pd.Index, parts: list[str]) -> pd.DataFrame:
    """Return features of dates, one row each: month and hour as sine and cosine of the cycle, each weekday as 0 or 1."""
    features: dict[str, Any] = {}
    for part in parts:
        values = np.asarray(getattr(index, {"weekday": "day_of_week"}.get(part, part)))
        if part == "weekday":
            features |= {f"weekday_{day}": values == day for day in range(7)}
        else:
            angles = 2 * np.pi * values / {"month": 12, "hour": 24}[part]
            features |= {f"{part}_sine": np.sin(angles), f"{part}_cosine": np.cos(angles)}
    return pd.DataFrame(features, index).astype(float)


def check(date_format: str | None) -> None:
    """Raise a UserError unless a format is None, or one that has a year."""
    if date_format is None:
        return
    try:
        pd.to_datetime(["2024"], errors="coerce", format=date_format)
    except ValueError as error:
        raise UserError(
            f"data.date_format={date_format}: {str(error).rstrip('.')}; write a format such as '%d.%m.%Y'"
        ) from error
    if not re.search("%[YyGcx]", date_format.replace("%%", "")):
        raise UserError(
            f"data.date_format={date_format}: has no year; add %Y, or %y ({CENTURY}), and the year to the dates; or leave "
            "the format out for dates such as 2024-01-31"
        )


def parsed(texts: pd.Series, date_format: str | None) -> pd.Series:
    """Return texts as dates; NaT for one that is no date, or without a format leaves something to guess.

    Raises:
        ValueError: The dates have several time zones.
    """
    texts = texts.where(~texts.isin(["now", "today"]), "")  # pandas reads them in any format, and differently every day
    if date_format:
        return pd.to_datetime(texts, errors="coerce", format=date_format)
    first = next(iter(texts), "")
    common = guess_datetime_format(first) if CLEAR.fullmatch(first) else None
    if common and "%Y%m" not in common:  # which would take 2024105
        dates = pd.to_datetime(texts, errors="coerce", format=common)
        if dates.notna().all():  # quick, and as strict as what follows
            return dates
    clear = texts.where(texts.str.fullmatch(CLEAR))
    with warnings.catch_warnings(action="ignore"):  # of quarters
        return pd.to_datetime(clear, errors="coerce", format="mixed")


def label(text: str, date_format: str | None) -> pd.Timestamp:
    """Return one date, written in the format of a file or clearly; NaT for another text."""
    dates = [parsed(pd.Series([text]), form).iloc[0] for form in (date_format, None)]
    return dates[1] if pd.isna(dates[0]) else dates[0]


def spaced(series: pd.DataFrame, freq: Any) -> pd.DataFrame:
    """Return the series with a row for every date of its frequency (text or offset of pandas; None infers it).

    Raises:
        UserError: A date does not lie on the frequency, or far more dates would be missing than are there.
    """
    index = series.index
    if len(index) < 3 and freq is None:
        return series
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas will one day return another class, which works as well
        found = freq or pd.infer_freq(index)
    every = found or pd.Series(index).diff().mode()[0]  # the commonest, where dates are missing
    name = getattr(every, "freqstr", every)
    try:
        next_date = pd.date_range(index[0], periods=2, freq=every)[1]
    except ValueError as error:
        raise UserError(f"data.freq={freq}: must be a frequency of pandas, such as D, W, MS or h") from error
    if next_date <= index[0]:
        raise UserError(f"data.freq={freq}: must go forward in time, as D does")
    if (index[-1] - index[0]) / (next_date - index[0]) > 20 * len(index) + 1000:
        raise UserError(
            f"column {index.name}: from {shown(index[0])} to {shown(index[-1])} by {name} are far more dates than "
            f"the {len(index):,} rows; look for a wrong date, or train with another data.freq"
        )
    full = pd.date_range(index[0], index[-1], freq=every, name=index.name)
    if len(odd := index.difference(full)):
        raise UserError(
            f"column {index.name}: {shown(odd[0])} is not a date of the frequency {name}; train with the data.freq of the "
            "dates (W-SAT for Saturdays), or with data.date=null, which numbers the rows"
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
