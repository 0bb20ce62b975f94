"""A sweep whose process crashes - out of memory, a fault in a library - goes on in a new one, without that job."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from src.runs import result
from src.sweeps import launch

USUAL = (0, 1, 2, 130)  # how src.train ends by itself


def supervised(main: Callable[[], None]) -> None:
    """Runs ``main``; a sweep in a child process, as long as one crashes, where the system can fork."""
    sweep = {"-m", "--multirun"} & set(sys.argv) or any(text.startswith(("sweep=", "model.replicas=")) for text in sys.argv)
    if not sweep or not hasattr(os, "fork"):
        return main()
    while True:
        reader, launch.place = os.pipe()
        child = os.fork()  # before torch is imported: nothing has threads yet
        if child == 0:
            die_with_parent()
            return main()
        os.close(launch.place)
        code = wait(child)
        folder = os.read(reader, 10_000).decode() if code not in USUAL else ""
        os.close(reader)
        job = crashed(Path(folder)) if folder else None
        if job is None:
            raise SystemExit(code if code >= 0 else 128 - code)
        why = f"its process ended with {signal.Signals(-code).name if code < 0 else f'status {code}'}"
        result.write(job, result.read(job) | {"status": "failed", "error": why})
        launch.crashed.append(job.resolve())
        print(f"job {result.number(job)}: failed: {why}; the others go on", flush=True)
        sys.argv[1:] = ["-m", f"resume={folder}"]


def wait(child: int) -> int:
    """Waits for a child that gets this process's signals; returns its exit status, or minus the signal that killed it."""

    def forward(number: int, _: Any) -> None:
        os.kill(child, number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    _, status = os.waitpid(child, 0)
    for number, handler in before.items():
        signal.signal(number, handler)
    return os.waitstatus_to_exitcode(status)


def die_with_parent() -> None:
    """On Linux, lets no orphan go on when this process's parent is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def crashed(folder: Path) -> Path | None:
    """The job that a sweep was at: the last that was begun, if it has not come to its end."""
    begun = [path.parent for path in folder.glob("*/result.json")]
    last = max(begun, key=result.number, default=None)
    return last if last and result.read(last)["status"] == "interrupted" else None
