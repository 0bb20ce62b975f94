"""The command line of a sweep: recognised, expanded and resumed, before Hydra reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.config import keys, overrides
from src.errors import UserError, sentence
from src.runs import files, settings, trust
from src.runs import result as results
from src.sweeps import search

# Options of Hydra that show something and run nothing.
SHOW = {"-h", "--help", "--hydra-help", "--version", "-c", "--cfg", "-i", "--info", "-sc", "--shell-completion"}
STACKED = "hydra/launcher=stacked"
MULTIRUN = {"-m", "--multirun"}
# Numbers the jobs of a resumed sweep after those that are there.
SUBDIR = "hydra.sweep.subdir='${sum:${hydra.job.num},%d}_${hydra.runtime.choices.data}_${hydra.runtime.choices.model}'"


def launches_sweep(arguments: list[str]) -> bool:
    """Return True if a command line launches several runs: by ``-m``, ``hydra.mode``, ``sweep=`` or ``model.replicas=``."""
    if SHOW & set(arguments):
        return False
    try:
        given = overrides.keyed(overrides.given(overrides.typed(arguments)))
    except UserError:  # Hydra will say so
        return False
    several = given.get("hydra.mode") == "MULTIRUN" or given.get("sweep", "null") != "null" or replicas(given) > 1
    return bool(MULTIRUN & set(arguments)) or several


def replicas(given: dict[str, str]) -> int:
    """Return the number of replicas that overrides ask for; 1 for a value that is no number, which the schema refuses."""
    number = given.get("model.replicas", "1")
    return int(number) if number.isdecimal() else 1


def expanded(arguments: list[str]) -> list[str]:
    """Replace ``model.replicas=N`` by a sweep over N seeds, from ``seed`` on, with ``hydra/launcher=stacked``.

    Raises:
        UserError: The other arguments contradict it.
    """
    texts = overrides.given(arguments)
    given = overrides.keyed(texts)
    number, seed = replicas(given), given.get("seed", "0")
    if number < 2 or SHOW & set(arguments):
        return arguments
    if not seed.isdecimal():
        raise UserError(f"seed={seed}: with model.replicas={number} it is the first of {number} seeds; give one number")
    if "resume" in given:
        raise UserError("model.replicas: interrupted replicas are resumed one at a time; leave it out beside resume=")
    if "hydra.run.dir" in given:
        raise UserError("hydra.run.dir: model.replicas leaves a folder of runs, as a sweep does; set hydra.sweep.dir")
    if "hydra/launcher" in given:
        raise UserError(f"hydra/launcher: model.replicas={number} has a launcher of its own; leave one of them out")
    flags = [] if MULTIRUN & set(arguments) else ["-m"]
    kept = [text for text in arguments if text not in texts or overrides.key(text) not in ("model.replicas", "seed")]
    return [*flags, *kept, f"seed=range({seed},{int(seed) + number})", STACKED]


def resumed(arguments: list[str]) -> list[str]:
    """Replace ``-m resume=DIR`` by the overrides of the sweep in DIR and those beside it.

    What is missing runs: jobs that never began or have failed, an interrupted one from its last epoch on. Overrides beside
    it may make the sweep larger (``seed=0,1,2,3``), for jobs are recognised by their configuration. Jobs that were stacked
    are resumed one at a time.

    Raises:
        UserError: There is no sweep to resume.
    """
    given = {text: overrides.key(text) for text in overrides.given(arguments)}
    name = overrides.keyed(given).get("resume", "null")
    if name == "null":
        return arguments
    folder, multirun = Path(name), launches_sweep(arguments)
    if not (folder / "multirun.yaml").is_file():
        if multirun:
            raise UserError(f"resume={name}: no sweep is there; give the folder that a sweep printed")
        return arguments
    if not multirun:
        raise UserError(f"resume={name}: is a sweep; resume it with python -m src.train -m resume={files.shown(folder)}")
    changed = [text for text, key in given.items() if keys.of(key).changes != "nothing"]
    if changed and (folder / search.STUDY).is_file():
        raise UserError(
            f"{changed[0]}: a resumed search stays as it was; only hydra.sweeper.n_trials and launcher may change"
        )
    try:
        stored: Any = OmegaConf.load(folder / "multirun.yaml")
        old = [placed(text, str(stored.hydra.runtime.cwd)) for text in given_to(stored)]
    except Exception as error:
        raise UserError(f"{folder / 'multirun.yaml'}: cannot be read ({sentence(error)})") from error
    replaced = {*given.values(), "resume", "trust", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.mode"}
    first = 1 + max((results.number(path) for path in folder.iterdir() if path.is_dir()), default=-1)
    kept = [text for text in old if overrides.key(text) not in replaced and text != STACKED]
    trust.check_overrides(kept, folder / "multirun.yaml", "trust=true" in given)
    flags = [text for text in arguments if text not in given]
    beside = [text for text, key in given.items() if key != "resume"]
    return [*flags, *kept, *beside, overrides.written("hydra.sweep.dir", str(folder)), SUBDIR % first]


def placed(override: str, cwd: str) -> str:
    """Return an override whose path, if it is one, is valid outside of ``cwd``, where it was given."""
    (parsed,) = overrides.parse([override])
    key, value, several = overrides.key(parsed), overrides.text(parsed), parsed.is_sweep_override()
    moved = key in settings.PATHS and value != "null" and not several and Path(cwd) != Path.cwd()
    return overrides.written(key, str(Path(cwd, value))) if moved else override


def given_to(config: Any) -> list[str]:
    """Return the overrides of a sweep, which may hold interpolations that only its jobs resolve."""
    stored: Any = OmegaConf.to_container(config.hydra.overrides, resolve=False)
    return [*stored["task"], *stored["hydra"]]


def is_resumed(config: DictConfig) -> bool:
    """Return True if a sweep runs in the folder of an earlier launch (see :func:`resumed`)."""
    return any(text.startswith("hydra.sweep.subdir='${sum:") for text in given_to(config))
