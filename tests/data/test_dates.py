"""Dates of a series: read where nothing is left to guess; rows named by the lines of their file."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.data.series import dates
from src.data.series.csv import Forecast
from src.data.series.nyse import NYSE
from src.data.table import Hitters
from src.errors import UserError

CENTURY = "69-99 as 1969-1999 and 00-68 as 2000-2068"


def column(*texts: str) -> pd.Series:
    """Dates of a file, from its second line on."""
    return pd.Series(texts, index=range(2, 2 + len(texts)), name="day")


def read(texts: pd.Series, date_format: str | None = None) -> pd.DatetimeIndex:
    return dates.ordered(dates.valid(texts, date_format), texts)


def series(days: list[str], values: list[float] | np.ndarray, **options: object) -> Forecast:
    """A series in the working folder."""
    pd.DataFrame({"day": days, "units": values}).to_csv("series.csv", index=False)
    data = Forecast(path="series.csv", target="units", date="day", lags=3, scaling="none", **options)
    data.setup()
    return data


DAYS = pd.date_range("2024-01-01", periods=40).strftime("%Y-%m-%d").tolist()
FORMATS = (
    "%Y-%m-%d %Y/%m/%d %Y.%m.%d %Y%m%d %d-%b-%Y %Y-%b-%d %d%b%Y %Y-%m-%dT%H:%M:%S %Y-%m-%dT%H:%M:%SZ %Y-%m %b-%Y %m/%Y %Y"
)


@given(
    day=st.dates(pd.Timestamp("1700-01-01").date(), pd.Timestamp("2200-12-31").date()),
    written=st.sampled_from(FORMATS.split()),
)
def test_a_date_with_a_year_and_a_clear_month_is_read(day: pd.Timestamp, written: str) -> None:
    text = day.strftime(written)
    assert read(column(text))[0].strftime(written) == text
    for long in ("%d %B %Y", "%B %d, %Y", "%a, %d %b %Y 10:30:00", "%a %b %d 10:30:00 %Y", "%Y-%m-%d 10:30 PM"):
        assert read(column(day.strftime(long)))[0].strftime("%F") == day.strftime("%F")


@pytest.mark.parametrize(
    "text",
    ["Jan-49", "49-01-01", "1.1.49", "01-01", "Mar", "10:00", "now", "today", "01.2024", "202401", "Mon 2024", "", "49"],
)
def test_a_date_that_would_be_guessed_is_refused(text: str) -> None:
    for texts in (column("2024-01-01", text), column(text, "2024-01-01"), column(text)):
        with pytest.raises(UserError) as told:
            read(texts)
        line = texts.index[list(texts).index(text)]
        assert str(told.value).startswith(f"line {line}, column day: {text!r} is not a date")
        assert "train with data.date_format, as in %b-%y" in str(told.value)
        assert CENTURY in str(told.value)


def test_a_date_that_is_clear_alone_helps_no_other() -> None:
    for first, second in {
        "2024-01-05": "10:00",
        "1 Jan 2024": "2 Feb 24",
        "20240105": "2024106",
        "Jan 2024": "Feb 24",
    }.items():
        with pytest.raises(UserError, match=f"line 3, column day: {second!r} is not a date"):
            read(column(first, second))


def test_a_format_must_have_a_year_and_be_one() -> None:
    assert read(column("Jan-68", "Jan-69"), "%b-%y").strftime("%Y").tolist() == ["2068", "1969"]
    for written, named in {
        "%Q": "'Q' is a bad directive",
        "%d.%m.%Y%": "stray %",
        "%H:%M": "has no year",
        "%d.%m.": CENTURY,
        "100%%Y": "has no year",
        "mixed": "has no year",
    }.items():
        with pytest.raises(UserError) as told:
            read(column("10:00"), written)
        assert str(told.value).startswith(f"data.date_format={written}: ")
        assert named in str(told.value)
        assert "time zone" not in str(told.value)
    with pytest.raises(UserError, match=r"line 3, column day: '2024-01-31' is not a date of data\.date_format=%d\.%m\.%Y"):
        read(column("30.01.2024", "2024-01-31"), "%d.%m.%Y")
    with pytest.raises(UserError, match="line 3, column day: 'today' is not a date"):
        read(column("30.01.2024", "today"), "%d.%m.%Y")


def test_iso_dates_of_several_lengths_and_zones() -> None:
    texts = column("2022-01-01", "2022-01-01 01:00:00", "2022-01-01T02:00", "2022-01-01 02:00:00.5")
    assert (read(texts) - pd.Timestamp("2022-01-01")).total_seconds().tolist() == [0, 3600, 7200, 7200.5]
    hours = pd.date_range("2022-01-01", periods=40, freq="h").map(str)
    data = series(hours.str.removesuffix(" 00:00:00").tolist(), np.arange(40.0))
    assert data.parts[None].series.index.equals(pd.date_range("2022-01-01", periods=40, freq="h"))
    with pytest.raises(UserError, match="column day: its dates are in several time zones"):
        read(column("2024-01-01T00:00+01:00", "2024-06-01T00:00+02:00"))


def test_days_without_separators_keep_their_zeros() -> None:
    days = pd.date_range("2024-02-01", periods=40)
    data = series(days.strftime("%d%m%Y").tolist(), np.arange(40.0), date_format="%d%m%Y")  # 01022024 is no number
    assert data.parts[None].series.index.equals(days)


def test_a_replaced_date_is_read_like_those_of_the_file() -> None:
    days = pd.date_range("2022-11-01", periods=40).strftime("%d.%m.%Y").tolist()
    for key in ("03.11.2022", "2022-11-03", "3 Nov 2022"):
        data = series(days, np.arange(40.0), date_format="%d.%m.%Y", replace={key: 7.0})
        assert data.parts[None].series[data.target].iloc[:4].tolist() == [0, 1, 7, 3], key
    for key in ("03.11.2022", "Nov-22", "today", "3"):
        with pytest.raises(UserError, match=rf"data\.replace={{{key}:7\.0}}: must be a date of column day"):
            series(DAYS, np.arange(40.0), replace={key: 7.0})


def test_new_rows_are_replaced_where_they_have_the_date() -> None:
    values = np.arange(40.0)
    values[[10, 20]] = 1e4
    data = series(DAYS, values, replace={DAYS[10]: 10.0, DAYS[20]: 20.0})
    pd.DataFrame({"day": DAYS[5:18], "units": values[5:18]}).to_csv("new.csv", index=False)
    x, rows, _ = data.read_new(Path("new.csv"))
    assert x[:, :, 0].tolist() == [[first, first + 1, first + 2] for first in np.arange(5.0, 16.0)]
    assert rows[0] == pd.Timestamp(DAYS[8])
    numbered = Forecast(path="series.csv", target="units", lags=3, scaling="none", replace={10: 10.0, 20: 20.0})
    numbered.setup()
    x, _, _ = numbered.read_new(Path("new.csv"))
    assert x[:, :, 0].max() == 1e4, "the numbers of rows are those of the run's own file"


def test_a_day_that_new_rows_lack_is_missed_by_the_frequency_of_the_run() -> None:
    strict, kept = (series(DAYS, np.arange(40.0), missing=missing) for missing in ("refuse", "previous"))
    for days in ([*DAYS[:5], *DAYS[6:9]], DAYS[:20:2], [DAYS[0], DAYS[3]]):
        pd.DataFrame({"day": days, "units": np.arange(float(len(days)))}).to_csv("new.csv", index=False)
        with pytest.raises(UserError) as told:
            strict.read_new(Path("new.csv"))
        assert "write them into the file, or train with data.missing=previous" in str(told.value)
        kept.notes.clear()
        x, _, _ = kept.read_new(Path("new.csv"))
        assert len(x) == pd.Timestamp(days[-1]).day_of_year - 2
        assert "filled (previous)" in kept.notes[0]


def test_messages_name_the_line_of_the_file() -> None:
    rows = [f"{day},{value},x" for value, day in enumerate(DAYS)]
    rows[3] = f'{DAYS[3]},3,"two\nlines"'
    rows[5] = f"\n\n{rows[5]}"
    for bad, named in {
        "many": "column units: many is not a number",
        "2024-01-01": "column day: '2024-01-01' is repeated",
    }.items():
        spoilt = rows[7].replace(DAYS[7], bad) if bad in DAYS else f"{DAYS[7]},{bad},x"
        Path("series.csv").write_text("\n".join(["day,units,note", *rows[:7], spoilt, *rows[8:]]))
        line = Path("series.csv").read_text().splitlines().index(spoilt) + 1
        with pytest.raises(UserError, match=rf"data\.path=series\.csv: line {line}, {named}"):
            Forecast(path="series.csv", target="units", date="day", lags=3).setup()
    data = Hitters(target="Salary")
    data.setup()
    header, *players = pd.read_csv(Hitters.FILE).dropna().iloc[:4].drop(columns="Salary").to_csv(index=False).splitlines()
    Path("new.csv").write_text("\n".join([header, players[0], "", "", players[1], re.sub("^[0-9.]+", "X", players[2]), ""]))
    with pytest.raises(UserError, match=r"input=new\.csv: line 6, column"):
        data.read_new(Path("new.csv"))
    Path("new.csv").write_text("\n".join([header, players[0], "", players[1]]))
    assert data.read_new(Path("new.csv"))[1].tolist() == [2, 4]


def test_new_days_of_trading_are_in_order_of_time_not_of_text() -> None:
    data = NYSE(features=["log_volume"], target="log_volume", lags=2)
    data.setup()
    frame = pd.DataFrame({"log_volume": [0.1, 0.2, 0.3, 0.4]}, index=pd.RangeIndex(2, 6, name="line"))
    x, rows = data.encode(frame.assign(date=["30 Dec 1986", "31 Dec 1986", "1 Jan 1987", "2 Jan 1987"]))
    assert (len(x), list(rows)) == (2, ["1 Jan 1987", "2 Jan 1987"])
    for days in (["12/31/86", "1/1/87", "1/2/87", "1/3/87"], ["1986-12-31", "1986-12-30", "1987-01-01", "1987-01-02"]):
        with pytest.raises(UserError, match="the days must follow one another, oldest first, each once, and be written as"):
            data.encode(frame.assign(date=days))
