"""The command line: Hydra composes and launches; its errors become one sentence and exit status 2.

Nothing here imports torch, so that ``--help`` and every configuration error answer at once.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable
from typing import Any

import hydra
from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from src.config.compose import CONF, GROUPS, compose, keys, options, reference
from src.config.overrides import given, unreadable
from src.errors import UserError, nearest, refuse, sentence

# Hydra's plugins, and the extra of pyproject.toml that brings each.
EXTRAS = {
    "hydra/launcher/joblib": "joblib",
    "hydra/launcher/submitit_local": "submitit",
    "hydra/launcher/submitit_slurm": "submitit",
    "hydra/launcher/ray": "ray",
    "hydra/sweeper/optuna": "optuna",
}


def app(task: Callable[[DictConfig], Any], config_name: str) -> Callable[[], None]:
    """Return the ``main`` of an entry point: ``task`` run by Hydra on ``conf/<config_name>.yaml``."""

    begun = []

    @functools.wraps(task)
    def run_task(config: DictConfig) -> Any:
        begun.append(True)
        try:
            return task(config)
        except UserError as error:
            refuse(error)
        except MissingMandatoryValue as error:
            refuse(f"{error.full_key}: must be given, as in {error.full_key}=...")

    def main() -> None:
        os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises errors as they are, and this module prints them
        begun.clear()
        try:
            if {"-h", "--help"} & set(sys.argv[1:]):
                return print(help_text(task.__globals__["__doc__"], config_name, sys.argv[1:]))
            hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(run_task)()
        except Exception as error:
            if begun:  # the task's own, which it has recorded
                raise
            refuse(explain(error, config_name, sys.argv[1:]))
        except KeyboardInterrupt:
            raise SystemExit(130) from None

    return main


def help_text(usage: str, config_name: str, arguments: list[str]) -> str:
    """Return usage, groups with their options, and the chosen configuration; Hydra's own help takes twice as long."""
    config = compose(config_name, given(arguments))
    lines = [usage.strip(), ""]
    if config_name == "train":
        lines += ["Choose with group=option:", ""]
        lines += [f"  {group}: {', '.join(options(group))}" for group in GROUPS] + [""]
    return "\n".join([*lines, "Set any value with key=value:", "", OmegaConf.to_yaml(config)])


def explain(error: Exception, config_name: str, arguments: list[str]) -> str:
    """Return one sentence that names the override Hydra could not apply, and the nearest name that it could."""
    if isinstance(error, OverrideParseException):
        return unreadable(error.override)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        if extra := EXTRAS.get(error.missing_cfg_file):
            choice = "=".join(error.missing_cfg_file.rsplit("/", 1))
            return f"{choice}: needs a package that is not installed; pip install -e '.[{extra}]'"
        group, _, name = error.missing_cfg_file.rpartition("/")
        names = [*options(group), *(path.rpartition("/")[2] for path in EXTRAS if path.startswith(f"{group}/"))]
        return f"{group}={name}: there is no such {group or 'config'}; {nearest(name, names)}"
    if unknown := re.search(r"Could not (?:override|append to config|delete).*?'?([\w.@/-]+)'?[.:]", str(error)):
        return unknown_key(unknown[1], keys(reference(config_name, given(arguments))))
    return sentence(error)


def unknown_key(key: str, names: list[str]) -> str:
    """Return the sentence for a key that no configuration has."""
    return f"{key}: there is no such key; {nearest(key, [*names, *GROUPS])}"
