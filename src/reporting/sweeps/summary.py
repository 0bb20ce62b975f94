"""The summary of a sweep: a table of its jobs in ``summary.csv``, and what the terminal shows of it."""

import shlex
from pathlib import Path

import pandas as pd

from src.config import overrides
from src.config.keys import idle
from src.reporting import collect, comparison
from src.reporting.sweeps import tables
from src.reporting.tables import figure
from src.runs import history, result
from src.runs.files import shown

SHOWN = 10  # jobs of a search in its table
# Columns of summary.csv that say which job it was; the test metrics and their spread follow.
JOB = ["job", "data", "model", "protocol", "seed", "fold", "status", "error", "overrides", "parameters"]
NOT_WRITTEN = ["settings", "reason", "repeated"]  # columns of the summary that are not in summary.csv


def summary(folder: Path, drawn: bool) -> pd.DataFrame:
    """Summarise the jobs of a sweep, one row per job; those of a search (``drawn``) with the best validation value first.

    ``best`` is the best value of the monitored metric, ``<metric>`` the test value, ``<metric>_mean`` and ``<metric>_sd``
    are taken over the job's experiment: the jobs that differ from it only in their seeds, and that count
    (:func:`src.reporting.collect.counted`, whose columns and ``settings`` come last).
    """
    runs = collect.collect([folder], begun=False)
    jobs, damaged = runs["run"].map(deciding), runs["status"] == "unreadable"
    again = damaged & jobs.map(sorted).map(tuple).isin(jobs[~damaged].map(sorted).map(tuple))
    table = runs.assign(overrides=jobs.map(" ".join), job=runs["run"].map(result.number), best=comparison.monitored(runs))
    directions = {monitor: history.higher_is_better(runs, monitor) for monitor in runs["monitor"].dropna().unique()}
    table["higher_is_better"] = table["monitor"].map(directions)
    spread = []
    for name in [name for name in runs if name.startswith("test.")]:
        metric = name.removeprefix("test.")
        aggregate = collect.aggregate(runs[name].where(collect.counted(runs)), runs["experiment"])
        table[metric] = runs[name]
        table[f"{metric}_mean"] = runs["experiment"].map(aggregate["mean"])
        table[f"{metric}_sd"] = runs["experiment"].map(aggregate["sd"])
        spread += [metric, f"{metric}_mean", f"{metric}_sd"]
    table = table.rename(columns={"seconds.total": "seconds"})
    columns = [*JOB, "monitor", "higher_is_better", "best", *spread, "seconds", "run", *NOT_WRITTEN]
    table = table.loc[~again, columns].sort_values("job", ignore_index=True)
    if not drawn:
        return table
    rising = table["higher_is_better"].dropna().any()
    return table.sort_values("best", ascending=not rising, kind="stable", ignore_index=True)


def deciding(run: str) -> list[str]:
    """Return the overrides of a job that its results depend on."""
    return [text for text in result.overrides(run) if not idle(overrides.key(text))]


def command(run: str) -> str:
    """Return the command that repeats a job of a search by itself."""
    own = [text for text in result.overrides(run) if text not in ("sweep=search", "sweep=random")]
    alone = ["hydra.mode=RUN"] if "sweep" in overrides.keyed(own) else []  # a recipe with settings of its own
    return shlex.join(["python", "-m", "src.train", *own, *alone])


def report(folder: Path, total: int, drawn: bool, importance: pd.Series | None) -> int:
    """Write ``summary.csv`` and plots, and print how a sweep ended.

    Args:
        folder: Folder of the sweep.
        total: Number of its jobs.
        drawn: True for a search.
        importance: Importance of each setting of a search, if it has enough jobs.

    Returns:
        The number of failed jobs.
    """
    statuses = pd.Series(dtype=str)
    if not any(folder.glob("*/result.json")):
        print("no job has ended")
    else:
        table = summary(folder, drawn)
        table.drop(columns=NOT_WRITTEN).to_csv(folder / "summary.csv", index=False)
        tables.show(folder, table, SHOWN if drawn else None, importance)
        if drawn and pd.notna(table["best"].iloc[0]):
            best = table.iloc[0]
            print(f"\nbest job {best['job']}, {best['monitor']} {figure(best['best'])}; alone: {command(best['run'])}")
        tables.show_failed(table)
        print(f"\nsummary: {folder / 'summary.csv'}")
        statuses = table["status"]
    if (ended := sum(~statuses.isin(["interrupted", "unreadable"]))) < total:
        print(f"{ended} of {total} jobs done; resume the sweep with: python -m src.train -m resume={shown(folder)}")
    return sum(statuses.isin(["failed", "diverged", "unreadable"]))
