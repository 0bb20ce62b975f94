"""Files of word vectors in text form, as GloVe, word2vec and fastText write them: a word and its numbers on each line."""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Collection, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

from src.errors import UserError

LONGEST = 2**16  # characters of a line
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|[-+]?(nan|inf)", re.IGNORECASE)


def read(path: Path, size: int, words: Collection[str]) -> Iterator[tuple[str, list[float]]]:
    """Yield each of ``words`` that a file has, with its ``size`` numbers, once.

    Fields are separated by single blanks or tabs. The first line may be a header, the number of words and their size, as
    word2vec and fastText write it; lines may end with a blank, as fastText's do; a word may hold blanks, as in glove.840B.

    Raises:
        UserError: The file is damaged, its vectors have different lengths, or not ``size`` numbers, or a word has two.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    found: dict[str, tuple[list[float], int]] = {}  # vector and line of each word
    try:
        with opened(path, "rt", encoding="utf-8-sig", errors="replace", newline="\n") as file:
            for number, line in enumerate(iter(lambda: file.readline(LONGEST), ""), start=1):
                text = line.replace("\t", " ").rstrip(" \r\n")
                header = re.fullmatch(r"\d+ (\d+)", text) if number == 1 else None
                if not text or (header and int(header[1]) == size):
                    continue
                word, *values = text.rsplit(" ", size)
                fits = len(values) == size and not (" " in word and NUMBER.fullmatch(word.rpartition(" ")[2]))
                if header or not fits:
                    ends = takewhile(NUMBER.fullmatch, reversed(text.split(" ")[1:]))
                    width = int(header[1]) if header else len(list(ends))
                    if number == 1:
                        raise UserError(f"vectors={path}: has vectors of {width} numbers; set model.embedding.size={width}")
                    raise UserError(f"vectors={path}: line {number} has {width} numbers after its word, not {size}")
                if word not in words:
                    continue
                try:
                    vector = list(map(float, values))
                except ValueError as error:
                    raise ValueError(f"line {number}: {error}") from error
                if not all(map(math.isfinite, vector)):
                    raise ValueError(f"line {number} holds NaN or infinity")
                first, earlier = found.setdefault(word, (vector, number))
                if vector != first:
                    raise UserError(f"vectors={path}: lines {earlier} and {number} are two vectors of {word}; remove one")
                if earlier == number:
                    yield word, vector
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise UserError(f"vectors={path}: cannot be read ({error})") from error


def fill(weights: Any, words: tuple[str, ...], path: Path) -> float:
    """Copy the word vectors of a file into an embedding; words that the file lacks keep their random vector.

    Args:
        weights: Weights of the embedding (words, size).
        words: Vocabulary, in the order of the embedding's rows.
        path: File of word vectors in text form, plain or gzip.

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
