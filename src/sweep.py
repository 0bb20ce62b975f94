"""What a sweep shows and leaves behind once its jobs are done."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from src import history

# Columns of summary.csv that say which job it was; the test metrics and their spread follow.
JOB = ["job", "data", "model", "protocol", "seed", "status", "error", "overrides", "parameters"]


def summary(folder: Path) -> pd.DataFrame:
    """One row per job of a sweep, with mean and standard deviation over the jobs that differ only in ``seed``.

    ``best`` is the best value of the monitored metric, ``<metric>`` the test value, ``<metric>_mean`` and ``<metric>_sd``
    those of the job's group.
    """
    runs = history.runs(folder)
    numbers = [int(Path(run).name.partition("_")[0]) for run in runs["run"]]
    overrides = [overrides_of(Path(run)) for run in runs["run"]]
    table = runs.assign(job=numbers, overrides=[" ".join(texts) for texts in overrides])
    table["best"] = [row.get(f"best.{row.get('monitor')}") for _, row in table.iterrows()]
    metrics = {name: name.removeprefix("test.") for name in table if name.startswith("test.")}
    table = table.rename(columns=metrics).rename(columns={"seconds.total": "seconds"})
    group = [" ".join(text for text in texts if not text.startswith("seed=")) for texts in overrides]
    for metric in metrics.values():
        groups = table.groupby(group)[metric]
        table[f"{metric}_mean"], table[f"{metric}_sd"] = groups.transform("mean"), groups.transform("std")
    spread = [f"{metric}{suffix}" for metric in metrics.values() for suffix in ("", "_mean", "_sd")]
    columns = [*JOB, "monitor", "best", *spread, "seconds", "run"]
    return table.reindex(columns=columns).sort_values("job", ignore_index=True)


def overrides_of(run: Path) -> list[str]:
    path = run / ".hydra" / "overrides.yaml"
    return [line.removeprefix("- ") for line in path.read_text().splitlines()] if path.is_file() else []


def report(folder: Path) -> int:
    """Writes ``summary.csv``, prints one line per group of seeds, and returns the number of failed jobs."""
    table = summary(folder)
    table.to_csv(folder / "summary.csv", index=False)
    means = [name for name in table if name.endswith("_mean") and not name.startswith("loss")][:2]
    shown = Table("job", "n", "best", *(name.removesuffix("_mean") for name in means), "seconds", title="test, mean ± sd")
    varying = table["overrides"].str.split().map(lambda texts: [text for text in texts if not text.startswith("seed=")])
    common = set.intersection(*map(set, varying)) if len(set(map(tuple, varying))) > 1 else set()
    names = varying.map(lambda texts: " ".join(text for text in texts if text not in common))
    for name, jobs in table.groupby(names, sort=False):
        spread = [pm(jobs[metric].iloc[0], jobs[metric.replace("_mean", "_sd")].iloc[0]) for metric in means]
        best = pm(jobs["best"].mean(), jobs["best"].std())
        shown.add_row(name or "defaults", str(len(jobs)), best, *spread, f"{jobs['seconds'].sum():.1f}")
    Console().print(shown)
    bad = table[table["status"].isin(["failed", "diverged", "unreadable"])]
    for _, job in bad.iterrows():
        print(f"job {job['job']} {job['status']}: {job['error']} ({job['overrides']})")
    print(f"summary: {folder / 'summary.csv'}")
    return len(bad)


def pm(mean: float, sd: float) -> str:
    return "" if pd.isna(mean) else f"{mean:.4f}" + ("" if pd.isna(sd) else f"±{sd:.4f}")
