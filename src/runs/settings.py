"""Settings of runs, to find the finished run of a configuration, so that nothing runs twice."""

import functools
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.config.compose import leaves, reference
from src.config.keys import KEYS, idle
from src.errors import UserError
from src.runs import result as results

# Keys whose paths a run stores as absolute ones.
PATHS = tuple(key for key, meaning in KEYS.items() if meaning.path)
# Statuses of runs that have nothing left to do.
DONE = ("finished", "stopped early", "diverged")


def absolute(config: DictConfig) -> None:
    """Make the paths of a configuration absolute, so that its run can be rebuilt from any folder."""
    for key in PATHS:
        group, _, name = key.rpartition(".")
        part: Any = OmegaConf.select(config, group) if group else config
        if name in part and not OmegaConf.is_interpolation(part, name) and part[name] is not None:
            part[name] = str(Path(part[name]).absolute())


def values(config: DictConfig) -> dict[str, Any]:
    """Return the values of a configuration by dotted key, except those that change no metric."""
    copy = deepcopy(config)
    absolute(copy)
    copy.data_dir = "."  # other paths are derived from it
    return {key: value for key, value in leaves(OmegaConf.to_container(copy, resolve=True)).items() if not idle(key)}


def find(folders: Iterable[Path], wanted: DictConfig, overrides: list[str], **choices: Any) -> Path | None:
    """Return the first run with the settings of a configuration, a run that has ended if there is one; None without any.

    An option that an older run does not have counts as at its default. Metrics are compared only where an override sets
    one: a newer version may compute the usual ones otherwise.

    Args:
        folders: Folders of runs.
        wanted: Composed configuration.
        overrides: Overrides that it was composed from.
        choices: Values that ``result.json`` must have (``data``, ``model``, ``protocol``).
    """
    alike = ["callbacks.best.", "callbacks.last."]  # of which earlier versions stored what a run fills in
    if not any("task.metrics." in text for text in overrides):
        alike.append("task.metrics.")

    def compared(found: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in found.items() if not key.startswith(tuple(alike))}

    begun, new, usual = None, compared(values(wanted)), compared(values(reference("train", overrides)))
    for folder in folders:
        try:
            result = read(folder, (folder / "result.json").stat().st_mtime_ns)
            if any(result[key] != value for key, value in choices.items()) or result["seed"] != wanted.seed:
                continue
            old = compared(stored(folder, result["started"]))
        except (OSError, UserError):  # no run, or a damaged one: it runs again
            continue
        if {key: usual[key] for key in new.keys() & usual.keys() - old.keys()} | old != new:
            continue
        if result["status"] in DONE:
            return folder
        begun = begun or folder
    return begun


@functools.lru_cache(maxsize=4096)
def read(folder: Path, changed: int) -> dict[str, Any]:
    """Read ``result.json``, again only if it has changed: each job of a sweep looks through all other jobs."""
    return results.read(folder)


@functools.lru_cache(maxsize=4096)
def stored(folder: Path, started: str) -> dict[str, Any]:
    """Return the :func:`values` of a run's configuration."""
    return values(results.stored(folder))
