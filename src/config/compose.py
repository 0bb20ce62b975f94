"""Configurations composed from `conf/` and a command line, and their values by dotted key."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from src.config.overrides import parse

CONF = Path(__file__).resolve().parents[2] / "conf"


GROUPS = (
    *("data", "model", "task", "recipe", "protocol", "scheduler", "trainer", "accelerator", "callbacks", "logger"),
    *("sweep", "debug"),
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


def keys(config: DictConfig) -> list[str]:
    """Return every dotted key that the command line can set."""
    return [key for key in leaves(OmegaConf.to_container(config)) if "._" not in key]


def jobs(overrides: list[str]) -> list[list[str]]:
    """Return the overrides of each job of a sweep over lists and ranges of values, in the order in which they run."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    return BasicSweeper.split_arguments(parse(overrides, GlobalHydra.instance().config_loader()), None)[0]
