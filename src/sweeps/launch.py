"""A sweep around its jobs: checks, a folder of its own, progress, summary and exit status."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig, open_dict

from src.config.overrides import written
from src.errors import UserError, refuse, sentence
from src.reporting.sweeps.progress import Watch
from src.runs.folder import make
from src.sweeps import search, supervisor
from src.sweeps.arguments import is_resumed
from src.sweeps.compose import JobLoader
from src.sweeps.job import STOPPED
from src.sweeps.preflight import checked
from src.training import interrupt


def job_context(context: HydraContext, config: DictConfig) -> HydraContext:
    """Return the context of a launcher, which composes jobs quickly where they run in this process."""
    here = config.hydra.launcher._target_.endswith((".BasicLauncher", ".Stacked"))
    return HydraContext(JobLoader(context.config_loader), context.callbacks) if here else context  # type: ignore[arg-type]


@contextlib.contextmanager
def launched(config: DictConfig, context: HydraContext | None) -> Iterator[None]:
    """Check a sweep, run it in the body, and leave a summary whatever ends it.

    The body finds the folder of the sweep in ``config.hydra.sweep.dir``.

    Raises:
        SystemExit: The sweep is refused (status 2), a job or a worker failed (1), or Ctrl-C ended it (130).
    """
    assert context is not None
    try:
        total, notes = checked(config, context.config_loader)
        folder = claimed(config)
        lock = FileLock(folder / ".lock").acquire(timeout=0)  # gone with the process, however it ends
    except Timeout:
        refuse(f"{config.hydra.sweep.dir}: another process is at work on this sweep; wait for it, or stop it")
    except Exception as wrong:
        refuse(sentence(wrong, named=not isinstance(wrong, UserError | HydraException)))
    error: BaseException | None = None
    stopped = folder / STOPPED
    stopped.unlink(missing_ok=True)
    with lock, interrupt.stop_after_epoch(), Watch(folder, total, [path for path in folder.iterdir() if path.is_dir()]):
        print(*notes, sep="\n", end="\n" if notes else "", flush=True)
        supervisor.announce(folder)
        try:
            yield
        except (Exception, KeyboardInterrupt, SystemExit) as raised:
            error = raised
        interrupted = interrupt.requested() or isinstance(error, KeyboardInterrupt)
        stopped.unlink(missing_ok=True)

    from src.reporting.sweeps.summary import report  # imports pandas

    drawn = search.searches(config)
    bad = report(folder, total, drawn, search.importance(folder) if drawn else None)
    if isinstance(error, Exception):
        print(f"error: {sentence(error, named=True)}", file=sys.stderr)
    if interrupted or bad or error:
        raise SystemExit(130 if interrupted else 1) from error


def claimed(config: DictConfig) -> Path:
    """Make the folder of a sweep, and tell its jobs; a resumed one has it already."""
    folder = Path(config.hydra.sweep.dir)
    folder = folder if is_resumed(config) else make(folder)[0]
    config.hydra.sweep.dir = str(folder)
    with open_dict(config):  # jobs compose their configurations anew, from these overrides
        config.hydra.overrides.hydra.append(written("hydra.sweep.dir", str(folder.absolute())))
    return folder
