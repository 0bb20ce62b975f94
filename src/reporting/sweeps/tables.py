"""The tables and plots that end a sweep: a line per experiment, per value of a swept key, and per setting of a search."""

import functools
import itertools
from pathlib import Path

import pandas as pd

from src.config.keys import neutral
from src.reporting import collect, comparison, plots
from src.reporting.tables import display, plain, pm


def show(folder: Path, table: pd.DataFrame, most: int | None, importance: pd.Series | None) -> None:
    """Print a line per experiment of a sweep, and how the experiments depend on their settings; write the plots.

    Args:
        folder: Folder of the sweep.
        table: Its jobs, from :func:`src.reporting.sweeps.summary.summary`.
        most: Number of lines, for a search; None for a sweep over listed values.
        importance: Importance of each setting of a search, if it has enough jobs.
    """
    given = comparison.varied(table)
    settings = given[[key for key in given if not neutral(key)]]
    metrics = [name.removesuffix("_mean") for name in table if name.endswith("_mean") and not name.startswith("loss")]
    show_experiments(table, settings, metrics[:2], most)
    if importance is not None:
        show_importance(folder, table, settings, importance)
    elif not most and metrics and len(settings.columns):
        show_keys(folder, table, settings, metrics[0])


def show_failed(table: pd.DataFrame) -> None:
    """Print the jobs that failed or diverged, and those that the means leave out although they have figures."""
    for _, job in table[table["status"].isin(["failed", "diverged", "unreadable"])].iterrows():
        why = "" if pd.isna(job["error"]) else f": {job['error']}"
        print(f"job {job['job']} {job['status']}{why} ({job['overrides']})")
    left_out = table[~collect.counted(table) & table["best"].notna()]
    for reason, jobs in left_out.groupby(left_out["reason"].replace("", "a later job repeats them")):
        print(f"left out of the means: job {', '.join(map(str, jobs['job']))} ({reason})")


def show_experiments(table: pd.DataFrame, settings: pd.DataFrame, metrics: list[str], most: int | None) -> None:
    """Print a line per experiment: its settings, and the means of its jobs that count."""
    shown = plain(*comparison.short(settings).values(), "jobs", "best", *metrics, "seconds")
    by = [settings[key] for key in settings]
    groups = table.groupby(by, sort=False) if by else [((), table)]
    for values, jobs in itertools.islice(groups, most):
        spread = [pm(jobs[f"{metric}_mean"].iloc[0], jobs[f"{metric}_sd"].iloc[0]) for metric in metrics]
        best = jobs["best"][collect.counted(jobs)].mean()
        shown.add_row(*values, str(len(jobs)), pm(best), *spread, f"{jobs['seconds'].sum():.1f}")
    top = f"the {most} best of {len(table)} jobs: " if most and len(table) > most else ""
    monitor = next(iter(table["monitor"].dropna()), "value")
    print(f"\n{top}mean best {monitor}, and test metrics as mean ± sd, over the jobs of a line:\n")
    display(shown)


def show_keys(folder: Path, table: pd.DataFrame, settings: pd.DataFrame, metric: str) -> None:
    """Print and plot how a test metric depends on each swept key: a line for each value, and ``plots/by_<key>.png``."""
    shown = plain("key", "value", "jobs", metric)
    for key, name in comparison.short(settings).items():
        jobs = table.assign(**{name: settings[key]})[collect.counted(table)].dropna(subset=[metric])
        for value, (mean, sd, count) in collect.aggregate(jobs[metric], jobs[name]).iterrows():
            shown.add_row(name, str(value), str(int(count)), pm(mean, sd))
        plots.save(folder / "plots" / f"by_{name}.png", functools.partial(plots.spread, jobs, metric=metric, by=name))
    if len(settings.columns) > 1:
        print(f"\ntest {metric} by each key alone, as mean ± sd over all jobs with that value:\n")
        display(shown)
    print(f"\nplots: {folder / 'plots'}")


def show_importance(folder: Path, table: pd.DataFrame, settings: pd.DataFrame, importance: pd.Series) -> None:
    """Print the importance of each setting of a search, and plot the values of its jobs by each setting."""
    importance.rename_axis("key").rename("importance").to_csv(folder / "importance.csv", float_format="%.4f")
    for key in settings:
        draw = functools.partial(plots.setting, settings[key], table["best"], name=key, metric=table["monitor"].iloc[0])
        plots.save(folder / "plots" / f"by_{key}.png", draw)
    shown = plain("setting", "importance")
    for key, fraction in importance.items():
        shown.add_row(str(key), f"{fraction:.2f}")
    print("\nimportance of each setting for the order of the jobs by validation, as fractions of one:\n")
    display(shown)
    print(f"\nplots: {folder / 'plots'}")
