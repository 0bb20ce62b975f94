"""Runs as experiments: the settings of each run, the reason if it does not count, and the runs that differ only in seeds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from src.config import overrides
from src.config.keys import neutral
from src.errors import UserError
from src.runs import history, result

CHOICES = ["data", "model", "protocol"]
SEEDS = ("seed", "data.split_seed", "data.fold")
REPEATS = ["seed", "split_seed", "fold"]  # columns in which the runs of one experiment differ
COLUMNS = [*CHOICES, *REPEATS, "error", "honest", "monitor", "fingerprint", "parameters", "seconds.total"]
FIGURES = ("test.", "best.", "last.", "documented.", "parameters", "seconds.", "fold", "rows.")


def collect(folders: list[Path], begun: bool = True) -> pd.DataFrame:
    """Collect all runs below some folders, one row per run, oldest first.

    The columns are those of :func:`src.runs.history.runs`, and

    - ``settings``: overrides of the command line by key;
    - ``weights``: tested weights, ``best`` or ``last``;
    - ``reason``: reason why the run does not count; empty for a run that finished and was tested;
    - ``experiment``: see :func:`experiments`;
    - ``repeated``: a newer run has the same experiment, seeds and data. Equal seeds have equal results, so older repeats
      would make the spread over seeds look smaller than it is.

    Args:
        folders: Folders of one or many runs.
        begun: Also list runs that were cut short before they had a ``result.json``.

    Raises:
        UserError: No run is below one of the folders.
    """
    for folder in folders:
        if next(history.run_folders(folder), None) is None:
            raise UserError(f"{folder}: no run is below it; give the folder of one or many runs, such as logs")
    runs = history.runs(*folders, begun=begun)
    runs = runs.reindex(columns=list(dict.fromkeys([*runs, *COLUMNS])))
    figures = [name for name in runs if name.startswith(FIGURES)]
    runs[figures] = runs[figures].apply(pd.to_numeric, errors="coerce").astype(float)  # another tool may have left texts
    runs = pd.concat([runs.copy(), pd.DataFrame([stored(Path(run)) for run in runs["run"]], runs.index)], axis=1)
    damaged = (runs["damage"] != "") & (runs["status"] != "unreadable")
    runs.loc[damaged, "status"] = "unreadable"
    runs["error"] = runs["error"].astype(object).mask(damaged, runs["damage"])
    runs["honest"] = runs["honest"].astype("boolean").fillna(runs["protocol"].eq("honest")).astype(bool)
    tested = runs.filter(regex=r"^test\.").notna().any(axis=1)
    runs["reason"] = list(map(exclusion, runs["status"], runs["error"], tested, runs["settings"]))
    runs["experiment"] = experiments(runs)
    same = runs.loc[runs["reason"] == "", ["experiment", *REPEATS, "fingerprint"]]
    runs["repeated"] = same.duplicated(keep="last").reindex(runs.index, fill_value=False)  # the last one is the newest
    return runs.drop(columns="damage")


def counted(runs: pd.DataFrame) -> pd.Series:
    """Return which of the collected runs enter means: those that finished and were tested, and no newer run repeats."""
    return (runs["reason"] == "") & ~runs["repeated"]


def stored(run: Path) -> dict[str, Any]:
    """Return columns that ``result.json`` does not hold; ``damage`` is the error if the overrides are unreadable."""
    try:
        settings, damage = overrides.keyed(result.overrides(run)), ""
    except UserError as error:
        settings, damage = {}, str(error)
    return {"settings": settings, "weights": tested_weights(run), "damage": damage}


def tested_weights(run: Path) -> str:
    """Return ``last`` if the weights of the last epoch were tested, else ``best``."""
    try:
        # only this line matters; parsing thousands of whole configurations would take seconds
        line = re.search(r"^test_weights: (\w+)", (run / ".hydra" / "config.yaml").read_text(), re.MULTILINE)
    except (OSError, ValueError):
        return "best"
    return line[1] if line else "best"


def exclusion(status: str, error: Any, tested: bool, settings: dict[str, str]) -> str:
    """Return the reason why a run does not count; empty if it does."""
    if status not in ("finished", "stopped early"):
        return status if pd.isna(error) else f"{status}: {error}"
    if not tested:
        return f"{status}, but without test figures"
    if "debug" in settings:
        return f"debug={settings['debug']}, which does not measure the network"
    return ""


def changed(settings: dict[str, str]) -> dict[str, str]:
    """Return the settings that make another experiment, beyond data, model and protocol."""
    return {key: value for key, value in settings.items() if key not in CHOICES and not neutral(key)}


def experiments(runs: pd.DataFrame) -> pd.Series:
    """Name the experiment of each run. Runs of one experiment differ only in their seeds.

    Sweep summaries, comparisons and the reproduction table all pool runs by this name. Where the same settings and split
    seed met different data (another file, or another version of it), the fingerprint is a part of the name.

    Args:
        runs: Columns ``data``, ``model``, ``protocol``, ``split_seed``, ``fingerprint`` and ``settings``, the overrides
            of a run by key.
    """
    texts = []
    for choices, settings in zip(runs[CHOICES].to_numpy(), runs["settings"], strict=True):
        own = [f"{key}={value}" for key, value in sorted(changed(settings).items())]
        texts.append(" ".join([*map(str, choices), *own]))
    names = pd.Series(texts, runs.index, dtype=str)
    versions = runs["fingerprint"].groupby([names, runs["split_seed"], runs["fold"]], dropna=False).transform("nunique")
    return names + (" fingerprint=" + runs["fingerprint"].astype(object).fillna("-").astype(str).str[:6]).where(
        versions > 1, ""
    )


def aggregate(values: pd.Series, groups: pd.Series) -> pd.DataFrame:
    """Aggregate a metric over the runs of each group.

    Args:
        values: Metric of each run; NaN where a run lacks it.
        groups: Name of the group of each run, such as its experiment.

    Returns:
        One row per group in the order of their first runs: ``mean``, ``sd`` (sample standard deviation, NaN for one
        value) and ``count`` of values.
    """
    return values.groupby(groups, sort=False).agg(mean="mean", sd="std", count="count")
