"""``python -m benchmarks.forecast [steps]``: the memory of training on windows over a long series, and over many series.

Of the long one, two processes import the same and read the same file; one stops there, the other trains. The many are a
thousand series of a thousand steps, windows of 24; one process trains one network on all of them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

import src  # noqa: F401  first: it makes torchvision importable beside a torch of another build

WINDOW = 512
OPTIONS = [
    "data=csv",
    "data.target=value",
    f"data.lags={WINDOW}",
    "data.batch_size=1024",
    "data.roll_out=100",
    "model=linear",
]


def most_memory(program: str, *arguments: str) -> float:
    """Gigabytes at the peak of a Python process."""
    told = f"import resource, sys\n{program}\nsys.stderr.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))"
    ended = subprocess.run([sys.executable, "-c", told, *arguments], capture_output=True, text=True, check=True)
    return int(ended.stderr.rsplit(maxsplit=1)[-1]) * 1024 / 1e9


def main(steps: int) -> None:
    """Prints both peaks and their difference."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "series.csv"
        noise = np.random.default_rng(0).normal(size=steps)
        pd.DataFrame({"value": np.cumsum(noise) * 0.01 + noise}).round(4).to_csv(path, index=False)
        held = most_memory(f"import pandas, src.training.run\nseries = pandas.read_csv({str(path)!r})")
        options = [
            *OPTIONS,
            f"data.path={path}",
            "trainer.max_epochs=1",
            f"hydra.run.dir={folder}/run",
            "callbacks.progress=null",
        ]
        trained = most_memory("from src.train import main\nmain()", *options)
    whole = steps * WINDOW * 4 / 1e9
    print(f"\nan epoch of model=linear over {steps:,} steps, window {WINDOW} (its windows one by one: {whole:.1f} GB)")
    print(f"  {'reading the series and all imports':<40} {held:.2f} GB")
    print(f"  {'training':<40} {trained:.2f} GB, {trained - held:.2f} more (at most 1)")


def many(count: int = 1000, steps: int = 1000) -> None:
    """Prints the peak of training on many series, and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        path, random = Path(folder) / "many.csv", np.random.default_rng(0)
        values = np.cumsum(random.normal(size=(count, steps)), axis=1) * random.uniform(1, 100, (count, 1))
        days = pd.date_range("2020-01-01", periods=steps).strftime("%Y-%m-%d")
        names = [f"shop {number}" for number in range(count)]
        frame = pd.DataFrame(
            {"shop": np.repeat(names, steps), "day": np.tile(days, count), "value": values.ravel().round(2)}
        )
        frame.to_csv(path, index=False)
        options = ["data=csv", f"data.path={path}", "data.target=value", "data.series=shop", "data.date=day", "model=mlp"]
        options += ["data.batch_size=1024", "data.roll_out=10", "trainer.max_epochs=1", "callbacks.progress=null"]
        begun = time.perf_counter()
        trained = most_memory("from src.train import main\nmain()", *options, f"hydra.run.dir={folder}/run")
        seconds = time.perf_counter() - begun
    print(f"\nan epoch of model=mlp over {count:,} series of {steps:,} steps, a run in all: {seconds:.0f} s")
    print(f"  {'training':<40} {trained:.2f} GB (at most 2)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000)
    many()
