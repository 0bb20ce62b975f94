"""``python -m benchmarks.forecast [steps]``: the memory that training on windows over a long series takes above the series.

Both processes import the same and read the same file; one stops there, the other trains.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
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


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000)
