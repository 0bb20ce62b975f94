"""A sweep around its jobs: how many there are, a folder that is its own, what an earlier launch has done, the summary."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from src import identity, replicas, results, search, stopping
from src.cli import sentence
from src.errors import UserError
from src.output import shown
from src.watch import Watch

MANY = 1000  # jobs, for more of which a sweep must be confirmed
FIRST = "hydra.sweep.subdir='${sum:${hydra.job.num},%d}_${hydra.runtime.choices.data}_${hydra.runtime.choices.model}'"


@dataclass
class Sweep:
    """The sweep that this process has launched."""

    folder: Path
    total: int
    around: contextlib.ExitStack


_launched: list[Sweep] = []

# Between this process and the one that watches over it (src.supervise): where to write the folder of the sweep, and the
# jobs that have crashed, which do not run again.
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


def resumed(arguments: list[str]) -> list[str]:
    """Replaces ``-m resume=DIR`` by the overrides of the sweep in DIR and what is given beside it.

    What is missing runs: jobs that were never begun or have failed, an interrupted one from its last epoch on. What is given
    beside it may make the sweep larger (``seed=0,1,2,3``), for jobs are known by what they come to.

    Raises:
        UserError: There is no sweep to go on with.
    """
    given = [text for text in arguments if not text.startswith("-")]
    resume = next((text for text in reversed(given) if text.startswith("resume=")), "resume=null")
    name = resume.partition("=")[2].strip("'\"")
    if name == "null":
        return arguments
    folder, multi = Path(name), {"-m", "--multirun"} & set(arguments)
    if not (folder / "multirun.yaml").is_file():
        if multi:
            raise UserError(f"resume={name}: no sweep is there; give the folder that a sweep printed")
        return arguments
    if not multi:
        raise UserError(f"resume={name}: is a sweep; go on with it by python -m src.train -m resume={name}")
    if (folder / search.STUDY).is_file() and (other := [text for text in given if not text.startswith(search.GOES_ON)]):
        raise UserError(f"{other[0]}: a search goes on as it was; only its hydra.sweeper.n_trials and launcher may change")
    try:
        stored: Any = OmegaConf.load(folder / "multirun.yaml")
        old = [placed(text, str(stored.hydra.runtime.cwd)) for text in given_to(stored)]
    except Exception as error:
        raise UserError(f"{folder / 'multirun.yaml'}: cannot be read ({sentence(error)})") from error
    new = {key(text) for text in given} | {"resume", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.mode"}
    first = 1 + max((results.number(path) for path in folder.iterdir() if path.is_dir()), default=-1)
    kept = [text for text in old if key(text) not in new]
    flags = [text for text in arguments if text.startswith("-")]
    return [*flags, *kept, *(text for text in given if text != resume), f"hydra.sweep.dir='{folder}'", FIRST % first]


def placed(override: str, cwd: str) -> str:
    """An override whose path, if it is one, means the same in another folder than ``cwd``, where it was given."""
    name, _, value = override.partition("=")
    moved = key(override) in ("data_dir", *identity.PATHS) and value != "null" and Path(cwd) != Path.cwd()
    return f"{name}={Path(cwd, value)}" if moved and "," not in value else override


def key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def given_to(config: Any) -> list[str]:
    """The overrides of a sweep, which may hold interpolations that mean something to its jobs only."""
    stored: Any = OmegaConf.to_container(config.hydra.overrides, resolve=False)
    return [*stored["task"], *stored["hydra"]]


def goes_on(config: DictConfig) -> bool:
    """Whether a sweep goes on in the folder of an earlier launch (see :func:`resumed`)."""
    return any(text.startswith("hydra.sweep.subdir='${sum:") for text in given_to(config))


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
        around.enter_context(stopping.listening())
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
    from src.sweep import report

    sweep = _launched.pop()
    sweep.around.close()
    bad = report(sweep.folder)
    ended = sum(result["status"] != "interrupted" for result in told(sweep.folder))
    if ended < sweep.total:
        print(f"{ended} of {sweep.total} jobs done; go on with: python -m src.train -m resume={shown(sweep.folder)}")
    if why is not None and not isinstance(why, SystemExit):
        raise why
    if stopping.asked():
        raise SystemExit(130)
    if bad or why:
        raise SystemExit(1)


def told(folder: Path) -> Iterator[dict[str, Any]]:
    for path in folder.glob("*/result.json"):
        with contextlib.suppress(UserError):
            yield results.read(path.parent)


def done(folder: Path, config: DictConfig, hydra: Any) -> float | None:
    """Settles a job with what an earlier launch of its sweep has left of it.

    Returns:
        The best value of a job that has come to its end; its new ``folder`` is gone. None if it is to run: in ``folder``,
        where an interrupted run now is that ``config.resume`` then names, and of a failed one nothing is left.
    """
    if stopping.asked() and folder not in replicas.fitted:
        shutil.rmtree(folder)
        if _launched:
            raise KeyboardInterrupt
        return float("nan")  # in a process of its own, which must not end
    if results.number(folder) == hydra.job.num:
        return None
    others = sorted(path for path in folder.parent.iterdir() if path != folder and path.is_dir())
    choices = {name: hydra.runtime.choices[name] for name in ("data", "model", "protocol")}
    earlier = identity.find(others, config, list(hydra.overrides.task), **choices)
    if earlier is None:
        return None
    result = results.read(earlier)
    if result["status"] in identity.DONE or earlier.resolve() in crashed:
        shutil.rmtree(folder)
        return result["best"][config.monitor] if result["best"] else float("nan")
    if result["status"] == "interrupted" and (earlier / "checkpoints" / "last.ckpt").is_file():
        shutil.rmtree(folder)
        earlier.rename(folder)
        config.resume = str(folder)
    else:
        shutil.rmtree(earlier)
    return None
