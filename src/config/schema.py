"""Checks of a composed configuration - keys, types, ranges, the pairing - before anything heavy is imported.

A value must be in the range that :mod:`src.config.keys` gives for it. Any other value must keep the type that it has in its
YAML file.
"""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.config import keys
from src.config.compose import CONF, GROUPS, leaves, options, unknown_key
from src.config.keys import Range, is_number, of_arguments, range_of
from src.config.overrides import key as key_of
from src.errors import UserError


def ignored(config: DictConfig, overrides: list[str]) -> list[str]:
    """Return the overrides that have no effect on a baseline, which has no training loop."""
    return [] if trains(config.model) else [text for text in overrides if keys.of(key_of(text)).loop]


def trains(model: DictConfig) -> bool:
    """Return whether a model is a network, which the data's shapes complete and epochs train, and not a baseline."""
    return bool(model.get("_partial_", False))


def check(config: DictConfig, reference: DictConfig, data: str, model: str) -> None:
    """Raise a UserError for the first value of ``config`` that cannot work.

    Args:
        config: Composed configuration.
        reference: The same choices of groups without any value from the command line; it gives the keys and types.
        data: Name of the chosen data set.
        model: Name of the chosen model.
    """
    check_described(config, data, model)
    check_ranges(config)  # first the values from which other values are derived
    check_values(config, reference, new=True)
    check_monitor(config)
    check_pairing(config, data, model)


def check_values(config: DictConfig, reference: DictConfig, new: bool = False) -> None:
    """Raise a UserError for the first value whose type or range is wrong, or for a key that may not be set.

    Args:
        config: Composed configuration.
        reference: Configuration with the usual keys and types.
        new: Check the keys too; those of a stored configuration may be an earlier version's.
    """
    plain = OmegaConf.to_container(config, resolve=True)
    usual, arguments = leaves(OmegaConf.to_container(reference, resolve=True)), of_arguments(plain)
    groups = keys.groups(usual)
    for key, value in leaves(plain).items():
        part, _, name = key.partition(".")
        one = part in ("callbacks", "logger") and bool(name) and "." not in name  # one callback, one logger: null is none
        if new and (instead := keys.advice("_instead", f"{key}={value}")):
            raise UserError(f"{key}: {instead}")
        if new and name.endswith("_target_") and str(value).isidentifier():
            advice = str(keys.advice("_targets", f"{key}={value}")).format(value)
            raise UserError(f"{key}={value}: names no module; {advice}")
        if new and one and value is not None:
            raise UserError(f"{key}={shown(value)}: must be a class with its arguments, as in {key}._target_=...")
        if new and key not in usual and key not in groups and not may_be_added(key, config, usual):
            raise UserError(unknown_key(key, [*usual, *GROUPS]))
        if key not in usual and key in groups and not (one and value is None):
            raise UserError(f"{key}={shown(value)}: is a group of keys; set the keys below it")
        term = range_of(key, arguments)
        check_range(key, value, term)
        if term is None and not same_type(value, usual.get(key)):
            raise UserError(f"{key}={shown(value)}: must be {kind(usual[key])}, as in {key}={shown(usual[key])}")


def may_be_added(key: str, config: DictConfig, usual: dict[str, Any]) -> bool:
    """Return whether a key may be set that the YAML files lack: an argument of another library's class."""
    sklearn = key.startswith("model.") and str(config.model.get("_target_")).startswith(("sklearn.", "src.baselines.trees."))
    return sklearn or keys.of(key).open or usual.get(key.rpartition(".")[0]) == {}  # an empty mapping takes any key


def check_described(config: DictConfig, data: str, model: str) -> None:
    """Raise a UserError if the YAML file of a data set or a model lacks a key that pairs them."""
    inputs = f"choose from: {', '.join(keys.of('data.input').words.split()[1:])}"
    for group, name, key, example in (("data", data, "input", "table"), ("model", model, "accepts", "[table]")):
        if key not in (config.get(group) or {}):
            raise UserError(f"conf/{group}/{name}.yaml: has no key {key}; add it, as in {key}: {example}; {inputs}")


def check_ranges(config: DictConfig) -> None:
    """Raise a UserError for the first value out of its range, except values that are derived from other keys."""
    plain = OmegaConf.to_container(config)
    arguments = of_arguments(plain)
    for key, value in leaves(plain).items():
        if not (isinstance(value, str) and "${" in value):
            check_range(key, value, range_of(key, arguments))


def check_range(key: str, value: Any, term: Range | None) -> None:
    """Raise a UserError for a value out of its range."""
    if term and not term.holds(value):
        large = any(type(one) is int and one > keys.MOST for one in (value if isinstance(value, list) else [value]))
        most = f"; the largest is {keys.MOST:,}" if large and "whole number of at least" in term.says else ""
        raise UserError(f"{key}={shown(value)}: {key.rpartition('.')[2]} must be {term.says}{most}")


def same_type(value: Any, default: Any) -> bool:
    number = isinstance(default, float) and is_number(value)  # 1 for 1.0
    return value is None or default is None or number or type(value) is type(default)


def kind(value: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", list: "a list"}
    return names.get(type(value), "a group of keys")


def shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def check_monitor(config: DictConfig) -> None:
    """Raise a UserError unless the monitored value is one that the task logs, on a split that the run has."""
    splits = ["train"] if config.trainer.limit_val_batches == 0 else ["val", "train"]
    logged = [f"{split}/{metric}" for split in splits for metric in ("loss", *config.task.metrics)]
    if config.monitor not in logged:
        raise UserError(f"monitor={config.monitor}: this run logs no such value; choose one of: {', '.join(logged)}")
    every, epochs = config.trainer.check_val_every_n_epoch, config.trainer.max_epochs
    if config.monitor.startswith("val/") and every > epochs:
        raise UserError(f"trainer.check_val_every_n_epoch={every}: none of the {epochs} epochs would validate")
    if trains(config.model) and not (config.get("callbacks") or {}).get(config.test_weights):
        raise UserError(f"test_weights={config.test_weights}: callbacks.{config.test_weights} is what saves them; keep it")


def check_pairing(config: DictConfig, data: str, model: str) -> None:
    """Raise a UserError unless the model reads the input that the data set gives, and does the task."""
    given, task = config.data.input, config.task._target_.rpartition(".")[2].lower()

    def does(described: Any) -> list[str]:
        # any network can learn any task but reconstruction, for which it must be made
        return described.get("tasks", ["anything but reconstruction"] if task == "reconstruction" else [task])

    def fits(described: Any) -> bool:
        return given in described.get("accepts", []) and task in does(described)

    if given in config.model.accepts and task not in (may := config.data.get("tasks", [task])):
        raise UserError(f"task={task}: data={data} is for {' or '.join(may)}; leave task= out")
    if fits(config.model):
        return
    files = [(name, OmegaConf.load(CONF / "model" / f"{name}.yaml")) for name in options("model")]
    fitting = [name for name, file in files if fits(OmegaConf.select(file, "model", default=file))]
    reads = f"{model} reads {' or '.join(config.model.accepts)}, and {data} with these options gives {given}"
    made = f"{model} does {' or '.join(does(config.model))}, and the task is {task}"
    raise UserError(
        f"data={data} model={model}: {made if given in config.model.accepts else reads}; "
        f"models for {task} of {given}: {', '.join(fitting) or 'none'}"
    )
