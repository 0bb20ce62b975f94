"""A process that watches the process of a sweep, and restarts it without the job that crashed it.

A job may take its process with it: out of memory, a fault in a library. The two processes talk through the environment,
which the workers of a parallel launcher inherit too.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from src.runs import result
from src.sweeps.arguments import launches_sweep

USUAL = (0, 1, 2, 130)  # exit statuses of src.train itself
PIPE = "LABBOOK_SUPERVISOR"  # descriptor to which the child writes the folder of its sweep
CRASHED = "LABBOOK_CRASHED"  # folders of the jobs that crashed their process, which do not run again


def supervised(main: Callable[[], None]) -> None:
    """Run ``main``; a sweep in a child process, and in a new one after each crash, where the system can fork."""
    if not launches_sweep(sys.argv[1:]) or not hasattr(os, "fork"):
        return main()
    while True:
        reader, writer = os.pipe()
        os.environ[PIPE] = str(writer)
        child = os.fork()  # before torch is imported: nothing has threads yet
        if child == 0:
            die_with_parent()
            return main()
        os.close(writer)
        code = wait(child)
        folder = os.read(reader, 10_000).decode() if code not in USUAL else ""
        os.close(reader)
        job = last_begun(Path(folder)) if folder else None
        if job is None:
            raise SystemExit(code if code >= 0 else 128 - code)
        why = f"its process ended with {signal.Signals(-code).name if code < 0 else f'status {code}'}"
        result.write(job, result.read(job) | {"status": "failed", "error": why})
        os.environ[CRASHED] = os.pathsep.join([*map(str, crashed()), str(job.resolve())])
        print(f"job {result.number(job)}: failed: {why}; the other jobs run on", flush=True)
        sys.argv[1:] = ["-m", f"resume={folder}", "trust=true"]  # the user typed its overrides a moment ago


def announce(folder: Path) -> None:
    """Send the folder of a sweep to the process that watches this one, if one does."""
    if pipe := os.environ.pop(PIPE, None):
        os.write(int(pipe), str(folder).encode())


def crashed() -> set[Path]:
    """Return the folders of the jobs that have crashed the process of this sweep."""
    return {Path(folder) for folder in os.environ.get(CRASHED, "").split(os.pathsep) if folder}


def wait(child: int) -> int:
    """Forward signals to a child until it ends; return its exit status, or minus the signal that killed it."""

    def forward(number: int, _: Any) -> None:
        os.kill(child, number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    _, status = os.waitpid(child, 0)
    for number, handler in before.items():
        signal.signal(number, handler)
    return os.waitstatus_to_exitcode(status)


def die_with_parent() -> None:
    """On Linux, have this process killed when its parent is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def last_begun(folder: Path) -> Path | None:
    """Return the job that a sweep was running: the last that has begun, if it has not ended."""
    begun = [path.parent for path in folder.glob("*/result.json")]
    last = max(begun, key=result.number, default=None)
    return last if last and result.read(last)["status"] == "interrupted" else None
