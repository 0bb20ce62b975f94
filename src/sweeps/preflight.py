"""Checks of a sweep before its first job, and before torch is imported."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from src.config import overrides
from src.config.compose import explain
from src.config.schema import ignored
from src.errors import UserError
from src.runs.files import shown
from src.sweeps import search
from src.sweeps.arguments import given_to, is_resumed
from src.sweeps.compose import JobLoader
from src.sweeps.stacked.groups import unsuitable
from src.training.launch import checked as checked_run

MANY = 1000  # jobs; a larger sweep must be confirmed


def checked(config: DictConfig, loader: ConfigLoader) -> tuple[int, list[str]]:
    """Check a sweep and all its jobs.

    Args:
        config: Composed configuration of the sweep, Hydra's part included.
        loader: Hydra's loader of configurations.

    Returns:
        The number of jobs, and lines for the user about overrides that some of them ignore.

    Raises:
        UserError: The sweep or one of its jobs cannot work.
    """
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
    given = [*params, *config.hydra.overrides.task]
    jobs: Iterable[list[str]]
    if search.searches(config):
        total, jobs = search.planned(config, given)
    else:
        values = alternatives(given, loader)
        total, jobs = prod(map(len, values)), map(list, product(*map(differing, values)))
    if total > MANY and not config.sweep.confirm:  # somebody may have mistyped it
        raise UserError(f"this sweep has {total:,} jobs; if you want them all, add sweep.confirm=true")
    if config.hydra.launcher._target_.endswith("SlurmLauncher") and not shutil.which("srun"):
        raise UserError(
            "hydra/launcher: this machine has no srun; start the sweep where SLURM is, or use hydra/launcher=submitit_local"
        )
    check_folder(config)
    notes = check_jobs(jobs, config, loader)
    if search.searches(config):
        search.check_sampler(config)
    return total, notes


def alternatives(given: list[str], loader: ConfigLoader) -> list[list[str]]:
    """Return for each key of a sweep over lists and ranges the overrides that its jobs have, as Hydra's sweeper does.

    Raises:
        UserError: A key has no value, or an interval is to be drawn from.
    """
    found: dict[str, list[str]] = {}
    for override in overrides.parse(given, loader):
        key, several = override.get_key_element(), override.is_sweep_override()
        if several and not override.is_discrete_sweep():
            raise UserError(f"{override.input_line}: is an interval to draw from; add sweep=search or sweep=random")
        values = override.sweep_string_iterator() if several else [override.get_value_element_as_str()]
        found[key] = [f"{key}={value}" for value in values]
        if not found[key]:
            raise UserError(f"{override.input_line}: names no value, so this sweep has no jobs")
        if several and key in ("data.folds", "data.repeats"):
            raise UserError(f"{override.input_line}: the jobs of a sweep have one number of folds; start a sweep for each")
    return list(found.values())


def differing(values: list[str]) -> list[str]:
    """Return the overrides of one key without valid seeds or folds but the first: for all of them one check will do."""
    seeds = [text for text in values if re.fullmatch(r"(seed|data\.fold)=\d{1,9}", text)]
    return [text for text in values if text not in seeds[1:]]


def check_folder(config: DictConfig) -> None:
    """Raise a UserError if the sweep would run into another one, or its jobs could not be recognised."""
    folder = Path(config.hydra.sweep.dir)
    given = {overrides.key(text) for text in given_to(config)}
    if is_resumed(config):
        return
    if "hydra.sweep.subdir" in given:
        raise UserError("hydra.sweep.subdir: leave it as it is; the folder of a job begins with the number of the job")
    if "hydra.sweep.dir" in given and (folder / "multirun.yaml").is_file():
        raise UserError(
            f"hydra.sweep.dir={folder}: a sweep is there already; resume it with python -m src.train -m "
            f"resume={shown(folder)}, or name another folder"
        )


def check_jobs(jobs: Iterable[list[str]], config: DictConfig, loader: ConfigLoader) -> list[str]:
    """Check the configuration of each job; return a line for each override that baselines ignore.

    Raises:
        UserError: One of them cannot work, or none can be stacked where the launcher is to stack them.
    """
    fast: Any = loader if isinstance(loader, JobLoader) else JobLoader(loader)
    notes, reasons = set(), []
    stored = config.hydra.sweep.dir if is_resumed(config) else None
    for job in jobs:
        try:
            composed = fast.load_sweep_config(config, job)
            experiment = checked_run(composed, config.hydra.job.config_name, job, several=True, stored=stored)
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(f"job {' '.join(job)}: {explain(error, config.hydra.job.config_name, job)}") from error
        except UserError as error:
            raise UserError(f"job {' '.join(job)}: {error}") from error
        if experiment.model.get("replicas", 1) != 1:
            raise UserError("model.replicas: give it once on the command line, as a number")
        reasons.append(unsuitable(experiment, composed.hydra.runtime.choices.model))
        notes |= set(ignored(experiment, job))
    if config.hydra.launcher._target_.endswith(".Stacked") and all(reasons):
        raise UserError(f"model.replicas, hydra/launcher=stacked: {reasons[0]}")
    return [f"{note}: ignored by the baselines of this sweep, which have no training loop" for note in sorted(notes)]
