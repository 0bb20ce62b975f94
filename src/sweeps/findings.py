"""What a search has found: how much each setting mattered, and the best job."""

from __future__ import annotations

import functools
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import OmegaConf
from rich.table import Table

from src.reporting import plots
from src.runs import result
from src.sweeps.search import SWEEPER

FEWEST = 10  # jobs, of fewer than which nothing is said on what mattered


def searched(folder: Path) -> bool:
    """Whether the jobs of the sweep in ``folder`` were drawn."""
    stored = folder / "multirun.yaml"
    return stored.is_file() and OmegaConf.select(OmegaConf.load(stored), "hydra.sweeper._target_") == SWEEPER


def importance(settings: pd.DataFrame, best: pd.Series) -> pd.Series:
    """How much each setting has to do with the order of the jobs, in shares that add up to one.

    Permutation importance (Breiman, 2001) in a random forest: how much worse the jobs' ranks are explained when the values
    of one setting are shuffled. Ranks, since one hopeless job would outweigh all others.

    Args:
        settings: One row per job, one column per setting, as the command line has them.
        best: Best validation value of each job.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    known = best.notna()
    x = np.column_stack([numbers(settings.loc[known, key]) for key in settings])
    ranks = best[known].rank()
    forest = RandomForestRegressor(300, min_samples_leaf=2, random_state=0).fit(x, ranks)
    found = permutation_importance(forest, x, ranks, n_repeats=20, random_state=0).importances_mean.clip(0)
    return pd.Series(found / max(found.sum(), 1e-12), settings.columns).sort_values(ascending=False)


def numbers(values: pd.Series) -> np.ndarray:
    """Numbers as they are, other values by their places in the order of their names."""
    read = pd.to_numeric(values, errors="coerce")
    return read.to_numpy() if read.notna().all() else pd.Categorical(values).codes


def best_job(table: pd.DataFrame) -> pd.Series | None:
    """The row of ``summary.csv`` with the best validation value."""
    known = ranked(table).dropna(subset=["best"])
    return None if known.empty else known.iloc[0]


def ranked(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``summary.csv`` with the best validation value first, and those without one last."""
    higher = table["higher_is_better"].dropna().any()
    return table.sort_values("best", ascending=not higher, kind="stable", ignore_index=True)


def command(run: str) -> str:
    """The command that repeats a job of a search by itself."""
    own = [text for text in result.overrides(run) if text not in ("sweep=search", "sweep=random")]
    alone = ["hydra.mode=RUN"] if any(text.startswith("sweep=") for text in own) else []  # a recipe with settings of its own
    return shlex.join(["python", "-m", "src.train", *own, *alone])


def told(folder: Path, table: pd.DataFrame, settings: pd.DataFrame) -> Table | None:
    """Writes ``importance.csv`` and ``plots/by_<key>.png``, and returns a table of how much each setting mattered.

    Args:
        folder: Of the search.
        table: Its :func:`src.sweeps.summary.summary`.
        settings: What differs between its jobs, as the command line has it.
    """
    if settings.empty or table["best"].count() < FEWEST:
        return None
    shares = importance(settings, table["best"])
    shares.rename_axis("key").rename("importance").to_csv(folder / "importance.csv", float_format="%.4f")
    monitor = str(table["monitor"].dropna().iloc[0])
    for key in settings:
        draw = functools.partial(plots.setting, settings[key], table["best"], name=key, metric=monitor)
        plots.save(folder / "plots" / f"by_{key}.png", draw)
    shown = Table("setting", "importance", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for key, share in shares.items():
        shown.add_row(str(key), f"{share:.2f}")
    return shown
