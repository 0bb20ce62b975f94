"""Runs as data frames, for notebooks, tables and plots."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from src.config.overrides import keyed
from src.data import csv_file
from src.errors import UserError, sentence
from src.runs import result as results


def load(run: Path | str) -> pd.DataFrame:
    """Read a run's ``metrics.csv``: one row per epoch.

    Raises:
        UserError: The folder has no metrics, or damaged ones.
    """
    return table(Path(run) / "metrics.csv", csv_file.epochs)


def predictions(run: Path | str) -> pd.DataFrame:
    """Read a run's ``predictions.csv``: one row per test sample, named by the first column.

    Raises:
        UserError: The folder has none, or a damaged one.
    """
    return table(Path(run) / "predictions.csv", of_predictions)


def of_predictions(path: Path) -> pd.DataFrame:
    """Read predictions: names of rows, and classes, as they were written (NA, 007); names that all are numbers as these."""
    columns = list(map(str, pd.read_csv(path, nrows=0)))
    texts = [*columns[:1], *(name for name in columns if name.startswith("class_"))]
    if any(name.startswith("probability_") for name in columns):
        texts += ["prediction", "actual"]
    table = pd.read_csv(path, index_col=0, dtype=dict.fromkeys(texts, str), keep_default_na=False, na_values=[""])
    numbers = pd.to_numeric(table.index, errors="coerce")
    return table.set_axis(numbers) if numbers.astype(str).equals(table.index) else table


def table(path: Path, reader: Callable[[Path], pd.DataFrame]) -> pd.DataFrame:
    try:
        return reader(path)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; give the folder that a run printed") from None
    except (OSError, ValueError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(f"{path}: cannot be read ({sentence(error)})") from error


def forecast(run: Path | str) -> pd.DataFrame:
    """Read a forecasting run's ``forecast.csv``: one row per test row (a date, or a number) of the recursive forecast."""
    return pd.read_csv(Path(run) / "forecast.csv", index_col=0, parse_dates=True)


def runs(*logs: Path | str, begun: bool = False) -> pd.DataFrame:
    """Return all runs below one or several folders, oldest first: one row per ``result.json``, nested keys joined by dots.

    A damaged ``result.json`` gives a row with status ``unreadable`` and the reason as its error; with ``begun``, so does a
    run that was cut short before it had one.
    """
    found: list[dict[str, Any]] = []
    for folder in sorted({folder for log in logs for folder in run_folders(log)}):
        try:
            if not (Path(folder) / "result.json").exists():
                if not begun:
                    continue
                raise UserError("there is no result.json: the run was cut short before it began, or has only just begun")
            result = results.read(folder)
        except UserError as error:
            result = {"status": "unreadable", "error": str(error)}
        found.append({"run": folder} | result)
    whole = pd.json_normalize(found)
    if "started" not in whole:
        return whole
    return whole.sort_values("started", key=lambda times: times.astype(str), kind="stable", ignore_index=True)


def higher_is_better(runs: pd.DataFrame, metric: str) -> bool | None:
    """Return :func:`src.runs.result.higher_is_better` for rows of :func:`runs`; the newest that stores it decides."""
    stored = {
        str(name).partition(".")[2]: values.dropna() for name, values in runs.filter(regex=r"^higher_is_better\.").items()
    }
    directions = {name: bool(values.iloc[-1]) for name, values in stored.items() if len(values)}
    return results.higher_is_better({"higher_is_better": directions}, metric)


def run_folders(logs: Path | str) -> Iterator[str]:
    """Yield the folders of all runs below a folder, itself included; a run is not searched for other runs."""
    for folder, inside, files in os.walk(logs):
        if "result.json" in files or ".hydra" in inside:
            inside.clear()
            yield folder
        elif "artifacts" in inside and "meta.yaml" in files:
            inside.remove("artifacts")  # MLflow's copies


def jobs(sweep: Path | str) -> pd.DataFrame:
    """Return the :func:`runs` below a folder, with a column for each key of the configuration that a command line has set.

    ``data.length`` and the like are texts, empty where a run has left the key alone. What has no dot in its name (``seed``,
    ``model``) is in ``result.json`` already.
    """
    found = runs(sweep)
    keys = pd.DataFrame([keyed(results.overrides(run)) for run in found["run"]])
    return found.join(keys[[key for key in keys if "." in key]].fillna(""))
