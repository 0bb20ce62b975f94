"""CSV files as tables: those of users, where no value may move under another header, and the epochs of runs."""

import bz2
import csv
import gzip
import lzma
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.errors import ParserError, ParserWarning

from src.errors import UserError

OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


def read(
    path: Path, texts: Iterable[str] = (), skip_blank_lines: bool = True, sep: str = ",", **options: Any
) -> tuple[pd.DataFrame, list[str]]:
    """Read a CSV file with a header.

    Args:
        path: Path of the file.
        texts: Columns to keep as they are written: pandas reads NA, None and null as missing, and 007 as 7.
        skip_blank_lines: Ignore blank lines; False reads each as a row without values.
        sep: Separator of the columns.
        options: Arguments of ``pandas.read_csv`` that say what values mean, as ``decimal`` and ``na_values``.

    Returns:
        The rows, named by the line of the file that each begins on, and a note if empty columns without a name were left
        out: a spreadsheet may end each row with a comma.

    Raises:
        UserError: The file cannot be read, a row has more fields than the header, or two columns have the same name. The
            sentence does not name the file.
    """
    form: dict[str, Any] = {"skip_blank_lines": skip_blank_lines, "sep": sep}
    try:
        header = fields(path, 0, **form)
        # pandas shifts longer rows to the left by default; with index_col=False it warns if it would lose a value
        with warnings.catch_warnings(action="error", category=ParserWarning):
            frame = pd.read_csv(path, index_col=False, **form, **options)
            if kept := [name for name in texts if name in frame]:
                written = pd.read_csv(path, index_col=False, usecols=kept, dtype=str, keep_default_na=False, **form)
                frame[kept] = written[kept]  # in the order of the file
        further = len(fields(path, 1, **form)) - len(header) if len(frame) else 0
    except (OSError, ValueError, ParserWarning) as error:
        long = long_row(path, sep) if isinstance(error, ParserError | ParserWarning) else ""
        raise UserError(long or f"cannot be read as CSV ({str(error).splitlines()[0]})") from error
    for index, name in enumerate(header):
        if name.strip() and name in header[:index]:
            raise UserError(
                f"columns {header.index(name) + 1} and {index + 1} are both named {name}; give each a name of its own"
            )
    unnamed = [
        column for column, name in zip(frame.columns, header, strict=True) if not name.strip() and frame[column].isna().all()
    ]
    count = len(unnamed) + max(0, further)
    notes = [f"left out: {count} column{'s' * (count > 1)} without a name and without values"] if count else []
    return frame.drop(columns=unnamed).set_axis(lines(path, len(frame), **form)), notes


def epochs(path: Path, dtype: type | None = None) -> pd.DataFrame:
    """Read a run's ``metrics.csv``: one row per epoch that is complete, so that it has ``seconds``; a kill may cut the last.

    Earlier versions wrote what callbacks logged into rows of their own, before the task's row or, with its number, after it.

    Args:
        path: Path of the file.
        dtype: Type of all values, as ``str`` for the texts; None for numbers.
    """
    table = pd.read_csv(path, dtype=dtype)
    if not {"epoch", "seconds"} <= {*table}:
        return table
    own, epoch = table["seconds"].notna(), pd.to_numeric(table["epoch"], errors="coerce")
    late = ~own & epoch.eq(epoch.where(own).ffill())
    merged = table.groupby(own.shift(fill_value=False).cumsum() - late).last()
    return merged.dropna(subset="seconds").reset_index(drop=True)


def fields(path: Path, row: int, **options: Any) -> list[str]:
    """Return the fields of one row of a file as they are written; row 0 is the header."""
    table = pd.read_csv(path, header=None, skiprows=row, nrows=1, dtype=str, keep_default_na=False, **options)
    return table.iloc[0].tolist()


def records(path: Path, skip_blank_lines: bool = True, sep: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yield each row, the header first, and the line that it begins on."""
    with OPENERS.get(path.suffix, open)(path, "rt", encoding="utf-8-sig", newline="") as file:
        rows, line = csv.reader(file, delimiter=sep), 1
        for row in rows:
            blank = not row or (len(row) == 1 and row[0] != "" and not row[0].strip(" \t"))  # as pandas understands it
            if not (blank and skip_blank_lines):
                yield line, row
            line = rows.line_num + 1  # a quoted value may hold line breaks


def lines(path: Path, count: int, skip_blank_lines: bool, sep: str) -> pd.Index:
    """Return the line that each of ``count`` rows begins on; they are counted in a file that only pandas can read."""
    plain = pd.RangeIndex(2, count + 2, name="line")
    total, end = 0, b"\n"
    with OPENERS.get(path.suffix, open)(path, "rb") as file:
        while block := file.read(2**20):
            total, end = total + block.count(b"\n"), block[-1:]
    if total + (end != b"\n") == count + 1:  # a line for the header and one for each row
        return plain
    try:
        found = [line for line, _ in records(path, skip_blank_lines, sep)][1:]
    except (UnicodeDecodeError, csv.Error):
        return plain
    return pd.Index(found, name="line") if len(found) == count else plain


def long_row(path: Path, sep: str) -> str:
    """Name the line of the first row with more fields than the header; return "" if there is none in a text file."""
    try:
        (_, header), *rows = records(path, sep=sep)
    except (UnicodeDecodeError, csv.Error):  # of an archive, which pandas reads
        return ""
    # whether the further fields are empty, the line, and the number of fields
    found = [(not any(row[len(header) :]), line, len(row)) for line, row in rows if len(row) > len(header)]
    if not found:
        return ""
    _, line, fields = min(found)
    return (
        f"line {line} has {fields} fields, and the header has {len(header)}; name every column in the header, and quote "
        f"a value that holds {'a comma' if sep == ',' else repr(sep)}{separated(header)}"
    )


def separated(header: list[str]) -> str:
    """Return the advice for columns that are not separated by commas; "" for any other header."""
    mark = next((mark for mark in ";\t|" if len(header) == 1 and mark in header[0]), "")
    return f"; its columns are separated by {mark!r}; separate them by commas" if mark else ""
