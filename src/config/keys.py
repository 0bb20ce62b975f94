"""Configuration keys: the ranges of their values, and what another value of them changes.

A key of :data:`KEYS` means the same in every run. An argument of one of Labbook's classes has the range that
``conf/ranges.yaml`` gives for that class.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import yaml

from src.config.compose import CONF


class Range(NamedTuple):
    """A condition on a value, in words and as a test."""

    says: str
    holds: Callable[[Any], bool]


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def whole(low: int, high: int = 2**31 - 1) -> Range:
    says = f"a whole number from {low} to {high:,}" if high < 2**31 - 1 else f"a whole number of at least {low}"
    return Range(says, lambda value: type(value) is int and low <= value <= high)


def choice(*options: Any) -> Range:
    names = ", ".join("null" if option is None else str(option) for option in options)
    return Range(f"one of {names}", lambda value: value in options)


def optional(term: Range) -> Range:
    return Range(f"{term.says}, or null", lambda value: value is None or term.holds(value))


def each(term: Range) -> Range:
    """One value, or a list of them."""
    several = listed(term)
    return Range(f"{term.says}, or a list of such", lambda value: term.holds(value) or several.holds(value))


def listed(term: Range) -> Range:
    return Range(f"a list of {term.says}", lambda value: isinstance(value, list) and all(map(term.holds, value)))


def distinct(value: Any, least: int) -> bool:
    """Return whether a value is a list of at least ``least`` items, each once."""
    return isinstance(value, list) and len(value) >= least and len(set(map(str, value))) == len(value)


positive = Range("a number above 0", lambda value: is_number(value) and 0 < value < float("inf"))
part = Range("a number between 0 and 1", lambda value: is_number(value) and 0 < value < 1)
name = Range("a name", lambda value: isinstance(value, str) and bool(value))

# Words of conf/ranges.yaml and of the table below: a range, or a function that takes the words after it.
NAMES: dict[str, Range] = {
    "positive": positive,
    "part": part,
    "name": name,
    "not_negative": Range("a number of at least 0", lambda value: is_number(value) and 0 <= value < float("inf")),
    "flag": Range("true or false", lambda value: isinstance(value, bool)),
    "run": Range("the folder of a finished autoencoder's run", lambda value: name.holds(value) and value != "???"),
    "fraction": Range("a number from 0 to below 1", lambda value: is_number(value) and 0 <= value < 1),
    "closed_fraction": Range("a number from 0 to 1", lambda value: is_number(value) and 0 <= value <= 1),
    "positive_fraction": Range("a number above 0, at most 1", lambda value: is_number(value) and 0 < value <= 1),
    "validation": Range("a fraction between 0 and 1, or test", lambda value: value == "test" or part.holds(value)),
    "columns": Range("a list of column names, each once", lambda value: distinct(value, 1) and all(map(name.holds, value))),
    "path": Range(
        "a file that exists, or a folder of images", lambda value: isinstance(value, str) and Path(value).exists()
    ),
    "frequency": Range(
        "a number above 0, or the two ends of a range, lower first",
        lambda value: (
            positive.holds(value)
            or (isinstance(value, list) and len(value) == 2 and all(map(positive.holds, value)) and value[0] <= value[1])
        ),
    ),
    "waves": Range(
        "a list of two or more of sine, square, triangle, sawtooth, each once",
        lambda value: distinct(value, 2) and {"sine", "square", "triangle", "sawtooth"} >= set(map(str, value)),
    ),
    "class_weights": Range(
        "balanced, or a list of numbers above 0, or null",
        lambda value: value in (None, "balanced") or (isinstance(value, list) and all(map(positive.holds, value))),
    ),
}
WRAPPERS: dict[str, Callable[[Range], Range]] = {"optional": optional, "each": each, "list": listed}
FUNCTIONS: dict[str, Callable[..., Range]] = {"whole": whole, "choice": choice}


@functools.cache
def read(words: str) -> Range:
    """Return the range that words such as ``optional whole 1`` or ``choice mixup cutmix null`` describe."""
    first, _, rest = words.partition(" ")
    if first in WRAPPERS:
        return WRAPPERS[first](read(rest))
    return FUNCTIONS[first](*map(yaml.safe_load, rest.split())) if first in FUNCTIONS else NAMES[first]


@functools.cache
def stored() -> dict[str, dict[str, str]]:
    """Return the content of ``conf/ranges.yaml``."""
    content = yaml.load((CONF / "ranges.yaml").read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return cast(dict[str, dict[str, str]], content)


@functools.cache
def of_classes() -> dict[str, dict[str, Range]]:
    """Return the ranges of arguments by class; a class of the user's own has none, whatever its arguments are called."""
    rules = {target: arguments for target, arguments in stored().items() if not target.startswith("_")}
    return {target: {key: read(words) for key, words in arguments.items()} for target, arguments in rules.items()}


def instead(key: str, value: Any) -> str | None:
    """Return what to do instead of setting a key, or of naming Lightning's class; None if it may be set."""
    rules, parts = stored()["_instead"], str(value).split(".")
    if key.endswith("._target_"):  # without the module in which a package defines it
        return rules.get(".".join([*parts[:3], parts[-1]]))
    names = (key, f"{key}={value}", *(group for group in rules if group[-1] == "." and key.startswith(group)))
    return next((rules[name] for name in names if name in rules), None)


