"""``python -m benchmarks.physionet [data_dir]``: reading 4,000 stays at once against one by one with pandas, and the memory.

The records of PhysioNet-2012 do not come with Labbook; without them there is nothing to measure.
"""

from __future__ import annotations

import io
import resource
import subprocess
import sys
from pathlib import Path

import pandas as pd

import src  # noqa: F401  first: it makes torchvision importable beside a torch of another build
from benchmarks.speed import medians
from src.data.clinical import records
from src.errors import UserError


def parsing(folder: Path) -> None:
    """The usual way, a call of read_csv and one of groupby for each record, and ours for all."""
    ((place, _),) = records.find(folder)
    texts = records.members(place)

    def hourly(frame: pd.DataFrame) -> pd.DataFrame:
        hour = frame["Time"].str[:2].astype(int).clip(upper=records.HOURS - 1)
        means = frame["Value"].groupby([hour, frame["Parameter"]]).mean().unstack()
        return means.reindex(index=range(records.HOURS), columns=list(records.VARIABLES))

    def whole() -> None:
        table, starts = records.parse(texts, place)
        records.binned(table, starts, records.identified(table, starts, list(texts), place).argsort().argsort())

    times = medians(
        {
            "ours, lines to a table": lambda: records.parse(texts, place),
            "ours, lines to hours": whole,
            "read_csv of each": lambda: [pd.read_csv(io.BytesIO(text)) for text in texts.values()],
            "read_csv and hourly means of each": lambda: [hourly(pd.read_csv(io.BytesIO(text))) for text in texts.values()],
        },
        repetitions=3,
    )
    ours, lines = times["ours, lines to hours"], times["ours, lines to a table"]
    print(f"\n{len(texts):,} records in {ours:.2f} s (at least 5 times faster than each with pandas)")
    print(f"  {'read_csv of each / ours':<40} {times['read_csv of each'] / lines:.1f} ×")
    print(f"  {'read_csv and hourly means of each / ours':<40} {times['read_csv and hourly means of each'] / ours:.1f} ×")


def memory(folder: Path, view: str) -> None:
    """Holds three such data sets, torch and all, and prints the most memory that this process ever had."""
    from src.data.clinical.datamodule import PhysioNet

    held = [PhysioNet(str(folder), view=view) for _ in range(3)]
    for data in held:
        data.setup()
    print(f"  {view:<40} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB")


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "data")
    try:
        records.find(folder)
    except UserError as error:
        sys.exit(f"skipped: {error}")
    if len(sys.argv) > 2:
        memory(folder, sys.argv[2])
    else:
        parsing(folder)
        print("\nmost memory while three such sets are read and held, GB (at most 2)")
        for view in ("imputed", "masked", "summaries"):
            subprocess.run([sys.executable, "-m", "benchmarks.physionet", str(folder), view], check=True)
