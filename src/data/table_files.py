"""Files of tables: CSV of any separator and decimal mark, Parquet and Excel. Imports no torch."""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from omegaconf import OmegaConf

from src.data import csv_file, splits
from src.errors import UserError, nearest

SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
SAMPLE = 50  # rows that separator and decimal mark are found in


class Form(NamedTuple):
    """Form of a CSV file: separator of its columns and decimal mark of its numbers; None where they are to be found."""

    separator: str | None = None
    decimal: str | None = None


def found(path: Path, form: Form) -> Form:
    """Return a form with what it lacks, as the first rows of a file have it.

    The separator is the one that divides most of the rows into as many columns as the header, and into the most. A decimal
    comma is one between the digits of some value, in a file without decimal points that no commas separate.

    Raises:
        UserError: The given separator divides no column.
    """
    given = form.separator and form.separator.replace("\\t", "\t")
    best, chosen = (0.0, 0), given or ","
    for mark in [] if given else SEPARATORS:
        rows = sample(path, mark)
        like = sum(len(row) == len(rows[0]) for row in rows) / max(len(rows), 1)
        if rows and len(rows[0]) > 1 and like > 0.8 and (len(rows[0]), like) > (best[1], best[0]):
            best, chosen = (like, len(rows[0])), mark
    if given and any(len(row) < 2 for row in sample(path, given)[:1]):
        raise UserError(f"data.separator={form.separator}: divides no column; leave it out, and it is found")
    values = [value.strip() for row in sample(path, chosen)[1:] for value in row]
    comma = any(re.fullmatch(r"-?\d+,\d+", value) for value in values)
    point = any(re.fullmatch(r"-?\d+\.\d+", value) for value in values)
    return Form(chosen, form.decimal or ("," if comma and not point and chosen != "," else "."))


def sample(path: Path, separator: str) -> list[list[str]]:
    """Return the first rows of a CSV file, without blank ones; none if it is no text."""
    try:
        return [row for _, (_, row) in zip(range(SAMPLE), csv_file.records(path, sep=separator), strict=False)]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def read(
    path: Path, form: Form, texts: Sequence[str], missing: Sequence[str], blank: bool = False
) -> tuple[pd.DataFrame, list[str]]:
    """Read the rows of a file, named by their lines, and notes on how; of a folder, the columns text and label.

    Columns of ``texts`` stay as they are written, texts of ``missing`` mean a missing value, and with ``blank`` a blank line
    is a row without values.

    Raises:
        UserError: The file cannot be read. The sentence does not name the file.
    """
    if path.is_dir():
        return of_folder(path, blank), []
    if not path.is_file():
        raise UserError("there is no such file")
    if ".jsonl" in path.suffixes:
        return as_written(of_json_lines(path), texts, missing), []
    if path.suffix in (".parquet", ".xlsx", ".xls"):
        return of_package(path, texts, missing), []
    chosen = found(path, form)
    if chosen.decimal == chosen.separator:
        raise UserError(f"data.decimal={chosen.decimal}: is what separates the columns; set data.separator too")
    frame, notes = csv_file.read(
        path, texts, not blank, chosen.separator or ",", decimal=chosen.decimal, na_values=list(missing) or None
    )
    if chosen.decimal == ",":
        for name in {*texts} & {*frame}:
            frame[name] = frame[name].str.replace(r"^(-?\d+),(\d+)$", r"\1.\2", regex=True)
    if chosen.separator != "," and form.separator is None:
        mark = " and a decimal comma" if chosen.decimal == "," else ""
        notes.append(f"{path.name}: separated by {SEPARATORS[chosen.separator or ',']}{mark}")
    return frame, notes


def of_package(path: Path, texts: Sequence[str], missing: Sequence[str]) -> pd.DataFrame:
    """Read a Parquet file, or the first sheet of a workbook, by a package that pandas needs for it."""
    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_excel(path)
    except ImportError as error:
        raise UserError("needs a package that is not installed; pip install -e '.[tables]', or save it as CSV") from error
    except Exception as error:  # of each package its own
        raise UserError(f"cannot be read ({str(error).splitlines()[0]})") from error
    return as_written(frame.set_axis(pd.RangeIndex(2, len(frame) + 2, name="line")), texts, missing)


