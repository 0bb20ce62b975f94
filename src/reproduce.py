"""Runs what the sources document, and writes documented figures and ours into one table.

python -m src.reproduce only=nyse,hitters                 minutes
python -m src.reproduce data_dir=DIR                      everything that the data in DIR allow: hours
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from src.config.app import app
from src.config.compose import CONF, compose
from src.config.schema import check_terms
from src.errors import UserError, nearest
from src.runs import files

if TYPE_CHECKING:
    import pandas as pd

PROTOCOLS = ("documented", "honest")


def reproduce(config: DictConfig) -> None:
    """Runs the missing runs of the chosen pairings, sweep by sweep, and writes the table after each."""
    check_terms(config, but="data_dir")
    rows = chosen(config)
    files.check(Path(config.output))
    plan = {folder: arguments for row in rows for folder, arguments in sweeps(row, config).items()}
    refused = {folder: launch(arguments, folder) for folder, arguments in plan.items()}
    files.write_text(page(rows, refused, config), Path(config.output))
    print(f"\ntable: {config.output}")


def chosen(config: DictConfig) -> list[dict[str, Any]]:
    """The rows of the table that are asked for.

    Raises:
        UserError: There is no such data set or pairing.
    """
    plain: Any = OmegaConf.to_container(config.pairings)
    rows = [{"over": "seed", "repeats": config.repeats, "given": ""} | row for row in plain]
    if config.only is None:
        return rows
    asked = str(config.only).split(",") if isinstance(config.only, str) else [str(name) for name in config.only]
    known = sorted({name for row in rows for name in (row["data"], named(row))})
    for name in asked:
        if name not in known:
            raise UserError(f"only={name}: is no documented data set or pairing; {nearest(name, known)}")
    return [row for row in rows if {row["data"], named(row)} & set(asked)]


def named(row: dict[str, Any]) -> str:
    return row.get("name", f"{row['data']}_{row['model']}")


def baseline(row: dict[str, Any]) -> dict[str, Any]:
    """The pairing that a row is held against."""
    return {"data": row["data"], "model": row["baseline"], "given": "", "over": row["over"], "repeats": 1}


def sweeps(row: dict[str, Any], config: DictConfig) -> dict[Path, list[str]]:
    """The three sweeps behind a row, folder and arguments of each: by either protocol, and the baseline's."""
    cells = [*((row, protocol) for protocol in PROTOCOLS), (baseline(row), "honest")]
    return {Path(config.folder) / named(part) / protocol: sweep(part, protocol, config) for part, protocol in cells}


def sweep(row: dict[str, Any], protocol: str, config: DictConfig) -> list[str]:
    """The arguments of ``src.train`` for one cell of the table."""
    more = [*row["given"].split(), *row.get(protocol, "").split()]
    more.append(f"{row['over']}={','.join(map(str, range(row['repeats'])))}")
    shipped = Path(str(config.data_dir)) == Path("data")
    folder = [] if shipped else [f"data_dir={config.data_dir}"]
    return ["-m", f"data={row['data']}", f"model={row['model']}", f"protocol={protocol}", *more, *folder]


