"""The summary of a sweep: a table of its jobs in ``summary.csv``, and what the terminal shows of it."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import shlex
from pathlib import Path

import pandas as pd
from omegaconf import OmegaConf

from src.config import overrides
from src.config.keys import idle, neutral
from src.reporting import collect, plots
from src.reporting.tables import display, figure, plain, pm
from src.runs import history, result

SHOWN = 10  # jobs of a search in its table
FEWEST = 10  # jobs that the importance of settings takes
# Columns of summary.csv that say which job it was; the test metrics and their spread follow.
JOB = ["job", "data", "model", "protocol", "seed", "status", "error", "overrides", "parameters"]


# computed


def summary(folder: Path) -> pd.DataFrame:
    """Summarise the jobs of a sweep, one row per job; those of a search with the best validation value first.

    ``best`` is the best value of the monitored metric, ``<metric>`` the test value, ``<metric>_mean`` and ``<metric>_sd``
    are taken over the job's experiment: the jobs that differ from it only in their seeds.
    """
    runs = collect.collect([folder], begun=False)
    runs = runs[[not again for again in replaced(runs)]].reset_index(drop=True)
    numbers = [result.number(run) for run in runs["run"]]
    table = runs.assign(job=numbers, overrides=[" ".join(deciding(run)) for run in runs["run"]])
    table["best"] = [row.get(f"best.{row.get('monitor')}") for _, row in table.iterrows()]
    table["higher_is_better"] = [
        None if pd.isna(monitor) else history.higher_is_better(runs.iloc[[row]], monitor)
        for row, monitor in enumerate(table["monitor"])
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
    """Return which runs are damaged and have been run again since."""
    jobs = [sorted(deciding(run)) for run in runs["run"]]
    damaged = runs["status"].eq("unreadable").tolist()
    whole = [job for job, bad in zip(jobs, damaged, strict=True) if not bad]
    return [bad and job in whole for job, bad in zip(jobs, damaged, strict=True)]


def deciding(run: str) -> list[str]:
    """Return the overrides of a job that its results depend on."""
    return [text for text in result.overrides(run) if not idle(overrides.key(text))]


def searched(folder: Path) -> bool:
    """Return True if the jobs of a sweep were drawn, not listed."""
    stored = folder / "multirun.yaml"
    return stored.is_file() and OmegaConf.select(OmegaConf.load(stored), "hydra.sweeper.n_trials") is not None


def ranked(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a summary with the best validation value first, and those without one last."""
    higher = table["higher_is_better"].dropna().any()
    return table.sort_values("best", ascending=not higher, kind="stable", ignore_index=True)


def swept(table: pd.DataFrame) -> pd.DataFrame:
    """Return a column of values for each key in which the experiments of a summary differ; empty where a job lacks it."""
    given = history.given([result.overrides(run) for run in table["run"]])
    return given[[key for key in given if not neutral(key) and given[key].nunique(dropna=False) > 1]]


def importance(table: pd.DataFrame, settings: pd.DataFrame) -> pd.Series | None:
    """Return the importance of each setting for the order of the jobs, as fractions that add up to one.

    It is the fANOVA of ``optuna.importance`` (Hutter et al., 2014) over the ranks of the jobs, since the value of one
    hopeless job would outweigh all others.

    Args:
        table: Summary of a search.
        settings: Its :func:`swept` settings.

    Returns:
        None for few jobs, and where Optuna is not installed.
    """
    measured = table["best"].notna()
    if settings.empty or measured.sum() < FEWEST or not importlib.util.find_spec("optuna"):
        return None
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    columns: dict[str, list] = {}
    domains: dict[str, optuna.distributions.BaseDistribution] = {}
    for key in settings:
        numbers = pd.to_numeric(settings[key], errors="coerce")
        low, high = numbers.min(), numbers.max()
        if numbers.notna().all():
            columns[key] = numbers[measured].tolist()
            domains[key] = optuna.distributions.FloatDistribution(low, high, log=bool(0 < 10 * low < high))
        else:
            columns[key] = settings.loc[measured, key].fillna("").astype(str).tolist()
            domains[key] = optuna.distributions.CategoricalDistribution(sorted(set(columns[key])))
    higher = table["higher_is_better"].dropna().any()
    study = optuna.create_study(direction="maximize" if higher else "minimize")
    for *values, best in zip(*columns.values(), table.loc[measured, "best"].rank(), strict=True):
        params = dict(zip(columns, values, strict=True))
        study.add_trial(optuna.trial.create_trial(params=params, distributions=domains, value=best))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return pd.Series(optuna.importance.get_param_importances(study, evaluator=evaluator), dtype=float)


