"""``python -m benchmarks.compare [FOLDER]``: time of comparing 2,000 run folders.

The folders are copies of the runs below FOLDER, or of five small runs that the benchmark makes, with different seeds.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from src.runs import history

COUNT = 2000
SMALL = ["-m", "data=nyse", "model=linear,ols,ridge,mlp,rnn", "trainer.max_epochs=3", "callbacks.progress=null"]


def copies(sources: list[Path], folder: Path) -> None:
    """Copy runs without their checkpoints until there are enough; each round has its own seed."""
    for number in range(COUNT):
        source, copy = sources[number % len(sources)], folder / f"{number % len(sources)}" / f"{number // len(sources)}"
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("*.ckpt"))
        path = copy / "result.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"seed": number // len(sources)}, indent=2))


def main(logs: Path | None) -> None:
    """Print the shortest of three times of the whole command, with start-up and imports."""
    with tempfile.TemporaryDirectory() as folder:
        if logs is None:
            logs = Path(folder) / "sweep"
            subprocess.run(
                [sys.executable, "-m", "src.train", *SMALL, f"hydra.sweep.dir={logs}"], check=True, capture_output=True
            )
        sources = [Path(run) for run in history.runs(logs).query("status in ['finished', 'stopped early']")["run"]]
        copies(sources, Path(folder) / "runs")
        elapsed, busy = [], []
        for _ in range(3):
            begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [sys.executable, "-m", "src.compare", f"{folder}/runs"]
            subprocess.run(command, check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            elapsed.append(time.perf_counter() - begun)
            busy.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    print(f"\n{COUNT:,} run folders, copies of {len(sources)}, compared (at most 5 s)")
    print(f"  python -m src.compare                    {min(elapsed):.1f} s, of which {min(busy):.1f} s of a processor")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