def launch(arguments: list[str], folder: Path) -> str:
    """Runs what is missing of a sweep in a process of its own; returns why it was refused, or nothing."""
    given = [f"resume={folder}"] if (folder / "multirun.yaml").is_file() else [f"hydra.sweep.dir={folder}"]
    print(f"\n$ python -m src.train {' '.join(arguments)}", flush=True)
    here = os.pathsep.join(filter(None, [str(CONF.parent), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "src.train", *arguments, *given]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": here}, stderr=subprocess.PIPE, text=True, check=False)
    print(done.stderr, end="", file=sys.stderr)
    if done.returncode == 130:  # Ctrl-C
        raise SystemExit(130)
    return done.stderr.strip().removeprefix("error: ") if done.returncode == 2 else ""


def page(rows: list[dict[str, Any]], refused: dict[Path, str], config: DictConfig) -> str:
    """The table with what is to be known of it, in Markdown.

    Args:
        rows: Of the table.
        refused: Why the sweep of a folder did not run, or nothing.
        config: Of this entry point.
    """
    from src.runs import history

    planned = {
        folder: part for row in rows for folder, part in zip(sweeps(row, config), (row, row, baseline(row)), strict=True)
    }
    tables = {folder: repeats(history.runs(folder), planned[folder]) for folder in refused}
    heads = (
        "pairing",
        "metric",
        "documented",
        "ours, documented protocol",
        "ours, honest",
        "baseline",
        "seconds",
        "command",
    )
    lines = [" | ".join(heads), " | ".join(["---"] * len(heads))]
    for row in rows:
        source, folders = documented(row), list(sweeps(row, config))
        seconds = " / ".join(mean_seconds(tables[folder]) for folder in folders[:2])
        for metric in row["metrics"]:
            figures = [spread(tables[folder], metric, refused[folder]) for folder in folders]
            figures[2] += f" (`{row['baseline']}`)"
            known = [
                f"{row['data']} `{' '.join([row['model'], *row['given'].split()])}`",
                metric,
                str(source.get(metric, "-")),
            ]
            lines.append(" | ".join([*known, *figures, seconds, command(row, config)]))
    every = [run for table in tables.values() for _, run in table.iterrows()]
    return "\n".join([HEAD.format(**facts(every)), *(f"| {line} |" for line in lines), ""])


HEAD = """# Documented and ours

Written by `python -m src.reproduce` from {runs} runs, {hours} hours of one core in all, on {machine}; {versions}.

Test figures, mean ± standard deviation over the repeats that the command names (seeds of the network, of the split for
PhysioNet); one run where it names none. Seconds are those of a run, under either protocol. `documented` is the source's own
protocol, which often validates on the test set and keeps the last weights; `honest` looks at the test set once, at the end.
"""


def repeats(runs: pd.DataFrame, row: dict[str, Any]) -> pd.DataFrame:
    """Of the runs in a folder those that the row asks for; of a repeat the newest."""
    name, wanted = row["over"].rpartition(".")[2], range(row["repeats"])
    return runs[runs[name].isin(wanted)].drop_duplicates(name, keep="last") if name in runs else runs


def facts(runs: list[Any]) -> dict[str, Any]:
    """What the head of the table says of its runs."""
    versions: Any = next((run for run in runs if run["status"] != "unreadable"), {})
    names = ("python", "torch", "lightning", "scikit-learn")
    seconds = sum(run["seconds.total"] for run in runs if run.get("seconds.total", 0) > 0)  # NaN of a run that failed
    return {
        "runs": len(runs),
        "hours": f"{seconds / 3600:.1f}",
        "machine": f"{os.cpu_count()} cores ({processor()})",
        "versions": ", ".join(f"{name} {versions.get(f'versions.{name}')}" for name in names),
    }


def processor() -> str:
    """The processor's name, where the system tells it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def documented(row: dict[str, Any]) -> dict[str, Any]:
    """The source's figures, from the recipe of a pairing."""
    config = compose("train", [f"data={row['data']}", f"model={row['model']}", *row["given"].split()])
    return dict(config.documented or {})


def spread(runs: pd.DataFrame, metric: str, refused: str) -> str:
    """Mean and standard deviation of a test metric, or why there is none."""
    from src.reporting.tables import pm

    column = f"test.{metric}"
    if column not in runs or runs[column].isna().all():
        failed = list(runs["error"].dropna()) if "error" in runs else []
        return f"not run: {(failed or [refused])[0]}".strip(": ")
    values = runs[column].dropna()
    return pm(values.mean(), values.std()).replace("±", " ± ")


def mean_seconds(runs: pd.DataFrame) -> str:
    return f"{runs['seconds.total'].mean():.0f}" if "seconds.total" in runs and runs["seconds.total"].notna().any() else "-"


def command(row: dict[str, Any], config: DictConfig) -> str:
    """One command for a row; options that only one protocol has stand in brackets."""
    both = [text for text in sweep(row, ",".join(PROTOCOLS), config) if text != f"{row['over']}=0"]
    extra = [f"({protocol}: `{row[protocol]}`)" for protocol in PROTOCOLS if protocol in row]
    return " ".join([f"`python -m src.train {' '.join(both)}`", *extra])


def main() -> None:
    # Hydra takes nyse,hitters for two jobs
    sys.argv[1:] = [re.sub(r"^only=([^\[]*,.*)$", r"only=[\1]", text) for text in sys.argv[1:]]
    app(reproduce, "reproduce")()


if __name__ == "__main__":
    main()
