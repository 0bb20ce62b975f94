"""Files of word vectors in GloVe's text format: a word and its numbers on each line, separated by single spaces."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from src.errors import UserError

LONGEST = 2**16  # characters of a line


def read(path: Path, size: int, words: Collection[str]) -> Iterator[tuple[str, list[float]]]:
    """Yield each of ``words`` that a file has, with its ``size`` numbers.

    Raises:
        UserError: The file is damaged, or its vectors have different lengths, or not ``size`` numbers.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8", errors="replace", newline="\n") as file:
            number = 0
            while line := file.readline(LONGEST):
                number += 1
                word, *values = line.rstrip("\n").split(" ")
                if len(values) != size:
                    if number == 1:
                        raise UserError(
                            f"vectors={path}: has vectors of {len(values)} numbers; set model.embedding.size={len(values)}"
                        )
                    raise UserError(f"vectors={path}: line {number} has {len(values)} numbers after its word, not {size}")
                if word in words:
                    vector = list(map(float, values))
                    if not all(map(math.isfinite, vector)):
                        raise ValueError(f"line {number} holds NaN or infinity")
                    yield word, vector
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise UserError(f"vectors={path}: cannot be read ({error})") from error


def fill(weights: Any, words: tuple[str, ...], path: Path) -> float:
    """Copy the word vectors of a file into an embedding; words that the file lacks keep their random vector.

    Args:
        weights: Weights of the embedding (words, size).
        words: Vocabulary, in the order of the embedding's rows.
        path: File in GloVe's text format, plain or gzip.

    Returns:
        The fraction of the words that the file has.

    Raises:
        UserError: The file is damaged, or its vectors have different lengths, or not the embedding's.
    """
    import torch  # late, since a run is checked before torch is imported

    rows = {word: row for row, word in enumerate(words)}
    found = {rows[word]: vector for word, vector in read(path, weights.shape[1], rows)}
    if not found:
        raise UserError(f"vectors={path}: holds none of the {len(words):,} words of the vocabulary")
    with torch.no_grad():
        weights[list(found)] = torch.tensor(list(found.values()))
    return len(found) / sum(not word.startswith("<") for word in words)
