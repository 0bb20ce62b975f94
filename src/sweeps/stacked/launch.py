"""The launcher of stacked jobs: it groups them, trains each group at once, and hands every job its outcome."""

from __future__ import annotations

import functools
import time
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.utils import setup_globals
from hydra.types import TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from src.runs import result as results
from src.runs.settings import absolute
from src.sweeps import job
from src.sweeps.stacked import groups
from src.sweeps.stacked.fit import train_stack
from src.sweeps.stacked.stack import Unstackable
from src.training import run
from src.training.build import data_set, quiet, settle
from src.training.fit import device


class Job(NamedTuple):
    """A job to train: its folder, its configuration, and Hydra's part of that."""

    folder: Path
    config: DictConfig
    hydra: Any


def trained(launcher: Any, job_overrides: Sequence[Sequence[str]], first: int) -> TaskFunction:
    """Train the jobs that can be stacked; return the function that then runs each job of the sweep.

    Args:
        launcher: Hydra's launcher, set up.
        job_overrides: Overrides of each job.
        first: Number of the first job.
    """
    setup_globals()
    stacks: dict[Hashable, list[Job]] = defaultdict(list)
    reasons: Counter[str] = Counter()
    outcomes: dict[Path, job.Outcome] = {}
    for number, overrides in enumerate(job_overrides, first):
        each = composed(launcher, overrides, number)
        decision = job.decide(each.folder, each.config, each.hydra)
        why = groups.hindrance(each.config, each.hydra.runtime.choices.model)
        if decision.action == "resume":
            why = "interrupted runs are resumed one at a time"
        if why:
            reasons[why] += 1
        elif decision.action == "run":
            job.prepare(decision, each.folder, each.config)
            stacks[groups.group(each.config)].append(each)
    for jobs in stacks.values():
        try:
            outcomes |= outcomes_of(jobs)
        except Unstackable as error:
            reasons[str(error)] += len(jobs)
    for why, count in reasons.items():
        print(f"hydra/launcher=stacked: {why}; jobs trained one at a time: {count}", flush=True)
    return functools.partial(job.launch, outcomes=outcomes)


def composed(launcher: Any, overrides: Sequence[str], number: int) -> Job:
    """Compose a job as Hydra's basic launcher does."""
    config = launcher.hydra_context.config_loader.load_sweep_config(launcher.config, list(overrides))
    with open_dict(config):
        config.hydra.job.id = config.hydra.job.num = number
    folder = Path(config.hydra.sweep.dir, config.hydra.sweep.subdir).absolute()
    return Job(folder, OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]), config.hydra)


def outcomes_of(jobs: list[Job]) -> dict[Path, job.Outcome]:
    """Train jobs as one stack; return the outcome of each.

    Raises:
        Unstackable: They cannot be trained as one.
    """
    if len(jobs) == 1:
        raise Unstackable("no other job differs from this one in seed, optimizer settings, dropout or l1 alone")
    begun, config = time.perf_counter(), jobs[0].config
    quiet()
    settle(config)
    try:
        accelerator, data = device(config.trainer.accelerator), data_set(config)
        for each in jobs:
            begin(each)
        statuses = train_stack({each.folder: each.config for each in jobs}, data, accelerator)
    except Unstackable:
        raise
    except Exception as error:  # each job records it
        return {each.folder: error for each in jobs}
    seconds = (time.perf_counter() - begun) / len(jobs)
    return {folder: (status, seconds) for folder, status in statuses.items()}


def begin(each: Job) -> None:
    """Leave in the folder of a job what resuming it needs, should this process be killed."""
    (each.folder / ".hydra").mkdir(parents=True, exist_ok=True)
    stored, overrides = each.config.copy(), each.hydra.overrides.task
    absolute(stored)
    OmegaConf.save(stored, each.folder / ".hydra" / "config.yaml")
    OmegaConf.save(overrides, each.folder / ".hydra" / "overrides.yaml")
    result = run.new_result(each.config, each.hydra.runtime.choices, list(overrides))
    results.write(each.folder, result | {"status": "interrupted"})
