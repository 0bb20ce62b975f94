"""The command line: Hydra composes and launches; its errors become one sentence and exit status 2.

Nothing here imports torch, so that ``--help`` and every configuration error answer at once.
"""

from __future__ import annotations

import difflib
import functools
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from src.errors import UserError

CONF = Path(__file__).resolve().parent.parent / "conf"
GROUPS = (
    *("data", "model", "task", "recipe", "protocol", "scheduler", "trainer", "accelerator", "callbacks", "logger"),
    *("sweep", "debug"),
)

# Hydra's plugins, and the extra of pyproject.toml that brings each.
EXTRAS = {
    "hydra/launcher/joblib": "joblib",
    "hydra/launcher/submitit_local": "submitit",
    "hydra/launcher/submitit_slurm": "submitit",
    "hydra/launcher/ray": "ray",
    "hydra/sweeper/optuna": "optuna",
}

OmegaConf.register_new_resolver("if", lambda condition, yes, no: yes if condition else no, replace=True)
OmegaConf.register_new_resolver("space", lambda model: OmegaConf.load(CONF / "spaces.yaml").get(model, {}), replace=True)
OmegaConf.register_new_resolver("sum", lambda *numbers: sum(numbers), replace=True)


def app(task: Callable[[DictConfig], Any], config_name: str) -> Callable[[], None]:
    """Returns the ``main`` of an entry point: ``task`` run by Hydra on ``conf/<config_name>.yaml``."""

    begun = []

    @functools.wraps(task)
    def told(config: DictConfig) -> Any:
        begun.append(True)
        try:
            return task(config)
        except UserError as error:
            refuse(error)
        except MissingMandatoryValue as error:
            refuse(f"{error.full_key}: must be given, as in {error.full_key}=...")

    def main() -> None:
        os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come out of Hydra as they are, to be told here
        begun.clear()
        try:
            if {"-h", "--help"} & set(sys.argv[1:]):
                return print(help_text(task.__globals__["__doc__"], config_name, sys.argv[1:]))
            hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(told)()
        except Exception as error:
            if begun:  # the task's own, which it has recorded
                raise
            refuse(explain(error, config_name, sys.argv[1:]))
        except KeyboardInterrupt:
            raise SystemExit(130) from None

    return main


def help_text(usage: str, config_name: str, arguments: list[str]) -> str:
    """Usage, the groups with their options, and the configuration with the chosen ones; Hydra's own takes twice as long."""
    config = compose(config_name, [text for text in arguments if not text.startswith("-")])
    lines = [usage.strip(), ""]
    if config_name == "train":
        lines += ["Choose with group=option:", ""]
        lines += [f"  {group}: {', '.join(options(group))}" for group in GROUPS] + [""]
    return "\n".join([*lines, "Set any value with key=value:", "", OmegaConf.to_yaml(config)])


def options(group: str) -> list[str]:
    """The names that a config group can take."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def refuse(error: Exception | str) -> NoReturn:
    """Prints the sentence on stderr and exits with status 2."""
    print(f"error: {error}", file=sys.stderr)
    raise SystemExit(2)


def sentence(error: BaseException, named: bool = False) -> str:
    """The first line of an error, without what only a debugger needs; ``named`` puts its class before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return f"{type(error).__name__}: {text}" if named else text


def explain(error: Exception, config_name: str, arguments: list[str]) -> str:
    """Says in one sentence which override Hydra could not apply, and the nearest name that it could."""
    if isinstance(error, OverrideParseException):
        return f"{error.override}: cannot be read as key=value; put quotes around odd characters, as in 'key=\"a b\"'"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        if extra := EXTRAS.get(error.missing_cfg_file):
            choice = "=".join(error.missing_cfg_file.rsplit("/", 1))
            return f"{choice}: needs a package that is not installed; pip install -e '.[{extra}]'"
        group, _, name = error.missing_cfg_file.rpartition("/")
        known = [*options(group), *(path.rpartition("/")[2] for path in EXTRAS if path.startswith(f"{group}/"))]
        return f"{group}={name}: there is no such {group or 'config'}; {nearest(name, known)}"
    if unknown := re.search(r"Could not (?:override|append to config|delete).*?'?([\w.@/-]+)'?[.:]", str(error)):
        return unknown_key(unknown[1], keys(reference(config_name, arguments)))
    return sentence(error)


def unknown_key(key: str, known: list[str]) -> str:
    """One sentence for a key that no configuration has."""
    return f"{key}: there is no such key; {nearest(key, [*known, *GROUPS])}"


def nearest(name: str, known: list[str]) -> str:
    """``did you mean …?``, or all the names where there are few and none is near."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    shown = known if len(known) <= 20 else sorted({key.split(".")[0] for key in known})
    return f"there are {', '.join(shown)}"


def reference(config_name: str, overrides: list[str]) -> DictConfig:
    """The configuration as its files have it: the groups that ``overrides`` choose, none of their values."""
    return chosen(config_name, tuple(text for text in overrides if is_choice(text)))


@functools.cache
def chosen(config_name: str, groups: tuple[str, ...]) -> DictConfig:
    """Composes nothing but a choice of groups; the jobs of a sweep share few of them."""
    return compose(config_name, list(groups))


def is_choice(override: str) -> bool:
    """Whether an override chooses from a config group (``model=lstm``) instead of setting a value."""
    group, _, name = override.lstrip("+~").partition("=")
    return (CONF / group.split("@")[0]).is_dir() and (name == "null" or (CONF / group / f"{name}.yaml").is_file())


def compose(config_name: str, overrides: list[str], return_hydra_config: bool = False) -> DictConfig:
    """Composes a configuration inside a running Hydra application or outside of one."""
    if GlobalHydra.instance().is_initialized():
        return hydra.compose(config_name, overrides, return_hydra_config)
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose(config_name, overrides, return_hydra_config)


def leaves(config: Any, path: str = "") -> dict[str, Any]:
    """The values of a plain nested dictionary by dotted key; a list or an empty dictionary is a value."""
    if not isinstance(config, dict) or not config:
        return {path: config}
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= leaves(value, f"{path}.{key}" if path else str(key))
    return found


def keys(config: DictConfig) -> list[str]:
    """Every dotted key that the command line can set."""
    return [key for key in leaves(OmegaConf.to_container(config)) if "._" not in key]


def jobs(overrides: list[str]) -> list[list[str]]:
    """The overrides of every job of a sweep over lists and ranges of values, in the order in which they run."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    parsed = OverridesParser.create(GlobalHydra.instance().config_loader()).parse_overrides(overrides)
    return BasicSweeper.split_arguments(parsed, None)[0]
