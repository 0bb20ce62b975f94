"""Progress of a sweep: a line for each job that has ended, and a live table where there is a terminal."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.live import Live
from rich.table import Table

from src.errors import UserError
from src.reporting.tables import plain
from src.runs import result as results


class Watch:
    """Follows the folders of the jobs, wherever they run: in this process, in other ones, on other machines.

    Args:
        folder: Folder of the sweep.
        total: Number of its jobs.
        earlier: Folders of jobs that an earlier launch has left.
    """

    def __init__(self, folder: Path, total: int, earlier: list[Path]):
        self.folder, self.total, self.begun = folder, total, time.monotonic()
        self.ended: dict[Path, dict[str, Any]] = {}
        self.look(announce=False)
        self.earlier, self.before = set(earlier), len(self.ended)
        # its thread asks for the table twice a second, without a terminal too
        self.live = Live(get_renderable=self.looked, refresh_per_second=2, transient=True)

    def __enter__(self) -> Watch:
        self.live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.live.stop()

    def looked(self) -> Table:
        self.look()
        return self.table()

    def look(self, announce: bool = True) -> None:
        """Find the jobs that have ended since the last look, and print a line for each."""
        for run in sorted((path.parent for path in self.folder.glob("*/result.json")), key=results.number):
            if run in self.ended:
                continue
            try:
                result = results.read(run)
            except UserError:  # being written, or damaged: the summary says so
                continue
            if result["status"] != "interrupted":
                self.ended[run] = result
                if announce:
                    print(line(run, result), flush=True)

    def table(self) -> Table:
        """Return the live table: jobs done and running, the best so far and the time left."""
        shown = plain("done", "failed", "running", "best so far", "time left")
        failed = sum(result["status"] in ("failed", "diverged") for result in self.ended.values())
        new, left = len(self.ended) - self.before, max(0, self.total - len(self.ended))
        seconds = round((time.monotonic() - self.begun) / new * left) if new else None
        time_left = "" if seconds is None else str(timedelta(seconds=seconds))
        shown.add_row(f"{len(self.ended)} of {self.total}", str(failed or ""), self.running(), best(self.ended), time_left)
        return shown

    def running(self) -> str:
        """Return the names of the jobs that run, each with its epoch."""
        names = []
        for run in sorted((path.parent for path in self.folder.glob("*/.hydra")), key=results.number):
            if run not in self.ended and run not in self.earlier:
                epochs = run / "metrics.csv"
                rows = epochs.read_bytes().count(b"\n") - 1 if epochs.is_file() else 0
                names.append(f"{run.name} (epoch {rows})" if rows > 0 else run.name)
        return "\n".join(names)


def line(run: Path, result: dict[str, Any]) -> str:
    """Return the line of a job that has ended."""
    ended = f"{result['status']}: {result['error']}" if result["error"] else result["status"]
    ended += " as hopeless" if result.get("pruned") else ""
    best = f", best {result['monitor']} {result['best'][result['monitor']]:.4f}" if result["best"] else ""
    seconds = f", {result['seconds']['total']:.1f} s" if result["seconds"]["total"] else ""
    return f"job {results.number(run)}: {' '.join(results.overrides(run))}: {ended}{best}{seconds}"


def best(ended: dict[Path, dict[str, Any]]) -> str:
    """Return the best value of the first monitored metric, and its job."""
    measured = {run: result for run, result in ended.items() if result["best"]}
    if not measured:
        return ""
    first = next(iter(measured.values()))
    monitor = first["monitor"]
    values = {run: result["best"][monitor] for run, result in measured.items() if monitor in result["best"]}
    chosen = (max if results.higher_is_better(first, monitor) else min)(values, key=lambda run: values[run])
    return f"{monitor} {values[chosen]:.4f} ({chosen.name})"
