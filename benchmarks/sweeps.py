"""Jobs in parallel: the wall time of a sweep by Hydra's joblib launcher against the same sweep in one process.

python -m benchmarks.sweeps [JOBS]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

JOBS = ["data=nyse", "model=rnn"]


def seconds(jobs: int, folder: str, *launcher: str) -> float:
    """Wall seconds of a whole command, start-up and summary included."""
    command = [sys.executable, "-m", "src.train", "-m", *JOBS, f"seed=range({jobs})", f"hydra.sweep.dir={folder}"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    begun = time.perf_counter()
    subprocess.run([*command, *launcher], env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def main() -> None:
    """Times both and prints the ratio."""
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with tempfile.TemporaryDirectory() as folder:
        serial = seconds(jobs, f"{folder}/serial")
        parallel = seconds(jobs, f"{folder}/joblib", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    print(f"{jobs} jobs of {' '.join(JOBS)}, {os.cpu_count()} cores")
    print(f"  one after another                       {serial:6.1f} s")
    print(f"  hydra/launcher=joblib, two processes    {parallel:6.1f} s, {serial / parallel:.2f} x as fast (at least 1.6)")


if __name__ == "__main__":
    main()
