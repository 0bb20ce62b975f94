"""Whether a run is the one that a configuration asks for, so that nothing runs twice."""

from __future__ import annotations

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
# How the runs end that have nothing left to do.
DONE = ("finished", "stopped early", "diverged")


def absolute(config: DictConfig) -> None:
    """Makes the paths of a configuration absolute, so that its run can be rebuilt from any folder."""
    for key in PATHS:
        group, _, name = key.rpartition(".")
        part: Any = OmegaConf.select(config, group) if group else config
        if name in part and not OmegaConf.is_interpolation(part, name) and part[name] is not None:
            part[name] = str(Path(part[name]).absolute())


def values(config: DictConfig) -> dict[str, Any]:
    """What a configuration comes to: its values by dotted key, but those that change no figure."""
    copy = deepcopy(config)
    absolute(copy)
    copy.data_dir = "."  # others are made from it
    return {key: value for key, value in leaves(OmegaConf.to_container(copy, resolve=True)).items() if not idle(key)}


def find(folders: Iterable[Path], wanted: DictConfig, overrides: list[str], **told: Any) -> Path | None:
    """The first of the runs in ``folders`` that ``wanted`` asks for; one that has come to its end goes before others.

    An option that a run does not know, since it is older, counts as at its default.

    Args:
        folders: Of runs.
        wanted: A composed configuration.
        overrides: From which it was composed.
        told: What ``result.json`` must say (``data``, ``model``, ``protocol``).
    """
    begun, new, usual = None, values(wanted), values(reference("train", overrides))
    for folder in folders:
        try:
            result = known(folder, (folder / "result.json").stat().st_mtime_ns)
            if any(result[key] != value for key, value in told.items()) or result["seed"] != wanted.seed:
                continue
            old = stored(folder, result["started"])
        except (OSError, UserError):  # no run, or a damaged one: it runs again
            continue
        if {key: usual[key] for key in new.keys() & usual.keys() - old.keys()} | old != new:
            continue
        if result["status"] in DONE:
            return folder
        begun = begun or folder
    return begun


@functools.cache
def known(folder: Path, changed: int) -> dict[str, Any]:
    """What ``result.json`` says, read again only if it has changed: each job of a sweep looks through all the others."""
    return results.read(folder)


@functools.cache
def stored(folder: Path, started: str) -> dict[str, Any]:
    """The :func:`values` of a run's configuration."""
    return values(results.stored(folder))
