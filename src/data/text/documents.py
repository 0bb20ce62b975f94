"""Texts as sequences of words, or as bags of words and of runs of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer

from src.data.datamodule import InMemory, Spec, require
from src.data.rows import OwnFile
from src.data.text import words
from src.data.text.sequences import Bags, Sequences
from src.data.text.words import Texts
from src.errors import UserError


@dataclass(kw_only=True, eq=False)
class Documents(InMemory):
    """Texts whose words have numbers. A subclass numbers them, and calls :meth:`learn` with those of train.

    Words are numbered as Keras does: 0 is padding, 1 begins each text, 2 stands for a word outside of the vocabulary, and
    the n-th most frequent word is n + 3.
    """

    text: str = "text"  # column of the texts
    view: str = "sequence"  # ``sequence`` of word numbers, or ``bag``: a sparse row, with a column for each word number
    vocabulary: int | None = 10_003  # largest number of words, with the four reserved numbers; None takes all
    longest: int = 500  # number of last words of a text that are kept; of sequences, as is ``pad_to``
    # lengths are padded in front to a multiple of this; the value of ``longest`` pads all to one length
    pad_to: int = 25
    ngrams: int = 1  # longest runs of words that have columns; of bags, as are the next two
    min_count: int = 2  # smallest number of occurrences in train that gives a run of two words or more a column
    # ``binary`` (0 or 1), ``counts``, or ``tfidf`` (scikit-learn's, fitted to the training texts)
    weighting: str = "binary"

    index: dict[str, int] = field(init=False)  # rank of each word
    words: tuple[str, ...] = field(init=False)  # words by number

    def __post_init__(self) -> None:
        super().__post_init__()
        self.texts = (self.text,)

    def learn(self, texts: Texts, parts: dict[str, np.ndarray], target: str) -> dict[str, Any]:
        """Return the inputs of each split, described in ``spec``; what is learnt for them is learnt from train."""
        train, longest = texts.take(parts["train"]), self.longest
        if self.view == "sequence":
            fitted, names = self.inputs(train), tuple(f"word_{step}" for step in range(-longest, 0))
        else:
            self.runs: list[np.ndarray] = []
            self.names = list(self.words)
            bags = self.counted(train, learn=True)
            self.scale = TfidfTransformer().fit(bags) if self.weighting == "tfidf" else None
            fitted, names, longest = self.weighted(bags), tuple(self.names), int(np.diff(bags.indptr).max())
        vocabulary = self.words if self.view == "sequence" else names
        self.spec = Spec((len(names),), 1, names, target, words=vocabulary, longest=longest)
        return {name: fitted if name == "train" else self.inputs(texts.take(rows)) for name, rows in parts.items()}

    def inputs(self, texts: Texts) -> Any:
        """Return texts as a network reads them."""
        if self.view == "sequence":
            return Sequences(torch.from_numpy(texts.words), torch.from_numpy(texts.ends), self.longest, self.pad_to)
        return self.weighted(self.counted(texts))

    def encode(self, frame: pd.DataFrame) -> tuple[Any, pd.Index]:
        require(frame, [self.text], allowed=list(frame))
        split, name = words.split(frame[self.text].fillna("").astype(str).tolist()), frame.index.name or "text"
        if [] in split:
            raise UserError(f"{name} {frame.index[split.index([])]}: the text is empty")
        vocabulary = set(self.words)
        if strange := [at for at, text in zip(frame.index, split, strict=True) if vocabulary.isdisjoint(text)]:
            self.notes.append(f"texts without a word of the vocabulary: {len(strange):,}, the first on {name} {strange[0]}")
        ranks = [[self.index.get(word, words.UNKNOWN - words.FIRST) for word in text] for text in split]
        return self.inputs(words.numbered(ranks).limited(len(self.words))), frame.index

    def encode_text(self, text: str) -> tuple[Any, pd.Index]:
        """Return the input of one text, which is named by ``text=``."""
        (split,) = words.split([text])
        if len(self.unknown(text)) == len(set(split)):
            raise UserError(f"text=...: the text {'has no word of the vocabulary' if split else 'is empty'}")
        return self.encode(pd.DataFrame({self.text: [text]}))

    def unknown(self, text: str) -> list[str]:
        """Return the words of a text that are outside of the vocabulary, each once."""
        vocabulary, (split,) = set(self.words), words.split([text])
        return [word for word in dict.fromkeys(split) if word not in vocabulary]

    def counted(self, texts: Texts, learn: bool = False) -> sparse.csr_matrix:
        """Count each word and each n-gram that has a column in each text; ``learn`` chooses the n-grams from these texts."""
        numbers, vocabulary = texts.words, len(self.words)
        text = np.repeat(np.arange(len(texts.ends)), np.diff(texts.ends, prepend=0))
        column = numbers.astype(np.int64)  # of the run that begins at each word
        cells, width = [(text, column)], vocabulary
        for further in range(1, self.ngrams):
            # a run has a column only if its beginning, one word shorter, has one; both and the last word make its number
            run = column[:-1] * vocabulary + numbers[further:]
            whole = (column[:-1] >= 0) & (text[:-further] == text[further:])
            if learn:
                found, counts = np.unique(run[whole], return_counts=True)
                self.runs.append(found[counts >= self.min_count])
                self.names += [f"{self.names[first]} {self.words[last]}" for first, last in self.parted(self.runs[-1])]
            chosen = self.runs[further - 1]
            index = chosen.searchsorted(run)
            column = np.where(whole & (np.append(chosen, -1)[index] == run), width + index, -1)
            cells.append((text[: len(column)][column >= 0], column[column >= 0]))
            width += len(chosen)
        rows, columns = (np.concatenate(part) for part in zip(*cells, strict=True))
        return sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(len(texts.ends), width))

    def parted(self, runs: np.ndarray) -> Iterator[tuple[int, int]]:
        """Return the column of the beginning and the last word of each run."""
        return zip(*(part.tolist() for part in np.divmod(runs, len(self.words))), strict=True)

    def weighted(self, bags: sparse.csr_matrix) -> Bags:
        if self.weighting == "binary":
            bags.data[:] = 1
        return Bags(self.scale.transform(bags) if self.scale else bags)


@dataclass(kw_only=True, eq=False)
class File(OwnFile, Documents):
    """Texts in a column of a file, or in a folder with one folder per class. Their vocabulary is made from train."""

    min_count: int = 2  # smallest number of occurrences in train that gives a word a number, and a run of words a column

    def read_rows(self, source: Path, texts: Sequence[str], new: bool = True) -> tuple[pd.DataFrame, list[str]]:
        frame, notes = super().read_rows(source, texts, new)
        if self.text not in frame or (new and self.target not in texts):  # each new row is predicted
            return frame, notes
        known = frame[self.text].str.contains(r"[^\W_]")
        if not known.any():
            raise UserError(f"column {self.text}: no row has a text")
        left_out = f"{source.name}: rows without {self.text}, left out: {(~known).sum():,}"
        return frame[known], notes + [left_out] * (not known.all())

    def fit(self, frame: pd.DataFrame, parts: dict[str, np.ndarray], fitting: np.ndarray) -> dict[str, Any]:
        self.index, texts = words.learnt(frame[self.text].tolist(), parts["train"], self.vocabulary, self.min_count)
        if not self.index:
            raise UserError(f"data.min_count={self.min_count}: no word occurs so often in train; set a smaller number")
        self.words = (*words.RESERVED, *self.index)
        return self.learn(texts, parts, self.target)