def as_written(frame: pd.DataFrame, texts: Sequence[str], missing: Sequence[str]) -> pd.DataFrame:
    """Return rows of typed values as a CSV file with such texts for missing values would give them."""
    frame = frame.replace(list(missing), None) if missing else frame
    for name in {*texts} & {*frame}:
        frame[name] = frame[name].map(str, na_action="ignore").fillna("")
    return frame


def of_json_lines(path: Path) -> pd.DataFrame:
    """Read a file that has a JSON object on each line."""
    rows, number = dict[int, Any](), 1
    try:
        with csv_file.OPENERS.get(path.suffix, open)(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    rows[number] = {**json.loads(line)}
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f"line {number}: cannot be read as JSON ({error})") from error
    if not rows:
        raise UserError("has no rows")
    frame = pd.DataFrame.from_dict(rows, orient="index", dtype=object)
    return frame.infer_objects().rename_axis("line")


def of_folder(path: Path, new: bool) -> pd.DataFrame:
    """Read the ``.txt`` files of a folder that has one folder per class; ``new`` texts may also lie in itself."""
    rows: list[tuple[str, ...]] = []
    for file in sorted(path.rglob("*.txt")):
        name = file.relative_to(path)
        try:
            rows += [(str(name), file.read_text("utf-8-sig"), name.parts[0])] * (new or len(name.parts) > 1)
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{name}: cannot be read as UTF-8 ({error})") from error
    frame = pd.DataFrame(rows, columns=["file", "text", "label"]).set_index("file")
    labels = {*frame["label"]}
    if not new and labels & {*chain(*splits.NAMES.values())}:
        raise UserError(
            f"has folders {', '.join(sorted(labels))}, which are splits; give them as data.path and data.test_path"
        )
    if not new and len(labels) < 2:
        raise UserError(f"has folders with .txt files for {len(labels)} of at least 2 classes; give one folder per class")
    return frame


def present(data: Any) -> None:
    """Check the files of a configuration, and that they have its columns.

    Raises:
        UserError: A file cannot be read, or has no such column.
    """
    dividing = [f"data.{key}={data[key]}" for key in ("time", "group", "split") if data.get(key)]
    if len(dividing) > 1 or (data.get("split") and data.get("test_path")):
        raise UserError(
            f"{' '.join(dividing)}: rows are divided in one way; set one of them"
            + (", without data.test_path" * bool(data.test_path))
        )
    if data.get("folds") and (named := [f"data.{key}={data[key]}" for key in ("test_path", "split") if data.get(key)]):
        raise UserError(f"data.folds={data.folds}: {named[0]} names the test rows; leave one of the two out")
    if data.get("test_path") and Path(str(data.path)).resolve() == Path(str(data.test_path)).resolve():
        raise UserError(f"data.test_path={data.test_path}: is the file of data.path; the test rows must be others")
    for key in ("path", "test_path"):
        if not data.get(key):
            continue
        where, path = f"data.{key}={data[key]}", Path(str(data[key]))
        if path.is_dir() and data.get("text"):
            continue
        if not path.is_file():
            raise UserError(
                f"{where}: {'is a folder' if path.is_dir() else 'there is no such file'}; give a file of a table"
            )
        header = found_names(path, Form(data.separator, data.decimal))
        if header and OmegaConf.is_missing(data, "target"):
            raise UserError(f"data.target: must be given; name the column to predict, one of: {', '.join(header)}")
        if header:
            check_roles(data, key, header)


def check_roles(data: Mapping[str, Any], key: str, names: list[str]) -> None:
    """Raise a UserError if the file of ``data.path`` or ``data.test_path`` has no such column as an option names."""
    for role in ("target", "text", *(("time", "group", "split") if key == "path" else ())):
        if (name := data.get(role)) is not None and name not in names:
            file = Path(str(data[key])).name
            raise UserError(f"data.{role}={name}: {file} has no such column; {nearest(str(name), names)}")


def found_names(path: Path, form: Form) -> list[str]:
    """Return the names of the columns of a CSV file; none of another."""
    if ".jsonl" in path.suffixes:
        return []
    return (sample(path, found(path, form).separator or ",") or [[]])[0]
