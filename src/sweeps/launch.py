"""A sweep around its jobs: how many there are, a folder that is its own, what an earlier launch has done, the summary."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from src.config.app import explain
from src.config.compose import compose, jobs
from src.config.overrides import key
from src.config.schema import ignored
from src.errors import UserError, refuse, sentence
from src.runs import result as results
from src.runs.files import shown
from src.runs.folder import claim
from src.sweeps import search
from src.sweeps.progress import Watch
from src.sweeps.resume import given_to, goes_on
from src.sweeps.stacked import plan
from src.training import interrupt
from src.training.preflight import checked

MANY = 1000  # jobs, for more of which a sweep must be confirmed


@dataclass
class Sweep:
    """The sweep that this process has launched."""

    folder: Path
    total: int
    around: contextlib.ExitStack


_launched: list[Sweep] = []

# Between this process and the one that watches over it (src.sweeps.supervisor): where to write the folder of the
# sweep, and the jobs that have crashed, which do not run again.
place: int | None = None
crashed: list[Path] = []


def count(overrides: list[str]) -> int:
    """The number of jobs of a sweep over lists and ranges of values, without making a list of them.

    Raises:
        UserError: There are none.
    """
    parsed = OverridesParser.create(GlobalHydra.instance().config_loader()).parse_overrides(overrides)
    sizes = {}
    for override in parsed:
        values = sum(1 for _ in override.sweep_string_iterator()) if override.is_discrete_sweep() else 1
        sizes[override.get_key_element()] = values
        if not values:
            raise UserError(f"{override.input_line}: names no value, so this sweep has no jobs")
    return prod(sizes.values())


def confirmed(jobs: int, confirm: bool) -> None:
    """Raises a UserError if a sweep is so large that somebody may have mistyped it."""
    if jobs > MANY and not confirm:
        raise UserError(f"this sweep has {jobs:,} jobs; if you want them all, add sweep.confirm=true")


def check_launcher(config: DictConfig) -> None:
    """Raises a UserError if the jobs cannot be launched from this machine."""
    if config.hydra.launcher._target_.endswith("SlurmLauncher") and not shutil.which("srun"):
        raise UserError(
            "hydra/launcher: this machine has no srun; start the sweep where SLURM is, or take hydra/launcher=submitit_local"
        )


def check_folder(config: DictConfig) -> None:
    """Raises a UserError if the sweep would run into another one, or its jobs could not be told apart."""
    folder = Path(config.hydra.sweep.dir)
    given = {key(text) for text in given_to(config)}
    if goes_on(config):
        return
    if "hydra.sweep.subdir" in given:
        raise UserError("hydra.sweep.subdir: leave it as it is; a job is known by the number with which its folder begins")
    if "hydra.sweep.dir" in given and (folder / "multirun.yaml").is_file():
        raise UserError(
            f"hydra.sweep.dir={folder}: a sweep is there already; go on with it by "
            f"python -m src.train -m resume={folder}, or name another folder"
        )


def begin(folder: Path, total: int) -> None:
    """Makes the folder this process's own, and from now on tells of its jobs; :func:`summed_up` ends it.

    Raises:
        UserError: Another process is at work there.
    """
    with contextlib.ExitStack() as around:
        try:
            around.enter_context(FileLock(folder / ".lock", timeout=0))  # gone with the process, however it ends
        except Timeout:
            raise UserError(f"{folder}: another process is at work on this sweep; wait for it, or stop it") from None
        around.enter_context(interrupt.stop_after_epoch())
        around.enter_context(Watch(folder, total, [path for path in folder.iterdir() if path.is_dir()]))
        _launched[:] = [Sweep(folder, total, around.pop_all())]
    if place is not None:
        os.write(place, str(folder).encode())


@contextlib.contextmanager
def summed_up() -> Iterator[None]:
    """Ends the sweep that was begun inside, whatever stops it: its summary, how to go on, and an exit status."""
    _launched.clear()
    why: BaseException | None = None
    try:
        yield
    except BaseException as error:
        if not _launched:
            raise
        why = error
    if not _launched:
        return
    from src.sweeps.summary import report

    sweep, stopped = _launched.pop(), interrupt.requested()
    sweep.around.close()
    bad = report(sweep.folder)
    ended = sum(result["status"] != "interrupted" for result in told(sweep.folder))
    if ended < sweep.total:
        print(f"{ended} of {sweep.total} jobs done; go on with: python -m src.train -m resume={shown(sweep.folder)}")
    if why is not None and not isinstance(why, SystemExit):
        raise why
    if stopped:
        raise SystemExit(130)
    if bad or why:
        raise SystemExit(1)


def told(folder: Path) -> Iterator[dict[str, Any]]:
    for path in folder.glob("*/result.json"):
        with contextlib.suppress(UserError):
            yield results.read(path.parent)


class SweepLaunch(Callback):
    """Hydra's callback for a sweep of ``src.train`` (``conf/hydra/default.yaml``).

    Hydra turns an exception in a callback into a warning and goes on, so each ends the process itself.
    """

    def on_multirun_start(self, config: DictConfig, config_name: str = "train", **_: Any) -> None:
        try:
            notes: set[str] = set()
            params = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
            given = [*params, *config.hydra.overrides.task]
            if search.searches(config):
                plan.plan([], config.hydra)
                total, each = search.planned(config, given)
                confirmed(total, bool(config.sweep.confirm))
            else:
                search.listed(given)
                total = count(given)
                confirmed(total, bool(config.sweep.confirm))
                sweep = jobs(given)
                plan.plan(sweep, config.hydra)
                each = differing(sweep)
            check_launcher(config)
            check_folder(config)
            stored = config.hydra.sweep.dir if goes_on(config) else None
            for overrides in each:
                try:
                    experiment = checked(
                        composed(config_name, overrides), config_name, overrides, several=True, stored=stored
                    )
                except UserError as error:
                    raise UserError(f"job {' '.join(overrides)}: {error}") from error
                plan.check(experiment, config.hydra.runtime.choices.model)
                notes |= set(ignored(experiment, overrides))
            if search.searches(config) and config.hydra.sweeper.sampler:
                search.check_sampler(config)
            folder = Path(config.hydra.sweep.dir)
            folder = folder if goes_on(config) else claim(folder)
            begin(folder, total)
        except Exception as error:
            refuse(sentence(error, named=not isinstance(error, UserError | HydraException)))
        for note in sorted(notes):
            print(f"{note}: ignored by the baselines of this sweep, which have no training loop")
        config.hydra.sweep.dir = str(folder)
        with open_dict(config):
            # the jobs compose their configuration anew, from these overrides
            config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{folder.absolute()}'")


def differing(sweep: list[list[str]]) -> list[list[str]]:
    """The jobs of a sweep less those that differ from an earlier one by a good seed alone, which needs no check."""
    kept: dict[tuple[str, ...], list[str]] = {}
    for overrides in sweep:
        good = re.compile(r"seed=\d{1,9}")
        kept.setdefault(tuple(text for text in overrides if not good.fullmatch(text)), overrides)
    return list(kept.values())


def composed(config_name: str, overrides: list[str]) -> DictConfig:
    """Composes one job of a sweep; what Hydra says against it becomes a UserError."""
    try:
        return compose(config_name, overrides, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, config_name, overrides)) from error
