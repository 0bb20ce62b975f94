"""Hydra for Labbook: configurations composed from `conf/`, the command line, and its errors in one sentence.

Nothing here imports torch, so that ``--help`` and every configuration error answer at once.
"""

import functools
import re
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import OverrideType
from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf

from src.config import keys
from src.config.keys import CONF
from src.config.overrides import given, parse, unreadable
from src.errors import UserError, nearest, sentence

GROUPS = (
    *("data", "model", "task", "recipe", "protocol", "scheduler", "trainer", "accelerator", "callbacks", "logger"),
    *("task.optimizer", "sweep", "debug"),
)
# Hydra's plugins; the first part of a name is the extra of pyproject.toml that brings it.
PLUGINS = (
    *("hydra/launcher/joblib", "hydra/launcher/submitit_local", "hydra/launcher/submitit_slurm", "hydra/launcher/ray"),
    "hydra/sweeper/optuna",
)

OmegaConf.register_new_resolver("if", lambda condition, yes, no: yes if condition else no, replace=True)
OmegaConf.register_new_resolver("space", lambda model: OmegaConf.load(CONF / "spaces.yaml").get(model, {}), replace=True)
OmegaConf.register_new_resolver("sum", lambda *numbers: sum(numbers), replace=True)
OmegaConf.register_new_resolver("product", lambda one, other: (one or 0) * other, replace=True)


def options(group: str) -> list[str]:
    """Return the names of the options of a config group."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def reference(config_name: str, overrides: list[str]) -> DictConfig:
    """Return the configuration of the groups that overrides choose, without their values; refuse a wrong choice."""
    if wrong := wrong_choice(overrides):
        raise UserError(wrong)
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


def wrong_choice(overrides: list[str]) -> str | None:
    """Return the sentence for the first wrong choice of an option, which Hydra may ignore; None if all are right."""
    loader = GlobalHydra.instance().hydra and GlobalHydra.instance().config_loader()  # knows --config-dir too
    for parsed in parse(overrides):
        group, name = parsed.key_or_group, parsed.value()
        if group not in GROUPS or parsed.is_delete() or parsed.is_sweep_override() or isinstance(name, dict):
            continue
        if parsed.type != OverrideType.CHANGE:
            return f"{parsed.input_line}: {group} is there already; leave the + out, as in {group}={name}"
        for one in name if isinstance(name, list) else [name]:  # a list takes several options
            if not isinstance(one, str):
                return f"{parsed.input_line}: takes an option of the group; to do without one, write ~{group}"
            if one not in options(group) and not (loader and one in loader.get_group_options(group)):
                return no_option(group, one)
    return None


def no_option(group: str, name: str) -> str:
    """Return the sentence for an option that a group does not have."""
    found = [*options(group), *(path.rpartition("/")[2] for path in PLUGINS if path.startswith(f"{group}/"))]
    text = f"{group}={name}"
    return f"{text}: there is no such {group or 'config'}; {keys.advice('_options', text.lower()) or nearest(name, found)}"


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
    below = (leaves(value, f"{path}.{key}" if path else str(key)) for key, value in config.items())
    return {key: value for part in below for key, value in part.items()}


def explain(error: Exception, config_name: str, arguments: list[str]) -> str:
    """Return one sentence that names the override Hydra could not apply, and the nearest name that it could."""
    if isinstance(error, OverrideParseException):
        return unreadable(error.override)
    if wrong := wrong_choice(given(arguments)):
        return wrong
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        if error.missing_cfg_file in PLUGINS:
            return f"{group}={name}: needs a package that is not installed; pip install -e '.[{name.partition('_')[0]}]'"
        return no_option(group, name)
    if several := re.match("Ambiguous value for argument '(.*)'", str(error)):
        return f"{several[1]}: several values are a sweep; add -m"
    if unknown := re.search(r"Could not (?:override|delete|append)[^']*'([^'=]+)[^']*'(?! is)", str(error)):
        if "Could not append" in str(error):
            return f"+{unknown[1]}: the key is there already; leave the + out, as in {unknown[1]}=..."
        return unknown_key(unknown[1], names(config_name, given(arguments)))
    return sentence(error)


def names(config_name: str, overrides: list[str]) -> list[str]:
    """Return the keys of the configuration of some choices of groups, and those groups."""
    groups, choices = (GROUPS, overrides) if config_name == "train" else ((), [])
    return [*leaves(OmegaConf.to_container(reference(config_name, choices))), *groups]


def unknown_key(key: str, names: list[str]) -> str:
    """Return the sentence for a key that no configuration has."""
    meant = keys.meant(key, names)
    near = nearest(key, [name for name in names if not key.startswith(f"{name}.")])
    more = f" (another argument of its class is added with +{key}=...)" if keys.of(key).open else ""
    advice = keys.advice("_instead", f"{key}=") or (f"{near}{more}" if meant in (None, key) else f"use {meant}")
    return f"{key}: there is no such key; {advice}"