def of_arguments(config: Any, path: str = "") -> dict[str, Range]:
    """Return the ranges of a plain configuration's values by dotted key, for each class that it names."""
    found: dict[str, Range] = {}
    if isinstance(config, dict):
        for argument, term in of_classes().get(str(config.get("_target_")), {}).items():
            found[f"{path}{argument}"] = term
        for key, value in config.items():
            found |= of_arguments(value, f"{path}{key}.")
    return found


# What a data set gives to a network: ``prefixes`` are series of different lengths, padded at their end; ``masked`` series
# hold for each feature its value, whether it was observed, and the time since it was.
INPUTS = "table series prefixes masked tokens bag image"


class Key(NamedTuple):
    """One key, or with a dot at its end all keys below it.

    Args:
        words: Range of its values, see :func:`read`; without one they keep the type of the value in its YAML file.
        changes: What another value makes of a run: ``nothing`` of its figures; ``jobs``, other jobs of a sweep;
            ``rounding``, their last digits; ``repeat``, a repeat of the experiment; ``precision``; another ``experiment``.
        resume: A resumed run may change it.
        path: A path, which a run stores as an absolute one.
        loop: Only the training loop reads it: a baseline, which is fitted in closed form, has none.
        open: An argument of another library's class, which may be added with +; the class itself checks it.
    """

    words: str = ""
    changes: Literal["nothing", "jobs", "rounding", "repeat", "precision", "experiment"] = "experiment"
    resume: bool = False
    path: bool = False
    loop: bool = False
    open: bool = False


EXPERIMENT, NOTHING = Key(), Key(changes="nothing")
SEED = f"whole 0 {2**32 - 1}"
TRAINER = Key(resume=True, loop=True, open=True)
KEYS: dict[str, Key] = {
    "data_dir": Key(changes="nothing", path=True),
    "seed": Key(SEED, changes="repeat"),
    "threads": Key("optional whole 1", changes="rounding", resume=True),
    "test_weights": Key("choice best last"),
    "vectors": Key("optional name", path=True),
    "weights": Key("name"),
    "encoder": Key("run"),
    "resume": Key(changes="nothing", resume=True),
    "trust": Key("flag", changes="nothing", resume=True),
    "on_error": Key("choice continue stop", changes="nothing"),
    "sweep.confirm": Key("flag", changes="nothing"),
    **dict.fromkeys(("hydra.", "hydra/launcher", "hydra.sweeper.n_trials", "hydra.sweeper.n_jobs", "logger"), NOTHING),
    **dict.fromkeys(("sweep", "sweep.", "hydra/sweeper", "hydra.sweeper."), Key(changes="jobs")),
    "logger.": Key(changes="nothing", open=True),
    "accelerator": Key(changes="rounding", resume=True),
    "data.input": Key(f"choice {INPUTS}"),
    "data.eval_batch_size": Key("whole 1", changes="rounding"),
    "data.split_seed": Key(SEED, changes="repeat"),
    **dict.fromkeys(("data.path", "data.pickle"), Key(path=True)),
    "model.accepts": Key(f"list choice {INPUTS}"),
    **dict.fromkeys(("data.tasks", "model.tasks"), Key("list name")),
    "model.replicas": Key("whole 1", changes="nothing"),
    **dict.fromkeys(("scheduler", "callbacks", "task.optimizer", "task.scheduler", "data.sampler"), Key(loop=True)),
    **dict.fromkeys(("task.optimizer.", "task.scheduler.", "callbacks."), Key(loop=True, open=True)),
    "task.optimizer.lr": Key("positive", loop=True, open=True),
    "task.optimizer.weight_decay": Key("not_negative", loop=True, open=True),
    "task.gradient_clip": Key("optional positive", loop=True),
    "task.l1": Key("not_negative", loop=True),
    **dict.fromkeys(("task.loss.", "task.metrics."), Key(open=True)),
    "callbacks.progress": Key(changes="nothing", resume=True, loop=True, open=True),
    "trainer.": TRAINER,
    **dict.fromkeys(("trainer.max_epochs", "trainer.check_val_every_n_epoch"), TRAINER._replace(words="whole 1")),
    **dict.fromkeys(("trainer.devices", "trainer.num_nodes"), TRAINER._replace(words="whole 1 1024")),
    "trainer.accelerator": TRAINER._replace(changes="rounding"),
    "trainer.precision": TRAINER._replace(words="choice 32-true bf16-mixed 16-mixed", changes="precision"),
    "trainer.limit_val_batches": TRAINER._replace(words="not_negative"),
    **dict.fromkeys(("trainer.limit_train_batches", "trainer.limit_test_batches"), TRAINER._replace(words="positive")),
    **dict.fromkeys(("data.batch_size", *("repeats", "epochs", "batch_size")), Key("whole 1")),  # of reproduce and impute
}


def of(key: str) -> Key:
    """Return the entry of a key, or that of the nearest group of keys above it."""
    entry = key
    while key and entry not in KEYS:
        key = key.rpartition(".")[0]
        entry = f"{key}."
    return KEYS.get(entry, EXPERIMENT)


def range_of(key: str, arguments: dict[str, Range]) -> Range | None:
    """Return the range of a key: that of the argument of a class (:func:`of_arguments`), or that of the table."""
    words = of(key).words
    return arguments.get(key) or (read(words) if words else None)


def idle(key: str) -> bool:
    """Return whether a key decides where files are and what is shown, and changes no figure."""
    return of(key).changes in ("nothing", "jobs")


def neutral(key: str) -> bool:
    """Return whether runs that differ in a key only are the same experiment, or repeats of it."""
    return of(key).changes in ("nothing", "jobs", "rounding", "repeat")