def command(run: str) -> str:
    """Return the command that repeats a job of a search by itself."""
    own = [text for text in result.overrides(run) if text not in ("sweep=search", "sweep=random")]
    alone = ["hydra.mode=RUN"] if "sweep" in overrides.keyed(own) else []  # a recipe with settings of its own
    return shlex.join(["python", "-m", "src.train", *own, *alone])


# shown


def report(folder: Path) -> int:
    """Write ``summary.csv`` and plots, print one line per experiment, and return the number of failed jobs."""
    if not any(folder.glob("*/result.json")):
        print("no job has ended")
        return 0
    table = summary(folder)
    table.to_csv(folder / "summary.csv", index=False)
    is_search = searched(folder)
    table = ranked(table) if is_search else table
    settings = swept(table)
    metrics = [name.removesuffix("_mean") for name in table if name.endswith("_mean") and not name.startswith("loss")]
    show_experiments(table, settings, metrics[:2], SHOWN if is_search else None)
    if is_search:
        show_search(folder, table, settings)
    elif metrics and len(settings.columns):
        show_keys(folder, table, settings, metrics[0])
    bad = table[table["status"].isin(["failed", "diverged", "unreadable"])]
    for _, job in bad.iterrows():
        why = "" if pd.isna(job["error"]) else f": {job['error']}"
        print(f"job {job['job']} {job['status']}{why} ({job['overrides']})")
    print(f"\nsummary: {folder / 'summary.csv'}")
    return len(bad)


def show_experiments(table: pd.DataFrame, settings: pd.DataFrame, metrics: list[str], most: int | None) -> None:
    """Print a line per experiment: its settings, and the means of its jobs."""
    shown = plain(*(key.rpartition(".")[2] for key in settings), "jobs", "best", *metrics, "seconds")
    groups = (
        table.groupby([settings[key].fillna("") for key in settings], sort=False) if len(settings.columns) else [((), table)]
    )
    for values, jobs in itertools.islice(groups, most):
        spread = [pm(jobs[f"{metric}_mean"].iloc[0], jobs[f"{metric}_sd"].iloc[0]) for metric in metrics]
        shown.add_row(*values, str(len(jobs)), pm(jobs["best"].mean()), *spread, f"{jobs['seconds'].sum():.1f}")
    top = f"the {most} best of {len(table)} jobs: " if most and len(table) > most else ""
    monitor = next(iter(table["monitor"].dropna()), "value")
    print(f"\n{top}mean best {monitor}, and test metrics as mean ± sd, over the jobs of a line:\n")
    display(shown)


def show_search(folder: Path, table: pd.DataFrame, settings: pd.DataFrame) -> None:
    """Print the importance of the settings of a search and its best job, and plot its values by each setting."""
    if (fractions := importance(table, settings)) is not None:
        fractions.rename_axis("key").rename("importance").to_csv(folder / "importance.csv", float_format="%.4f")
        for key in settings:
            draw = functools.partial(plots.setting, settings[key], table["best"], name=key, metric=table["monitor"].iloc[0])
            plots.save(folder / "plots" / f"by_{key}.png", draw)
        shown = plain("setting", "importance")
        for key, fraction in fractions.items():
            shown.add_row(str(key), f"{fraction:.2f}")
        print("\nimportance of each setting for the order of the jobs by validation, as fractions of one:\n")
        display(shown)
        print(f"\nplots: {folder / 'plots'}")
    if pd.notna(table["best"].iloc[0]):
        best = table.iloc[0]
        print(f"\nbest job {best['job']}, {best['monitor']} {figure(best['best'])}; alone: {command(best['run'])}")


def show_keys(folder: Path, table: pd.DataFrame, settings: pd.DataFrame, metric: str) -> None:
    """Print and plot how a test metric depends on each swept key: a line for each value, and ``plots/by_<key>.png``."""
    short = [key.rpartition(".")[2] for key in settings]
    shown = plain("key", "value", "jobs", metric)
    for key, name in zip(settings, short, strict=True):
        jobs = table.assign(**{name: settings[key].fillna("")}).dropna(subset=[metric])
        for value, (mean, sd, count) in collect.aggregate(jobs[metric], jobs[name]).iterrows():
            shown.add_row(name, str(value), str(int(count)), pm(mean, sd))
        file = f"by_{name if short.count(name) == 1 else key}.png"
        plots.save(folder / "plots" / file, functools.partial(plots.spread, jobs, metric=metric, by=name))
    if len(short) > 1:
        print(f"\ntest {metric} by each key alone, as mean ± sd over all jobs with that value:\n")
        display(shown)
    print(f"\nplots: {folder / 'plots'}")
