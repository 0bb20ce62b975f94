"""What a sweep shows and leaves behind once its jobs are done."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path

import pandas as pd

from src.reporting import plots
from src.reporting.tables import display, figure, plain, pm
from src.runs import collect, history, result
from src.runs import settings as identity
from src.sweeps import findings

SHOWN = 10  # jobs of a search in its table
# Columns of summary.csv that say which job it was; the test metrics and their spread follow.
JOB = ["job", "data", "model", "protocol", "seed", "status", "error", "overrides", "parameters"]


def summary(folder: Path) -> pd.DataFrame:
    """Summarise the jobs of a sweep, one row per job.

    ``best`` is the best value of the monitored metric, ``<metric>`` the test value, ``<metric>_mean`` and ``<metric>_sd``
    are taken over the job's experiment: the jobs that differ from it only in their seeds.
    """
    runs = collect.collect([folder], begun=False)
    runs = runs[[not again for again in replaced(runs)]].reset_index(drop=True)
    numbers = [result.number(run) for run in runs["run"]]
    overrides = [deciding(result.overrides(run)) for run in runs["run"]]
    table = runs.assign(job=numbers, overrides=[" ".join(texts) for texts in overrides])
    table["best"] = [row.get(f"best.{row.get('monitor')}") for _, row in table.iterrows()]
    table["higher_is_better"] = [
        None if pd.isna(monitor) else history.higher_is_better(runs.iloc[[place]], monitor)
        for place, monitor in enumerate(table.get("monitor", [None] * len(table)))
    ]
    metrics = {name: name.removeprefix("test.") for name in table if name.startswith("test.")}
    table = table.rename(columns=metrics).rename(columns={"seconds.total": "seconds"})
    for metric in metrics.values():
        spread_of = collect.aggregate(table[metric], table["experiment"])
        table[f"{metric}_mean"] = table["experiment"].map(spread_of["mean"])
        table[f"{metric}_sd"] = table["experiment"].map(spread_of["sd"])
    spread = [f"{metric}{suffix}" for metric in metrics.values() for suffix in ("", "_mean", "_sd")]
    columns = [*JOB, "monitor", "higher_is_better", "best", *spread, "seconds", "run"]
    return table.reindex(columns=columns).sort_values("job", ignore_index=True)


def replaced(runs: pd.DataFrame) -> list[bool]:
    """Which runs are damaged and have been run again since."""
    jobs = [sorted(deciding(result.overrides(run))) for run in runs["run"]]
    damaged = runs["status"].eq("unreadable").tolist()
    whole = [job for job, bad in zip(jobs, damaged, strict=True) if not bad]
    return [bad and job in whole for job, bad in zip(jobs, damaged, strict=True)]


def deciding(overrides: list[str]) -> list[str]:
    """The overrides of a job that have a say in what comes out."""
    return [text for text in overrides if not identity.idle(text.lstrip("+~").partition("=")[0])]


def report(folder: Path) -> int:
    """Writes ``summary.csv``, prints one line per group of seeds, and returns the number of failed jobs."""
    if not any(folder.glob("*/result.json")):
        print("no job has come to its end")
        return 0
    table = summary(folder)
    table.to_csv(folder / "summary.csv", index=False)
    drawn = findings.searched(folder)
    if drawn:
        table = findings.ranked(table)
    given = history.given([result.overrides(run) for run in table["run"]])
    keys = [key for key in given if not key.startswith(collect.NEUTRAL) and given[key].nunique(dropna=False) > 1]
    means = [name for name in table if name.endswith("_mean") and not name.startswith("loss")][:2]
    heads = [name.removesuffix("_mean") for name in means]
    names = [key.rpartition(".")[2] for key in keys]
    shown = plain(*names, "jobs", "best", *heads, "seconds")
    groups = table.groupby([given[key].fillna("") for key in keys], sort=False) if keys else [((), table)]
    for values, jobs in itertools.islice(groups, SHOWN if drawn else None):
        spread = [pm(jobs[metric].iloc[0], jobs[metric.replace("_mean", "_sd")].iloc[0]) for metric in means]
        shown.add_row(*values, str(len(jobs)), pm(jobs["best"].mean()), *spread, f"{jobs['seconds'].sum():.1f}")
    top = f"the {SHOWN} best of {len(table)} jobs: " if drawn and len(table) > SHOWN else ""
    monitor = next(iter(table["monitor"].dropna()), "value")
    print(f"\n{top}mean best {monitor}, and test metrics as mean ± sd, over the jobs of a line:\n")
    display(shown)
    if drawn:
        searched(folder, table, given[keys])
    elif means and keys:
        by_key(folder, table, given[keys], heads[0])
    bad = table[table["status"].isin(["failed", "diverged", "unreadable"])]
    for _, job in bad.iterrows():
        why = "" if pd.isna(job["error"]) else f": {job['error']}"
        print(f"job {job['job']} {job['status']}{why} ({job['overrides']})")
    print(f"\nsummary: {folder / 'summary.csv'}")
    return len(bad)


def searched(folder: Path, table: pd.DataFrame, settings: pd.DataFrame) -> None:
    """Shows what a search has found."""
    if (mattered := findings.told(folder, table, settings)) is not None:
        print("\nimportance of each setting for the order of the jobs by validation, in shares of one:\n")
        display(mattered)
        print(f"\npictures: {folder / 'plots'}")
    if (best := findings.best_job(table)) is not None:
        print(f"\nbest job {best['job']}, {best['monitor']} {figure(best['best'])}; alone: {findings.command(best['run'])}")


def by_key(folder: Path, table: pd.DataFrame, given: pd.DataFrame, metric: str) -> None:
    """Shows for each swept key how a test metric depends on it: a line for each value, and ``plots/by_<key>.png``."""
    short = [key.rpartition(".")[2] for key in given]
    shown = plain("key", "value", "jobs", metric)
    for key, name in zip(given, short, strict=True):
        jobs = table.assign(**{name: given[key].fillna("")}).dropna(subset=[metric])
        for value, (mean, sd, count) in collect.aggregate(jobs[metric], jobs[name]).iterrows():
            shown.add_row(name, str(value), str(int(count)), pm(mean, sd))
        picture = f"by_{name if short.count(name) == 1 else key}.png"
        plots.save(folder / "plots" / picture, functools.partial(plots.spread, jobs, metric=metric, by=name))
    if len(short) > 1:
        print(f"\ntest {metric} by each key alone, as mean ± sd over all jobs with that value:\n")
        display(shown)
    print(f"\npictures: {folder / 'plots'}")
