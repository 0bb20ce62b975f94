"""Word vectors that were trained elsewhere, in GloVe's text format, as a network's embedding."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from src.errors import UserError

LONGEST = 2**16  # characters of a line


def check(path: Path, config: Any, model: str) -> None:
    """Raises a UserError if no vectors can be put into the network of a configuration; reads only what is asked for."""
    if config.data.input not in ("tokens", "bag"):
        raise UserError(f"vectors={path}: are of words, and data with input {config.data.input} have none")
    if "embedding" not in config.model:
        raise UserError(f"vectors={path}: model={model} has no embedding of words that they could fill")
    if not path.is_file():
        raise UserError(f"vectors={path}: there is no such file; https://nlp.stanford.edu/projects/glove has some")


def fill(network: Any, words: tuple[str, ...], path: Path) -> float:
    """Puts a file's vectors into a network's embedding; words that it lacks keep theirs.

    Args:
        network: Whose first layer is :class:`src.networks.inputs.Steps`.
        words: The vocabulary, in the order of the embedding.
        path: Lines of a word and its numbers, separated by one space; plain, or compressed by gzip.

    Returns:
        The share of the words that the file has.

    Raises:
        UserError: The file is damaged, or its vectors are ragged or of another width.
    """
    import torch

    weights = network.steps.embedding.weight
    places = {word: place for place, word in enumerate(words)}
    found: dict[int, list[float]] = {}
    for word, vector in read(path, weights.shape[1], places):
        found[places[word]] = vector
    if not found:
        raise UserError(f"vectors={path}: holds none of the {len(words):,} words of the vocabulary")
    with torch.no_grad():
        weights[list(found)] = torch.tensor(list(found.values()))
    return len(found) / sum(not word.startswith("<") for word in words)


def read(path: Path, width: int, wanted: Any) -> Iterator[tuple[str, list[float]]]:
    """The vectors of the words that are wanted."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8", errors="replace", newline="\n") as file:
            number = 0
            while line := file.readline(LONGEST):
                number += 1
                word, *values = line.rstrip("\n").split(" ")
                if len(values) != width:
                    if number == 1:
                        raise UserError(
                            f"vectors={path}: has vectors of {len(values)} numbers; set model.embedding.size={len(values)}"
                        )
                    raise UserError(f"vectors={path}: line {number} has {len(values)} numbers after its word, not {width}")
                if word in wanted:
                    vector = list(map(float, values))
                    if not all(map(math.isfinite, vector)):
                        raise ValueError(f"line {number} holds NaN or infinity")
                    yield word, vector
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise UserError(f"vectors={path}: cannot be read ({error})") from error
