"""Checks a composed configuration - keys, types, ranges, the pairing - before anything heavy is imported.

A value is checked by its name: the field's terms mean the same wherever they occur, so a new data set or network that
uses them needs no line here. A name that the table lacks must keep the type it has in its YAML file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from src.cli import CONF, leaves, options, unknown_key
from src.errors import UserError

# What only the training loop reads; a baseline is fitted in closed form and has none.
LOOP_ONLY = ("trainer.", "callbacks.", "task.optimizer", "task.scheduler", "task.gradient_clip", "task.l1")
# Arguments of other libraries' classes: these may be added with +, and the class itself has the last word on them.
OPEN = ("trainer.", "callbacks.", "logger.", "task.optimizer.", "task.scheduler.", "task.loss.", "task.metrics.")


# Lightning's own ways to what is done here in another.
INSTEAD = {
    "trainer.accumulate_grad_batches": "every batch is a step; take a larger data.batch_size",
    "trainer.fast_dev_run": "use debug=one_batch",
    "trainer.gradient_clip_val": "use task.gradient_clip",
    "trainer.max_steps": "use trainer.max_epochs",
    "trainer.overfit_batches": "use debug=overfit",
}


class Term(NamedTuple):
    """What a value must be, in words and as a test."""

    says: str
    holds: Callable[[Any], bool]


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def whole(low: int, high: int = 2**31 - 1) -> Term:
    says = f"a whole number from {low} to {high:,}" if high < 2**31 - 1 else f"a whole number of at least {low}"
    return Term(says, lambda value: type(value) is int and low <= value <= high)


def choice(*options: Any) -> Term:
    return Term(f"one of {', '.join(map(str, options))}", lambda value: value in options)


def optional(term: Term) -> Term:
    return Term(f"{term.says}, or null", lambda value: value is None or term.holds(value))


def each(term: Term) -> Term:
    """One value, or a list of them."""
    return Term(
        f"{term.says}, or a list of such",
        lambda value: all(map(term.holds, value)) if isinstance(value, list) else term.holds(value),
    )


def listed(term: Term) -> Term:
    return Term(f"a list of {term.says}", lambda value: isinstance(value, list) and all(map(term.holds, value)))


positive = Term("a number above 0", lambda value: is_number(value) and 0 < value < float("inf"))
not_negative = Term("a number of at least 0", lambda value: is_number(value) and 0 <= value < float("inf"))
share = Term("a number from 0 to below 1", lambda value: is_number(value) and 0 <= value < 1)
part = Term("a number between 0 and 1", lambda value: is_number(value) and 0 < value < 1)
flag = Term("true or false", lambda value: isinstance(value, bool))
name = Term("a name", lambda value: isinstance(value, str) and bool(value))

# What a data set gives to a network: ``prefixes`` are series of different lengths, padded at their end; ``masked`` series
# hold for each feature its value, whether it was observed, and the time since it was.
KINDS = ("table", "series", "prefixes", "masked", "tokens", "bag", "image")

TERMS: dict[str, Term] = {
    # data
    "batch_size": whole(1),
    "clip": optional(positive),
    "day_of_week": flag,
    "descriptors": flag,
    "ends": whole(1),
    "eval_batch_size": whole(1),
    "every_step": flag,
    "features": optional(
        Term("a list of column names", lambda v: isinstance(v, list) and len(v) > 0 and all(map(name.holds, v)))
    ),
    "freq": optional(name),
    "frequency": Term(
        "a number above 0, or the two ends of a range, lower first",
        lambda value: (
            positive.holds(value)
            or (isinstance(value, list) and len(value) == 2 and all(map(positive.holds, value)) and value[0] <= value[1])
        ),
    ),
    "horizon": whole(1, 10_000),
    "imputer": choice("zero", "mean", "locf", "linear", "saits", "brits"),
    "labels": Term("a number above 0, at most 1", lambda value: is_number(value) and 0 < value <= 1),
    "lags": whole(1, 10_000),
    "length": optional(whole(1)),
    "missing": choice("refuse", "previous", "interpolate"),
    "noise": not_negative,
    "origins": whole(1),
    "outputs": choice(1, 2),
    "path": optional(Term("a file that exists", lambda value: isinstance(value, str) and Path(value).is_file())),
    "phase": Term("a number from 0 to 1", lambda value: is_number(value) and 0 <= value <= 1),
    "pickle": optional(name),
    "roll_out": optional(whole(1)),
    "sampler": choice("balanced", None),
    "samples": whole(4),
    "scaling": choice("train", "all", "none"),
    "season": whole(1),
    "split_seed": whole(0, 2**32 - 1),
    "steps": whole(1),
    "stride": whole(1),
    "target": name,
    "test": part,
    "transform": choice("standard", "normal_scores"),
    "validation": Term("a share between 0 and 1, or test", lambda value: value == "test" or part.holds(value)),
    "view": choice("imputed", "masked", "summaries"),
    "waves": Term(
        "a list of two or more of sine, square, triangle, sawtooth, each once",
        lambda value: (
            isinstance(value, list)
            and {"sine", "square", "triangle", "sawtooth"} >= set(map(str, value))
            and len(set(map(str, value))) == len(value) >= 2
        ),
    ),
    "window": optional(whole(1)),
    "windows": choice("fixed", "prefixes"),
    # networks and baselines
    "accepts": listed(choice(*KINDS)),
    "alphas": whole(1),
    "bidirectional": flag,
    "cell": choice("rnn", "lstm", "gru"),
    "change": flag,
    "channels": listed(whole(1)),
    "dropout": each(share),
    "embedding_size": whole(1),
    "encoder": Term("the folder of a finished autoencoder's run", lambda value: name.holds(value) and value != "???"),
    "folds": whole(2),
    "frozen": flag,
    "head": listed(whole(1)),
    "head_dropout": share,
    "hidden_size": whole(1),
    "input": choice(*KINDS),
    "kernel_size": Term("an odd whole number", lambda value: type(value) is int and value > 0 and value % 2 == 1),
    "input_dropout": share,
    "members": whole(1),
    "num_layers": whole(1),
    "solver": choice("lbfgs", "newton-cholesky"),
    "tasks": listed(name),
    "widths": listed(whole(1)),
    # tasks and training
    "alpha": positive,
    "check_val_every_n_epoch": whole(1),
    "class_weights": Term(
        "balanced, or a list of numbers above 0, or null",
        lambda value: value in (None, "balanced") or (isinstance(value, list) and all(map(positive.holds, value))),
    ),
    "devices": Term("1: a run uses one device", lambda value: value == 1),
    "epochs": whole(1),
    "forgetting": choice("tanh", "shifted_tanh", None),
    "gradient_clip": optional(positive),
    "l1": not_negative,
    "learn_padding": flag,
    "level": part,
    "limit_test_batches": positive,
    "limit_train_batches": positive,
    "limit_val_batches": not_negative,
    "lr": positive,
    "max_epochs": whole(1),
    "min_delta": not_negative,
    "momentum": share,
    "patience": whole(1),
    "precision": choice("32-true", "bf16-mixed", "16-mixed"),
    "seed": whole(0, 2**32 - 1),
    "test_weights": choice("best", "last"),
    "threads": optional(whole(1)),
    "weight_decay": not_negative,
}


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
        if value == "???":
            raise UserError(f"{key}: must be given, as in {key}=...")
        if key in INSTEAD:
            raise UserError(f"{key}: {INSTEAD[key]}")
        if key not in known and any(other.startswith(key + ".") for other in known) and not may_be_null(key, value):
            raise UserError(f"{key}={shown(value)}: is a group of keys; set the keys below it")
        if key.startswith(("callbacks.", "logger.")) and key.count(".") == 1 and value is not None:
            raise UserError(f"{key}={shown(value)}: must be a class with its arguments, as in {key}._target_=...")
        free = key.startswith(OPEN) or known.get(key.rpartition(".")[0]) == {}  # an empty mapping takes any key
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


def ignored(config: DictConfig, overrides: list[str]) -> list[str]:
    """The overrides that mean nothing to a baseline, which has no training loop."""
    return [] if trains(config.model) else [text for text in overrides if text.lstrip("+~").startswith(LOOP_ONLY)]
