"""The command line of every entry point: its words, its help, and its errors in one sentence."""

import functools
import gc
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from src.config import keys
from src.config.compose import CONF, GROUPS, compose, explain, names, options
from src.config.overrides import given, typed, unreadable
from src.config.schema import check_ranges
from src.errors import UserError, refuse

# Options of Hydra, and those that a value follows.
FLAGS = (
    *("--help", "-h", "--hydra-help", "--version", "--resolve", "--run", "-r", "--multirun", "-m"),
    *("--shell-completion", "-sc"),
)
VALUED = (
    *("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd"),
    *("--info", "-i", "--experimental-rerun"),
)


def app(
    task: Callable[[DictConfig], Any], config_name: str, prepare: Callable[[list[str]], list[str]] = typed
) -> Callable[[], None]:
    """Return the ``main`` of an entry point: ``task`` run by Hydra on ``conf/<config_name>.yaml``.

    Args:
        task: Function of the composed configuration.
        config_name: Name of the configuration.
        prepare: Function that makes the arguments of a command line into those that Hydra reads.
    """
    begun = []

    @functools.wraps(task)
    def run_task(config: DictConfig) -> Any:
        begun.append(True)
        try:
            if config_name != "train":  # which checks more, when it is composed
                check_ranges(config)
            return task(config)
        except UserError as error:
            refuse(error)
        except MissingMandatoryValue as error:
            refuse(f"{error.full_key}: must be given, as in {error.full_key}=...")

    def main() -> None:
        gc.set_threshold(50_000)  # the imports of a run make a million objects that stay; to look through them takes a tenth
        os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises errors as they are, and this module prints them
        begun.clear()
        try:
            if {"-h", "--help"} & set(sys.argv[1:]):
                return print(help_text(task.__globals__["__doc__"], config_name, sys.argv[1:]))
            check_words(sys.argv[1:], config_name)
            sys.argv[1:] = prepare(sys.argv[1:])
            hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(run_task)()
        except UserError as error:
            refuse(error)
        except Exception as error:
            if begun:  # the task's own, which it has recorded
                raise
            refuse(explain(error, config_name, sys.argv[1:]))
        except KeyboardInterrupt:
            raise SystemExit(130) from None

    return main


def help_text(usage: str, config_name: str, arguments: list[str]) -> str:
    """Return usage, groups with their options, and the chosen configuration; Hydra's own help takes twice as long."""
    config = compose(config_name, typed(given(arguments)))
    lines = [usage.strip(), ""]
    if config_name == "train":
        lines += ["Choose with group=option:", ""]
        lines += [f"  {group}: {', '.join(options(group))}" for group in GROUPS] + [""]
    return "\n".join([*lines, "Set any value with key=value:", "", OmegaConf.to_yaml(config)])


def check_words(arguments: list[str], config_name: str) -> None:
    """Raise a UserError for the first argument that is neither ``key=value`` nor an option of Hydra."""
    before = ""
    for index, word in enumerate(arguments):
        name, sign, _ = word.partition("=")
        if word.startswith("-"):
            wrong = not any(option.startswith(name) for option in (*FLAGS, *VALUED))
        else:
            wrong = before not in VALUED and not word.startswith("~") and not (sign and name)
        if wrong:
            raise UserError(misread(arguments[index:], before, names(config_name, [])))
        if before in ("--cfg", "-c") and word not in ("job", "hydra", "all"):
            raise UserError(f"{before} {word}: must be one of: job, hydra, all")
        before = word


def misread(words: list[str], before: str, names: list[str]) -> str:
    """Return the sentence for words of which Hydra cannot read the first, with what to write instead if that is clear.

    Args:
        words: The words of a command line from that one on.
        before: The word before it.
        names: Keys of the configuration, and its groups of options.
    """
    together = [before, words[0]] if before.endswith("=") else words[:1] if "=" in words[0][1:] else words[:3]
    pair = re.match(r"((-*)([\w./@-]+)[\s=:]+([^\s=]+))(\s|$)", " ".join(together))
    if pair and (pair[2] or keys.meant(pair[3], names)):
        key = keys.meant(pair[3], names) or pair[3]
        return f"{pair[1]}: write {key if '=' in key else f'{key}={pair[4]}'}"
    if "run" in names and Path(words[0]).is_dir():
        return f"{words[0]}: write run={words[0]}"
    if "=" in before:
        return f"{words[0]}: cannot be read as key=value; put quotes around a value with blanks, as in '{before} {words[0]}'"
    return unreadable(words[0])
