"""Configuration keys: the ranges of their values, and what another value of them changes.

A key of :data:`KEYS`, which ``keys.yaml`` beside this file lists, means the same in every run. An argument of one of
Labbook's classes has the range that ``conf/ranges.yaml`` gives for that class.
"""

import functools
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import yaml

CONF = Path(__file__).resolve().parents[2] / "conf"
MOST = 2**31 - 1  # of a whole number without a limit of its own


class Range(NamedTuple):
    """A condition on a value, in words and as a test."""

    says: str
    holds: Callable[[Any], bool]


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def whole(low: int, high: int = MOST) -> Range:
    says = f"a whole number from {low} to {high:,}" if high != MOST else f"a whole number of at least {low}"
    return Range(says, lambda value: type(value) is int and low <= value <= high)


def choice(*options: Any) -> Range:
    names = ", ".join("null" if option is None else str(option) for option in options)
    return Range(f"one of {names}", lambda value: value in options)


def optional(term: Range, other: str | None = None) -> Range:
    return Range(f"{term.says}, or {other or 'null'}", lambda value: value == other or term.holds(value))


def each(term: Range) -> Range:
    """One value, or a list of them."""
    return Range(f"{term.says}, or a list of such", lambda value: term.holds(value) or listed(term).holds(value))


def listed(term: Range) -> Range:
    return Range(f"a list of {term.says}", lambda value: isinstance(value, list) and all(map(term.holds, value)))


def distinct(value: Any, least: int) -> bool:
    """Return whether a value is a list of at least ``least`` items, each once."""
    return isinstance(value, list) and len(value) >= least and len(set(map(str, value))) == len(value)


auto = functools.partial(optional, other="auto")
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
    "odd": Range("an odd whole number, as 3, 5 or 7", lambda value: type(value) is int and value > 0 and value % 2 == 1),
    "path": Range("a file that exists, or a folder of images", lambda path: isinstance(path, str) and Path(path).exists()),
    "no_folds": Range("null: the splits of this data set are given, and it has no folds", lambda value: value is None),
    "frequency": Range(
        "a number above 0, or the two ends of a range, lower first",
        lambda value: positive.holds(value) or (listed(positive).holds(value) and len(value) == 2 and value[0] <= value[1]),
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
WRAPPERS: dict[str, Callable[[Range], Range]] = {"optional": optional, "auto": auto, "each": each, "list": listed}
FUNCTIONS: dict[str, Callable[..., Range]] = {"whole": whole, "choice": choice}


@functools.cache
def read(words: str) -> Range:
    """Return the range that words such as ``optional whole 1`` or ``choice mixup cutmix null`` describe."""
    first, _, rest = words.partition(" ")
    if first in WRAPPERS:
        return WRAPPERS[first](read(rest))
    return FUNCTIONS[first](*map(yaml.safe_load, rest.split())) if first in FUNCTIONS else NAMES[first]


@functools.cache
def loaded(path: Path = CONF / "ranges.yaml") -> dict[str, dict[str, Any]]:
    """Return the content of a YAML file, by the faster parser where there is one."""
    return cast(dict[str, dict[str, Any]], yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


@functools.cache
def of_classes() -> dict[str, dict[str, Range]]:
    """Return the ranges of arguments by class; a class of the user's own has none, whatever its arguments are called."""
    rules = {target: arguments for target, arguments in loaded().items() if not target.startswith("_")}
    return {target: {key: read(words) for key, words in arguments.items()} for target, arguments in rules.items()}


def groups(values: Iterable[str]) -> set[str]:
    """Return the groups of keys above the dotted keys of values."""
    return {key[:dot] for key in values for dot, sign in enumerate(key) if sign == "."}


def meant(key: str, values: Iterable[str]) -> str | None:
    """Return the key that another name stands for, such as ``epochs`` or ``optimizer.lr``; None if that is not clear.

    Args:
        key: Name that a user has typed.
        values: Dotted keys of a configuration's values, and its groups of options.
    """
    names, name = groups(values) | set(values), key.lower().replace("-", "_")
    for typed in dict.fromkeys((key, name, name.rpartition(".")[2])):
        ends = [typed] if typed in names else [one for one in names if one.endswith(f".{typed}")]
        if len(ends) == 1:
            return ends[0]
        for habit, words in loaded()["_habits"].items():
            one = habit.partition("=")[0]
            if typed in words.split() and (one in names or one.startswith("hydra.")):
                return habit
    return None


def advice(section: str, text: str) -> str | None:
    """Return the advice of the first pattern in a section of ``conf/ranges.yaml`` that ``key=value`` matches."""
    return next((advice for pattern, advice in loaded()[section].items() if fnmatchcase(text, pattern)), None)


def of_arguments(config: Any, path: str = "") -> dict[str, Range]:
    """Return the ranges of a plain configuration's values by dotted key, for each class that it names."""
    if not isinstance(config, dict):
        return {}
    found = {f"{path}{argument}": term for argument, term in of_classes().get(str(config.get("_target_")), {}).items()}
    for key, value in config.items():
        found |= of_arguments(value, f"{path}{key}.")
    return found


class Key(NamedTuple):
    """One key, or with a dot at its end all keys below it.

    Args:
        words: Range of its values, see :func:`read`; without one they keep the type of the value in its YAML file.
        changes: What another value makes of a run: ``nothing`` of its figures; ``jobs``, other jobs of a sweep;
            ``rounding``, their last digits; ``repeat``, a repeat of the experiment; ``precision``; another ``experiment``.
        resume: A resumed run may change it.
        typed: A text that is taken as typed, without quotes for Hydra.
        path: A path, taken as typed too, which a run stores as an absolute one.
        loop: Only the training loop reads it: a baseline, which is fitted in closed form, has none.
        open: An argument of another library's class, which may be added with +; the class itself checks it.
    """

    words: str = ""
    changes: Literal["nothing", "jobs", "rounding", "repeat", "precision", "experiment"] = "experiment"
    resume: bool = False
    typed: bool = False
    path: bool = False
    loop: bool = False
    open: bool = False


KEYS: dict[str, Key] = {key: Key(**fields) for key, fields in loaded(Path(__file__).with_name("keys.yaml")).items()}


def of(key: str) -> Key:
    """Return the entry of a key, or that of the nearest group of keys above it."""
    entry = key
    while key and entry not in KEYS:
        key = key.rpartition(".")[0]
        entry = f"{key}."
    return KEYS.get(entry, Key())


def range_of(key: str, arguments: dict[str, Range]) -> Range | None:
    """Return the range of a key: that of the argument of a class (:func:`of_arguments`), or that of the table."""
    return arguments.get(key) or (read(of(key).words) if of(key).words else None)


def idle(key: str) -> bool:
    """Return whether a key decides where files are and what is shown, and changes no figure."""
    return of(key).changes in ("nothing", "jobs")


def neutral(key: str) -> bool:
    """Return whether runs that differ in a key only are the same experiment, or repeats of it."""
    return of(key).changes in ("nothing", "jobs", "rounding", "repeat")
