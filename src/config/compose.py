"""Hydra for Labbook: configurations composed from `conf/`, the command line, and its errors in one sentence.

Nothing here imports torch, so that ``--help`` and every configuration error answer at once.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from src.config.overrides import given, parse, unreadable
from src.errors import UserError, nearest, refuse, sentence

CONF = Path(__file__).resolve().parents[2] / "conf"
GROUPS = (
    *("data", "model", "task", "recipe", "protocol", "scheduler", "trainer", "accelerator", "callbacks", "logger"),
    *("sweep", "debug"),
)
# Hydra's plugins; the first part of a name is the extra of pyproject.toml that brings it.
PLUGINS = (
    *("hydra/launcher/joblib", "hydra/launcher/submitit_local", "hydra/launcher/submitit_slurm", "hydra/launcher/ray"),
    "hydra/sweeper/optuna",
)

OmegaConf.register_new_resolver("if", lambda condition, yes, no: yes if condition else no, replace=True)
OmegaConf.register_new_resolver("space", lambda model: OmegaConf.load(CONF / "spaces.yaml").get(model, {}), replace=True)
OmegaConf.register_new_resolver("sum", lambda *numbers: sum(numbers), replace=True)


def options(group: str) -> list[str]:
    """Return the names of the options of a config group."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def reference(config_name: str, overrides: list[str]) -> DictConfig:
    """Return the configuration of the groups that ``overrides`` choose, without the values that they set."""
    return chosen(config_name, tuple(text for text in overrides if is_choice(text)))


@functools.lru_cache(maxsize=64)
def chosen(config_name: str, groups: tuple[str, ...]) -> DictConfig:
    """Compose a choice of groups, once for all jobs of a sweep that make it."""
    return compose(config_name, list(groups))


def is_choice(override: str) -> bool:
    """Return whether an override chooses from a config group (``model=lstm``) instead of setting a value."""
    (parsed,) = parse([override])
    group, name = CONF / parsed.key_or_group, parsed.value()
    return group.is_dir() and not parsed.is_delete() and (name is None or (group / f"{name}.yaml").is_file())


def compose(config_name: str, overrides: list[str], return_hydra_config: bool = False) -> DictConfig:
    """Compose a configuration inside a running Hydra application or outside of one."""
    if GlobalHydra.instance().is_initialized():
        return hydra.compose(config_name, overrides, return_hydra_config)
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose(config_name, overrides, return_hydra_config)


def leaves(config: Any, path: str = "") -> dict[str, Any]:
    """Return the values of a plain nested dictionary by dotted key; a list or an empty dictionary is a value."""
    if not isinstance(config, dict) or not config:
        return {path: config}
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= leaves(value, f"{path}.{key}" if path else str(key))
    return found


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
        group, _, name = error.missing_cfg_file.rpartition("/")
        if error.missing_cfg_file in PLUGINS:
            return f"{group}={name}: needs a package that is not installed; pip install -e '.[{name.partition('_')[0]}]'"
        names = [*options(group), *(path.rpartition("/")[2] for path in PLUGINS if path.startswith(f"{group}/"))]
        return f"{group}={name}: there is no such {group or 'config'}; {nearest(name, names)}"
    if unknown := re.search(r"Could not (?:override|append to config|delete).*?'?([\w.@/-]+)'?[.:]", str(error)):
        return unknown_key(unknown[1], leaves(OmegaConf.to_container(reference(config_name, given(arguments)))))
    return sentence(error)


def unknown_key(key: str, names: Iterable[str]) -> str:
    """Return the sentence for a key that no configuration has."""
    return f"{key}: there is no such key; {nearest(key, [*names, *GROUPS])}"
