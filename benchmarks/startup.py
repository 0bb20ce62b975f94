"""``python -m benchmarks.startup``: the time to the first result, and the files that a run executes.

Each time is the median of alternating repetitions and a ratio to ``import torch`` in the same benchmark.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.speed import ROOT, medians, shell

RNN = ["data=nyse", "model=rnn", "trainer.max_epochs=1"]


def times(repetitions: int = 5) -> None:
    """Print the seconds of one epoch of nyse rnn, and of ols, as ratios to the import of torch."""
    with tempfile.TemporaryDirectory() as scratch:
        run = ["-m", "src.train", f"hydra.run.dir={scratch}/run"]
        calls = {"import torch": ["-c", "import torch"], "rnn": [*run, *RNN], "ols": [*run, "data=nyse", "model=ols"]}
        found = medians({name: lambda a=arguments: shell(*a) for name, arguments in calls.items()}, repetitions)
    print(f"python -c 'import torch', {found['import torch']:.2f} s")
    for name in ("rnn", "ols"):
        print(f"  data=nyse model={name}, one epoch or fit (at most 3.0)   {found[name] / found['import torch']:.1f} ×")


def executed(*arguments: str) -> set[str]:
    """Return the files of `src` of which a run calls a function; what importing a module executes does not count."""
    root = str(ROOT / "src")
    files: set[str] = set()

    def imported(frame: FrameType | None) -> bool:
        while frame is not None:
            if frame.f_code.co_name == "<module>" and frame.f_code.co_filename.startswith(root):
                return True
            frame = frame.f_back
        return False

    def note(frame: FrameType, event: str, _: Any) -> None:
        name = frame.f_code.co_filename
        if event == "call" and name not in files and name.startswith(root) and not imported(frame):
            files.add(name)

    from src.train import main

    sys.argv[1:] = arguments
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        main()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return {str(Path(name).relative_to(root)) for name in files}


if __name__ == "__main__":
    times()
    with tempfile.TemporaryDirectory() as scratch:
        files = executed(*RNN, f"hydra.run.dir={scratch}/run")
    print(f"files of src in which data=nyse model=rnn executes functions (at most 20): {len(files)}")
    print("  " + " ".join(sorted(files)))
