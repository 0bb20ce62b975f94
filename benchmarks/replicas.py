"""``python -m benchmarks.replicas [MODEL [REPLICAS [EPOCHS]]]``: seeds together against the same one after another.

Both sides are whole commands, from the start of Python to the summary. Beside the wall time stands the processor's, which a
busy machine stretches less.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent


def seconds(*arguments: str) -> tuple[float, float]:
    """Wall and processor seconds of one sweep."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    before, begun = os.times(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "src.train", *arguments, f"hydra.sweep.dir={folder}/sweep"]
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - begun, used


def compare(model: str, replicas: int, epochs: int) -> None:
    """Prints the ratio of both sides for a network on nyse, with early stopping as a user has it."""
    options = ["data=nyse", f"model={model}", f"trainer.max_epochs={epochs}"]
    together = seconds(*options, f"model.replicas={replicas}")
    apart = seconds("-m", *options, f"seed=range(0,{replicas})")
    wall, used = (one / other for one, other in zip(together, apart, strict=True))
    print(f"\n{replicas} seeds together, × the {apart[1]:.0f} s of the processor one after another (at most 0.35)")
    print(f"  {f'nyse {model}, at most {epochs} epochs':<40} {used:.2f} ×, of wall time {wall:.2f} ×", flush=True)


if __name__ == "__main__":
    model, replicas, epochs = [*sys.argv[1:], *["rnn", "20", "100"][len(sys.argv) - 1 :]]
    compare(model, int(replicas), int(epochs))
