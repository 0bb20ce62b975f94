"""The table of documented figures and ours, in Markdown: its rows, the sweeps behind them, and its text."""

import os
import platform
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from src.config.compose import compose
from src.reporting import collect
from src.reporting.tables import pm
from src.runs import history

PROTOCOLS = ("documented", "honest")
HEADS = ["pairing", "metric", "documented", "ours, documented protocol", "ours, honest", "baseline", "seconds", "command"]
INTRODUCTION = """# Documented and ours

Written by `python -m src.reproduce` from {runs} runs, {hours} hours of one core in all, on {machine}; {versions}.

Test figures, mean ± standard deviation over the repeats that the command names (seeds of the network, of the split for
PhysioNet); one run where it names none. Seconds are those of a run, under either protocol. `documented` is the source's own
protocol, which often validates on the test set and keeps the last weights; `honest` looks at the test set once, at the end.
"""


class Sweep(NamedTuple):
    """The repeats of one experiment.

    Attributes:
        folder: Folder of the sweep.
        arguments: Arguments of ``src.train``.
        over: Key in which the repeats differ, ``seed`` or ``data.split_seed``.
        repeats: Number of repeats, with the values 0, 1, … of that key.
    """

    folder: Path
    arguments: list[str]
    over: str
    repeats: int


class Row(NamedTuple):
    """A pairing with its metrics and the three sweeps behind its figures.

    Attributes:
        pairing: Entry of ``pairings`` in ``conf/reproduce.yaml``.
        documented: Documented figures by metric.
        command: Command that repeats both protocols.
        sweeps: Sweeps under the documented and the honest protocol, and that of the baseline.
    """

    pairing: dict[str, Any]
    documented: dict[str, Any]
    command: str
    sweeps: list[Sweep]


def row(pairing: dict[str, Any], folder: Path, repeats: int, data_dir: str) -> Row:
    """Plan a row of the table.

    Args:
        pairing: Entry of ``pairings`` in ``conf/reproduce.yaml``, with its name.
        folder: Folder of all sweeps.
        repeats: Number of repeats unless the pairing has its own.
        data_dir: Override ``data_dir=…``, or an empty text for the default.
    """
    data, model, baseline = (pairing[key] for key in ("data", "model", "baseline"))
    over, given, count = pairing.get("over", "seed"), pairing.get("given", "").split(), pairing.get("repeats", repeats)
    last = [data_dir] if data_dir else []

    def arguments(model: str, protocol: str, count: int, *more: str) -> list[str]:
        values = f"{over}={','.join(map(str, range(count)))}"
        return ["-m", f"data={data}", f"model={model}", f"protocol={protocol}", *more, values, *last]

    sweeps = []
    for protocol in PROTOCOLS:
        own = arguments(model, protocol, count, *given, *pairing.get(protocol, "").split())
        sweeps.append(Sweep(folder / pairing["name"] / protocol, own, over, count))
    sweeps.append(Sweep(folder / f"{data}_{baseline}" / "honest", arguments(baseline, "honest", 1), over, 1))
    both = [text for text in arguments(model, ",".join(PROTOCOLS), count, *given) if text != f"{over}=0"]
    different = [f"({protocol}: `{pairing[protocol]}`)" for protocol in PROTOCOLS if protocol in pairing]
    command = " ".join([f"`python -m src.train {shlex.join(both)}`", *different])
    documented = compose("train", [f"data={data}", f"model={model}", *given]).documented or {}
    return Row(pairing, dict(documented), command, sweeps)


def page(rows: list[Row], refused: dict[Path, str]) -> str:
    """Return the table with its introduction.

    Args:
        rows: Rows of the table.
        refused: For each folder of a sweep the error if it was refused, else an empty text.
    """
    runs = {sweep.folder: repeats(sweep) for row in rows for sweep in row.sweeps}
    lines = [" | ".join(HEADS), " | ".join(["---"] * len(HEADS))]
    for row in rows:
        folders = [sweep.folder for sweep in row.sweeps]
        means = [runs[folder]["seconds.total"].astype(float).mean() for folder in folders[:2]]
        seconds = " / ".join("-" if pd.isna(mean) else f"{mean:.0f}" for mean in means)
        model = " ".join([row.pairing["model"], *row.pairing.get("given", "").split()])
        for metric in row.pairing["metrics"]:
            figures = [spread(runs[folder], metric, refused[folder]) for folder in folders]
            figures[2] += f" (`{row.pairing['baseline']}`)"
            first = [f"{row.pairing['data']} `{model}`", metric, str(row.documented.get(metric, "-"))]
            lines.append(" | ".join([*first, *figures, seconds, row.command]))
    every = pd.concat([part for part in runs.values() if len(part)] or list(runs.values()))
    return "\n".join([INTRODUCTION.format(**origin(every)), *(f"| {line} |" for line in lines), ""])


def repeats(sweep: Sweep) -> pd.DataFrame:
    """Return the wanted repeats in the folder of a sweep; the newest of those with equal seeds."""
    if next(history.run_folders(sweep.folder), None) is None:
        return pd.DataFrame(columns=["error", "experiment", "seconds.total"])
    runs = collect.collect([sweep.folder], begun=False)
    wanted = runs[sweep.over.rpartition(".")[2]].isin(range(sweep.repeats)) & ~runs["repeated"]
    return runs[wanted | (runs["status"] == "unreadable")]


def origin(runs: pd.DataFrame) -> dict[str, Any]:
    """Describe the runs of the table and the machine."""
    names = ("python", "torch", "lightning", "scikit-learn")
    versions = {name: runs[f"versions.{name}"].dropna().iloc[:1].tolist() for name in names if f"versions.{name}" in runs}
    return {
        "runs": len(runs),
        "hours": f"{runs['seconds.total'].sum() / 3600:.1f}",
        "machine": f"{os.cpu_count()} cores ({processor()})",
        "versions": ", ".join(f"{name} {version[0]}" for name, version in versions.items() if version),
    }


def processor() -> str:
    """Return the name of the processor, or its architecture where the system has no name."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def spread(runs: pd.DataFrame, metric: str, refused: str) -> str:
    """Return mean and standard deviation of a test metric, or the reason why there is none."""
    column = f"test.{metric}"
    values = runs[column].where(collect.counted(runs)) if column in runs else pd.Series(dtype=float)
    if values.isna().all():
        return f"not run: {[*runs['error'].dropna(), refused][0]}".strip(": ")
    newest = runs[values.notna()].iloc[-1]["experiment"]  # the folder may hold another version of the experiment
    figures = collect.aggregate(values, runs["experiment"]).loc[newest]
    return pm(figures["mean"], figures["sd"]).replace("±", " ± ")
