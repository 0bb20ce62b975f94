"""Words of texts, and their numbers. Imports no torch."""

import unicodedata
from itertools import chain
from typing import NamedTuple

import numpy as np

# Words are numbered as by keras.datasets.imdb.load_data: the n-th most frequent is n + 3; lower numbers are not words.
RESERVED = ("<PAD>", "<START>", "<UNK>", "<UNUSED>")
START, UNKNOWN, FIRST = 1, 2, 3


class Texts(NamedTuple):
    """Texts as word numbers."""

    words: np.ndarray  # numbers of the words of all texts, one text after another, each beginning with START; int32 (n,)
    ends: np.ndarray  # end of each text in ``words``; int64 (texts,)

    def take(self, rows: np.ndarray) -> "Texts":
        """Return some of the texts."""
        starts = np.concatenate([[0], self.ends[:-1]])[rows]
        words = [self.words[start:end] for start, end in zip(starts, self.ends[rows], strict=True)]
        return Texts(np.concatenate(words), (self.ends[rows] - starts).cumsum())

    def joined(self, more: "Texts") -> "Texts":
        """Return these texts and more behind them."""
        return Texts(np.concatenate([self.words, more.words]), np.concatenate([self.ends, len(self.words) + more.ends]))

    def limited(self, vocabulary: int) -> "Texts":
        """Return the texts with UNKNOWN in place of numbers from ``vocabulary`` on."""
        return self._replace(words=np.where(self.words < vocabulary, self.words, np.int32(UNKNOWN)))


def numbered(lists: list[list[int]]) -> Texts:
    """Return texts with word numbers in place of ranks."""
    lengths = np.array([len(words) + 1 for words in lists], dtype=np.int64)
    ends = lengths.cumsum()
    started = chain.from_iterable(chain((START - FIRST,), words) for words in lists)
    return Texts(np.fromiter(started, np.int32, int(lengths.sum())) + np.int32(FIRST), ends)


def vocabulary(index: dict[str, int], most: int | None) -> tuple[str, ...]:
    """Return the words by number, at most ``most`` with the reserved ones."""
    names = list(RESERVED) + ["<UNUSED>"] * len(index)
    for word, rank in index.items():
        if rank <= len(index):
            names[rank + FIRST] = word
    return tuple(names[:most])


def split(texts: list[str]) -> list[list[str]]:
    """Split texts into words, as Keras' Tokenizer does, but at the signs of all languages, not those of ASCII alone."""
    texts = [unicodedata.normalize("NFKC", text).lower().replace("\u2019", "'") for text in texts]
    signs = {sign for sign in set().union(*texts) if unicodedata.category(sign)[0] not in "LMN"} - {"'"}
    blanks = str.maketrans(dict.fromkeys(signs, " "))
    return [text.translate(blanks).split() for text in texts]


def learnt(texts: list[str], train: np.ndarray, most: int | None, min_count: int) -> tuple[dict[str, int], Texts]:
    """Return the rank of each word of a vocabulary, the most frequent first, and the texts in its numbers.

    Words are counted in the rows ``train``. Those with fewer than ``min_count`` occurrences have no number, nor those beyond
    the ``most`` numbers, the reserved ones included.
    """
    places: dict[str, int] = {}  # ranks by first occurrence
    found = numbered([[places.setdefault(word, len(places) + 1) for word in text] for text in split(texts)])
    names, size = list(places), FIRST + 1 + len(places)
    counts = np.bincount(found.take(train).words, minlength=size)[FIRST + 1 :]
    often = sorted(np.flatnonzero(counts >= min_count).tolist(), key=lambda place: (-counts[place], names[place]))
    kept = often[: None if most is None else most - FIRST - 1]
    numbers = np.full(size, UNKNOWN, np.int32)
    numbers[[*range(FIRST + 1), *(FIRST + 1 + place for place in kept)]] = np.arange(FIRST + 1 + len(kept))
    return {names[place]: rank for rank, place in enumerate(kept, 1)}, found._replace(words=numbers[found.words])
