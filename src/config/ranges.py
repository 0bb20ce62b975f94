"""Ranges of values: by name, and the arguments of Labbook's classes that have one (``conf/ranges.yaml``)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

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
    return Range(
        f"{term.says}, or a list of such",
        lambda value: all(map(term.holds, value)) if isinstance(value, list) else term.holds(value),
    )


def listed(term: Range) -> Range:
    return Range(f"a list of {term.says}", lambda value: isinstance(value, list) and all(map(term.holds, value)))


def distinct(value: Any, least: int) -> bool:
    """Return whether a value is a list of at least ``least`` items, each once."""
    return isinstance(value, list) and len(value) >= least and len(set(map(str, value))) == len(value)


positive = Range("a number above 0", lambda value: is_number(value) and 0 < value < float("inf"))
not_negative = Range("a number of at least 0", lambda value: is_number(value) and 0 <= value < float("inf"))
part = Range("a number between 0 and 1", lambda value: is_number(value) and 0 < value < 1)
flag = Range("true or false", lambda value: isinstance(value, bool))
name = Range("a name", lambda value: isinstance(value, str) and bool(value))

# Words of conf/ranges.yaml: a range, or a function that takes the words after it.
NAMES: dict[str, Range] = {
    "positive": positive,
    "not_negative": not_negative,
    "part": part,
    "flag": flag,
    "name": name,
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


def read(words: str) -> Range:
    """Return the range that words such as ``optional whole 1`` or ``choice mixup cutmix null`` describe."""
    first, _, rest = words.partition(" ")
    if first in WRAPPERS:
        return WRAPPERS[first](read(rest))
    return FUNCTIONS[first](*map(yaml.safe_load, rest.split())) if first in FUNCTIONS else NAMES[first]


@functools.cache
def of_classes() -> dict[str, dict[str, Range]]:
    """Return the ranges of arguments by class; a class of the user's own has none, whatever its arguments are called."""
    stored = yaml.load((CONF / "ranges.yaml").read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    rules = {target: arguments for target, arguments in stored.items() if not target.startswith("_")}
    return {target: {key: read(words) for key, words in arguments.items()} for target, arguments in rules.items()}


def of_arguments(config: Any, path: str = "") -> dict[str, Range]:
    """Return the ranges of a plain configuration's values by dotted key, for each class that it names."""
    found: dict[str, Range] = {}
    if isinstance(config, dict):
        for argument, term in of_classes().get(str(config.get("_target_")), {}).items():
            found[f"{path}{argument}"] = term
        for key, value in config.items():
            found |= of_arguments(value, f"{path}{key}.")
    return found
