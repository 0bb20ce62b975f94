"""Runs as data frames: what notebooks, tables and plots start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from src import results
from src.errors import UserError


def load(run: Path | str) -> pd.DataFrame:
    """One run's ``metrics.csv``: one row per epoch.

    Raises:
        UserError: The folder has no metrics.
    """
    path = Path(run) / "metrics.csv"
    try:
        return pd.read_csv(path)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; give the folder that a run printed") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error


def predictions(run: Path | str) -> pd.DataFrame:
    """One run's ``predictions.csv``: one row per test sample, named by the first column."""
    return pd.read_csv(Path(run) / "predictions.csv", index_col=0)


def forecast(run: Path | str) -> pd.DataFrame:
    """A forecasting run's ``forecast.csv``: one row per test row (a date, or a number) of the recursive forecast."""
    return pd.read_csv(Path(run) / "forecast.csv", index_col=0, parse_dates=True)


def runs(logs: Path | str) -> pd.DataFrame:
    """Every run below a folder, oldest first: one row per ``result.json``, nested keys joined by dots.

    A damaged ``result.json`` gives a row with status ``unreadable`` and the reason as its error.
    """
    found: list[dict[str, Any]] = []
    for path in sorted(Path(logs).rglob("result.json")):
        if path.parent.name == "artifacts":  # MLflow's copy
            continue
        try:
            result = results.read(path.parent)
        except UserError as error:
            result = {"status": "unreadable", "error": str(error)}
        found.append({"run": str(path.parent)} | result)
    table = pd.json_normalize(found)
    return table.sort_values("started", kind="stable", ignore_index=True) if "started" in table else table


def jobs(sweep: Path | str) -> pd.DataFrame:
    """The :func:`runs` below a folder, with a column for each key of the configuration that a command line has set.

    ``data.length`` and the like are texts, empty where a run has left the key alone. What has no dot in its name (``seed``,
    ``model``) is in ``result.json`` already.
    """
    table = runs(sweep)
    keys = given([overrides(run) for run in table["run"]])
    return table.join(keys[[key for key in keys if "." in key]].fillna(""))


def number(run: Path | str) -> int:
    """The number of a sweep's job, with which the name of its folder begins; -1 for other names."""
    digits = Path(run).name.partition("_")[0]
    return int(digits) if digits.isdecimal() else -1


def overrides(run: Path | str) -> list[str]:
    """What the command line of a run has set: ``key=value``."""
    path = Path(run) / ".hydra" / "overrides.yaml"
    return [str(text) for text in OmegaConf.load(path)] if path.is_file() else []


def given(jobs: list[list[str]]) -> pd.DataFrame:
    """One row per job and one column per key of their overrides."""
    return pd.DataFrame([dict(text.lstrip("+~").partition("=")[::2] for text in job) for job in jobs])
