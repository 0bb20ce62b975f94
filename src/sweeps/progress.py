"""Progress of a sweep: a line for each job that has ended, and a live table where there is a terminal."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from rich import get_console
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
        self.earlier, self.before = set(earlier), set(self.ended)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.live = Live(get_renderable=self.table, console=get_console(), refresh_per_second=1, transient=True)

    def __enter__(self) -> Watch:
        if get_console().is_terminal:
            self.live.start()
        self.thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.over.set()
        self.thread.join()
        self.look()
        self.live.stop()

    def follow(self) -> None:
        while not self.over.wait(0.5):
            self.look()

    def look(self, announce: bool = True) -> None:
        """Find the jobs that have ended since the last look, and print a line for each."""
        for path in sorted(self.folder.glob("*/result.json"), key=lambda path: results.number(path.parent)):
            if path.parent in self.ended:
                continue
            try:
                result = results.read(path.parent)
            except UserError:  # being written, or damaged: the summary says so
                continue
            if result["status"] != "interrupted":
                self.ended[path.parent] = result
                if announce:
                    print(line(path.parent, result), flush=True)

    def table(self) -> Table:
        """Return the live table: jobs done and running, the best so far and the time left."""
        shown = plain("done", "failed", "running", "best so far", "time left")
        ended = dict(self.ended)
        failed = sum(result["status"] in ("failed", "diverged") for result in ended.values())
        new = len(ended.keys() - self.before)
        left = "" if not new else duration((time.monotonic() - self.begun) / new * max(0, self.total - len(ended)))
        shown.add_row(f"{len(ended)} of {self.total}", str(failed or ""), self.running(), best(ended), left)
        return shown

    def running(self) -> str:
        """Return the names of the jobs that run, each with its epoch."""
        names = []
        for path in sorted(self.folder.glob("*/.hydra"), key=lambda path: results.number(path.parent)):
            run = path.parent
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
    monitor = next(iter(measured.values()))["monitor"]
    by_run = {run: result["best"][monitor] for run, result in measured.items() if monitor in result["best"]}
    higher = results.higher_is_better(next(iter(measured.values())), monitor)
    chosen = (max if higher else min)(by_run, key=lambda run: by_run[run])
    return f"{monitor} {by_run[chosen]:.4f} ({chosen.name})"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s" if minutes else f"{rest} s"
    )
