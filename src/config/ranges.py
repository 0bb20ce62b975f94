"""What the values of a configuration must be, by the field's terms: the last part of a key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple


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
    "color": share,
    "crop": whole(0),
    "crop_size": whole(1),
    "day_of_week": flag,
    "descriptors": flag,
    "ends": whole(1),
    "erasing": share,
    "eval_batch_size": whole(1),
    "every_step": flag,
    "date_format": optional(name),
    "features": optional(
        Term(
            "a list of column names, each once",
            lambda v: isinstance(v, list) and len(v) > 0 and all(map(name.holds, v)) and len(set(v)) == len(v),
        )
    ),
    "fine": flag,
    "flip": flag,
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
    "longest": whole(1, 10_000),
    "min_count": whole(1),
    "mix": choice("mixup", "cutmix", None),
    "missing": choice("refuse", "previous", "interpolate"),
    "normalize": flag,
    "ngrams": whole(1, 5),
    "noise": not_negative,
    "origins": whole(1),
    "outputs": choice(1, 2),
    "path": optional(
        Term("a file that exists, or a folder of pictures", lambda value: isinstance(value, str) and Path(value).exists())
    ),
    "pad_to": whole(1),
    "phase": Term("a number from 0 to 1", lambda value: is_number(value) and 0 <= value <= 1),
    "pickle": optional(name),
    "resize": optional(whole(1)),
    "resize_size": whole(1),
    "rotation": not_negative,
    "repeats": whole(1),
    "roll_out": optional(whole(1)),
    "sampler": choice("balanced", None),
    "samples": whole(4),
    "scaling": choice("train", "all", "none"),
    "season": whole(1),
    "squash": flag,
    "split_seed": whole(0, 2**32 - 1),
    "steps": whole(1),
    "stride": whole(1),
    "target": name,
    "test": part,
    "top": whole(1, 1000),
    "transform": choice("standard", "normal_scores"),
    "unreadable": choice("skip", "refuse"),
    "validation": Term("a share between 0 and 1, or test", lambda value: value == "test" or part.holds(value)),
    "vocabulary": optional(whole(5)),
    "view": choice("imputed", "masked", "summaries"),
    "waves": Term(
        "a list of two or more of sine, square, triangle, sawtooth, each once",
        lambda value: (
            isinstance(value, list)
            and {"sine", "square", "triangle", "sawtooth"} >= set(map(str, value))
            and len(set(map(str, value))) == len(value) >= 2
        ),
    ),
    "weighting": choice("binary", "counts", "tfidf"),
    "window": optional(whole(1)),
    "windows": choice("fixed", "prefixes"),
    # networks and baselines
    "accepts": listed(choice(*KINDS)),
    "channels": listed(whole(1)),
    "dropout": each(share),
    "embedding_size": whole(1),
    "encoder": Term("the folder of a finished autoencoder's run", lambda value: name.holds(value) and value != "???"),
    "head_dropout": share,
    "hidden_size": whole(1),
    "input": choice(*KINDS),
    "input_dropout": share,
    "replicas": whole(1),
    "size": whole(1),
    "num_layers": whole(1),
    "tasks": listed(name),
    "weights": name,
    "vectors": optional(name),
    "width": whole(1),
    "widths": listed(whole(1)),
    # tasks and training
    "alpha": positive,
    "check_val_every_n_epoch": whole(1),
    "confirm": flag,
    "class_weights": Term(
        "balanced, or a list of numbers above 0, or null",
        lambda value: value in (None, "balanced") or (isinstance(value, list) and all(map(positive.holds, value))),
    ),
    "decay": part,
    "devices": whole(1, 1024),
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
    "num_nodes": whole(1, 1024),
    "on_error": choice("continue", "stop"),
    "patience": whole(1),
    "precision": choice("32-true", "bf16-mixed", "16-mixed"),
    "seed": whole(0, 2**32 - 1),
    "test_weights": choice("best", "last"),
    "threads": optional(whole(1)),
    "trust": flag,
    "weight_decay": not_negative,
}
