"""The files of a run that say what it was and how it ended: ``result.json``, its configuration and its overrides."""

from __future__ import annotations

import functools
import json
import math
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from omegaconf import DictConfig, OmegaConf

from src.config.overrides import parse
from src.errors import UserError, sentence
from src.runs import files, moved
from src.runs.trust import check

if TYPE_CHECKING:
    import pandas as pd

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # without its compiled part PyYAML is slower, and as good
# Parts of a configuration, each with its class, and keys without which it is not that of a run.
PARTS, KEYS = ("data", "model", "task", "trainer"), {"seed", "threads", "monitor", "test_weights"}
# Keys of result.json, in their order.
CONTENT = (
    *("status", "error", "data", "model", "protocol", "seed", "split_seed", "monitor", "best", "last", "test", "documented"),
    *("seconds", "parameters", "device", "threads", "fingerprint", "git", "versions", "command", "started"),
)
PACKAGES = ("torch", "lightning", "hydra-core", "torchmetrics", "scikit-learn", "pandas", "numpy")

# Metrics of runs that an earlier version left without `higher_is_better`, and the same of a roll-out; higher values of all
# their other metrics are better. A new metric needs no entry: its run stores the direction.
ERRORS_IN_OLD_RUNS = ("loss", "mae", "mape", "smape", "mase", "mse", "rmse", "calibration_error")


def higher_is_better(result: Mapping[str, Any], metric: str) -> bool | None:
    """Return whether a higher value of a metric is better.

    Args:
        result: Content of the run's ``result.json``.
        metric: Name of the metric, with or without its split (``val/r2``).

    Returns:
        None where the metric itself has no better direction.
    """
    name, stored = metric.rpartition("/")[2], result.get("higher_is_better")
    return stored.get(name) if stored else name.removeprefix("rollout_") not in ERRORS_IN_OLD_RUNS


def start(**values: Any) -> dict[str, Any]:
    """Return a result with every key of the contract; its status is interrupted until the run has finished."""
    begun = {
        "status": "interrupted",
        "seconds": dict.fromkeys(("setup", "fit", "test", "total")),
        "git": commit(),
        "versions": versions(),
        "command": f"python -m src.train {shlex.join(sys.argv[1:])}".rstrip(),
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    return dict.fromkeys(CONTENT) | begun | values


@functools.cache
def versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {package: version(package) for package in PACKAGES}


@functools.cache
def commit() -> str | None:
    """Return the checkout's commit, with ``+`` where files differ from it; None outside a git checkout."""
    try:
        git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def write(folder: Path, result: dict[str, Any]) -> None:
    """Write ``result.json`` whole or not at all; NaN and infinity, which JSON lacks, become null."""
    files.write(json.dumps(finite(result), indent=2, allow_nan=False) + "\n", folder / "result.json")


def finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read(folder: Path | str) -> dict[str, Any]:
    """Read ``result.json``.

    Raises:
        UserError: The folder holds no run, or a damaged one.
    """
    path = Path(folder) / "result.json"
    try:
        result = json.loads(path.read_text())
        if missing := [key for key in CONTENT if key not in result]:
            raise ValueError(f"{', '.join(missing)} missing")
        parts = [result, result["seconds"], *(result[key] or {} for key in ("best", "last", "test", "documented"))]
        names = [result[key] or "" for key in ("status", "data", "model", "protocol", "monitor", "started", "fingerprint")]
        numbers = [result[key] or 0 for key in ("seed", "split_seed", "parameters")]
        typed = [(parts, dict), (names, str), (numbers, int)]
        if not all(isinstance(value, kind) for values, kind in typed for value in values):
            raise ValueError("its values have wrong types")
        return result
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"run={folder}: no run is there; give the folder that a run printed") from None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error


def configuration(folder: Path, trust: bool = False) -> DictConfig:
    """Return the configuration of a run, to instantiate its parts: the names of its classes are checked.

    Args:
        folder: Folder of the run.
        trust: Admit classes that are not on the list of :mod:`src.runs.trust`, and print them.

    Raises:
        UserError: The file is missing or damaged, or names a class that is not on the list.
    """
    config = stored(folder)
    config.data.pop("present", None)  # looks for the files of a new run
    check(config, folder / ".hydra" / "config.yaml", trust)
    config.trust = trust
    return config


def stored(folder: Path) -> DictConfig:
    """Return the configuration of a run as it was composed, to read its values; nothing may be instantiated from it.

    Raises:
        UserError: The file is missing, damaged, or no configuration of a run.
    """
    path = folder / ".hydra" / "config.yaml"
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; without it a run cannot be rebuilt")
    try:
        config = OmegaConf.load(path)
    except Exception as error:
        raise UserError(f"{path}: cannot be read ({sentence(error)})") from error
    parts = [config.get(name) if isinstance(config, DictConfig) else None for name in PARTS]
    if not all(isinstance(part, DictConfig) and "_target_" in part for part in parts) or not set(config) >= KEYS:
        raise UserError(f"{path}: is not the configuration of a run; give the folder that a run printed")
    current: Any = OmegaConf.create(moved.current_names(OmegaConf.to_container(config)))
    return current


def epochs(history: pd.DataFrame, monitor: str, higher: bool, best: int | None = None) -> dict[str, Any]:
    """Return ``best`` and ``last`` with their metrics: the epoch that is best by ``monitor``, or given, and the last one."""
    table = history.set_index("epoch").filter(like="/").astype(float)
    measured: Any = table[monitor].dropna() if monitor in table else []
    if best is None and len(measured):
        best = measured.idxmax() if higher else measured.idxmin()
    numbers = {"best": best, "last": history["epoch"].iloc[-1] if len(history) else None}
    return {key: None if n is None else {"epoch": int(n)} | table.loc[n].to_dict() for key, n in numbers.items()}


def number(run: Path | str) -> int:
    """Return the number of a sweep's job, with which the name of its folder begins; -1 for other names."""
    digits = Path(run).name.partition("_")[0]
    return int(digits) if digits.isdecimal() else -1


def overrides(run: Path | str) -> list[str]:
    """Return the overrides of a run's command line, ``key=value``.

    Raises:
        UserError: The file that holds them is damaged.
    """
    path = Path(run) / ".hydra" / "overrides.yaml"
    try:
        # OmegaConf would take twenty times as long, seconds for thousands of runs
        stored = [str(text) for text in yaml.load(path.read_text(), LOADER) or []]
        parse(stored)
        return stored
    except FileNotFoundError:
        return []
    except (yaml.YAMLError, OSError, ValueError, TypeError, UserError) as error:
        raise UserError(f"{path}: cannot be read ({sentence(error)})") from error
