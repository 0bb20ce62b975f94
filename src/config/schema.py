"""Checks a composed configuration - keys, types, ranges, the pairing - before anything heavy is imported.

A value is checked by its name: the field's terms mean the same wherever they occur, so a new data set or network that
uses them needs no line here. A name that the table lacks must keep the type it has in its YAML file.
"""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.config.app import unknown_key
from src.config.compose import CONF, leaves, options
from src.config.overrides import key as key_of
from src.config.ranges import TERMS, is_number
from src.errors import UserError

# Arguments of other libraries' classes, as of scikit-learn's in conf/model: these may be added with +, and the class itself
# has the last word on them.
OPEN = ("trainer.", "callbacks.", "logger.", "task.optimizer.", "task.scheduler.", "task.loss.", "task.metrics.")


# Lightning's own ways to what is done here in another.
INSTEAD = {
    "trainer.accumulate_grad_batches": "every batch is a step; take a larger data.batch_size",
    "trainer.fast_dev_run": "use debug=one_batch",
    "trainer.gradient_clip_val": "use task.gradient_clip",
    "trainer.max_steps": "use trainer.max_epochs",
    "trainer.overfit_batches": "use debug=overfit",
}

# What only the training loop reads; a baseline is fitted in closed form and has none.
LOOP_ONLY = ("trainer.", "callbacks.", "task.optimizer", "scheduler", "task.scheduler", "task.gradient_clip", "task.l1")


def ignored(config: DictConfig, overrides: list[str]) -> list[str]:
    """Return the overrides that have no effect on a baseline, which has no training loop."""
    return [] if trains(config.model) else [text for text in overrides if key_of(text).startswith(LOOP_ONLY)]


def trains(model: DictConfig) -> bool:
    """Whether a model is a network (finished with the data's shapes, trained by epochs) and not a baseline."""
    return bool(model.get("_partial_", False))


def check(config: DictConfig, reference: DictConfig, data: str, model: str) -> None:
    """Raises a UserError for the first value of ``config`` that cannot work.

    Args:
        config: The composed configuration.
        reference: The same choices of groups without any value from the command line; it gives the known keys and types.
        data: Name of the chosen data set.
        model: Name of the chosen model.
    """
    check_terms(config)  # first what other values are derived from
    values = leaves(OmegaConf.to_container(config, resolve=True))
    known = leaves(OmegaConf.to_container(reference, resolve=True))
    for key, value in values.items():
        if key in INSTEAD:
            raise UserError(f"{key}: {INSTEAD[key]}")
        if key not in known and any(other.startswith(key + ".") for other in known) and not may_be_null(key, value):
            raise UserError(f"{key}={shown(value)}: is a group of keys; set the keys below it")
        if key.startswith(("callbacks.", "logger.")) and key.count(".") == 1 and value is not None:
            raise UserError(f"{key}={shown(value)}: must be a class with its arguments, as in {key}._target_=...")
        sklearn = key.startswith("model.") and str(config.model.get("_target_")).startswith("sklearn.")
        free = sklearn or key.startswith(OPEN) or known.get(key.rpartition(".")[0]) == {}  # an empty mapping takes any key
        if key not in known and not free and not any(other.startswith(key + ".") for other in known):
            raise UserError(unknown_key(key, list(known)))
        check_term(key, value)
        if key.rpartition(".")[2] not in TERMS and not same_type(value, known.get(key)):
            raise UserError(f"{key}={shown(value)}: must be {kind(known[key])}, as in {key}={shown(known[key])}")
    check_monitor(config)
    check_pairing(config, data, model)


def check_terms(config: DictConfig, but: str | None = None) -> None:
    """Raises a UserError for the first value, of those that are not derived from others, that its name does not allow."""
    for key, value in leaves(OmegaConf.to_container(config)).items():
        if key != but and not (isinstance(value, str) and "${" in value):
            check_term(key, value)


def check_term(key: str, value: Any) -> None:
    """Raises a UserError for a value that its name does not allow."""
    name = key.rpartition(".")[2]
    if name in TERMS and not TERMS[name].holds(value):
        raise UserError(f"{key}={shown(value)}: {name} must be {TERMS[name].says}")


def may_be_null(key: str, value: Any) -> bool:
    """Whether a group of keys may be switched off by null: one callback, one logger."""
    return value is None and key.startswith(("callbacks.", "logger.")) and key.count(".") == 1


def same_type(value: Any, default: Any) -> bool:
    if value is None or default is None:
        return True
    if isinstance(default, float):
        return is_number(value)
    return type(value) is type(default)


def kind(value: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", list: "a list"}
    return names.get(type(value), "a group of keys")


def shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def check_monitor(config: DictConfig) -> None:
    """The monitored value must be one that the task logs, on a split that the run has."""
    splits = ["train"] if config.trainer.limit_val_batches == 0 else ["val", "train"]
    logged = [f"{split}/{metric}" for split in splits for metric in ("loss", *config.task.metrics)]
    if config.monitor not in logged:
        raise UserError(f"monitor={config.monitor}: this run logs no such value; there are {', '.join(logged)}")
    every, epochs = config.trainer.check_val_every_n_epoch, config.trainer.max_epochs
    if config.monitor.startswith("val/") and every > epochs:
        raise UserError(f"trainer.check_val_every_n_epoch={every}: none of the {epochs} epochs would validate")
    if trains(config.model) and not (config.get("callbacks") or {}).get(config.test_weights):
        raise UserError(f"test_weights={config.test_weights}: callbacks.{config.test_weights} is what saves them; keep it")


def check_pairing(config: DictConfig, data: str, model: str) -> None:
    """The model must read the kind of input that the data set gives, and a baseline must be made for the task."""
    given, task = config.data.input, config.task._target_.rpartition(".")[2].lower()

    def does(described: Any) -> list[str]:
        # a network does what it is asked for, but to give back its input it must be made so
        return described.get("tasks", ["anything but reconstruction"] if task == "reconstruction" else [task])

    def fits(described: Any) -> bool:
        return given in described["accepts"] and task in does(described)

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
