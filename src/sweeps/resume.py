"""The command line of a sweep that is resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.config.overrides import key
from src.errors import UserError, sentence
from src.runs import result as results
from src.runs import settings, trust
from src.sweeps import search

FIRST = "hydra.sweep.subdir='${sum:${hydra.job.num},%d}_${hydra.runtime.choices.data}_${hydra.runtime.choices.model}'"


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
    kept = [text for text in old if key(text) not in {*new, "trust"}]
    trust.check_overrides(kept, folder / "multirun.yaml", "trust=true" in given)
    flags = [text for text in arguments if text.startswith("-")]
    return [*flags, *kept, *(text for text in given if text != resume), f"hydra.sweep.dir='{folder}'", FIRST % first]


def placed(override: str, cwd: str) -> str:
    """An override whose path, if it is one, means the same in another folder than ``cwd``, where it was given."""
    name, _, value = override.partition("=")
    moved = key(override) in ("data_dir", *settings.PATHS) and value != "null" and Path(cwd) != Path.cwd()
    return f"{name}={Path(cwd, value)}" if moved and "," not in value else override


def given_to(config: Any) -> list[str]:
    """The overrides of a sweep, which may hold interpolations that mean something to its jobs only."""
    stored: Any = OmegaConf.to_container(config.hydra.overrides, resolve=False)
    return [*stored["task"], *stored["hydra"]]


def goes_on(config: DictConfig) -> bool:
    """Whether a sweep goes on in the folder of an earlier launch (see :func:`resumed`)."""
    return any(text.startswith("hydra.sweep.subdir='${sum:") for text in given_to(config))
