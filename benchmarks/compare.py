"""``python -m benchmarks.compare [FOLDER]``: how long it takes to put 2,000 run folders side by side.

They are copies of the runs below a folder - or of five small ones, which it makes - each with a seed of its own.
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
    """Copies runs, less their checkpoints, until there are enough; each round has its seed."""
    for number in range(COUNT):
        source, copy = sources[number % len(sources)], folder / f"{number % len(sources)}" / f"{number // len(sources)}"
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("*.ckpt"))
        path = copy / "result.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"seed": number // len(sources)}, indent=2))


def main(logs: Path | None) -> None:
    """Prints the time of the whole command, start-up and imports included, the best of three."""
    with tempfile.TemporaryDirectory() as folder:
        if logs is None:
            logs = Path(folder) / "sweep"
            subprocess.run(
                [sys.executable, "-m", "src.train", *SMALL, f"hydra.sweep.dir={logs}"], check=True, capture_output=True
            )
        sources = [Path(run) for run in history.runs(logs).query("status in ['finished', 'stopped early']")["run"]]
        copies(sources, Path(folder) / "runs")
        took, spent = [], []
        for _ in range(3):
            begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [sys.executable, "-m", "src.compare", f"{folder}/runs"]
            subprocess.run(command, check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            took.append(time.perf_counter() - begun)
            spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    print(f"\n{COUNT:,} run folders, copies of {len(sources)}, side by side (at most 5 s)")
    print(f"  python -m src.compare                    {min(took):.1f} s, of which {min(spent):.1f} s of a processor")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
