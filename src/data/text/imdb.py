"""IMDB's film reviews, positive or negative: as sequences of words, and as bags of words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer

from src.data import splits
from src.data.datamodule import InMemory, Spec, Split, require
from src.data.download import unpublished
from src.data.text import keras_files
from src.data.text.keras_files import Texts
from src.data.text.sequences import Bags, Sequences
from src.errors import UserError

CLASSES = ("negative", "positive")


@dataclass(kw_only=True, eq=False)
class Reviews(InMemory):
    """25,000 reviews for training, with validation, and 25,000 for testing; half of each are positive.

    Words are numbered as Keras does: 0 is padding, 1 begins each text, 2 stands for a word outside of the vocabulary, and
    the n-th most frequent word is n + 3. A subclass turns them into inputs in ``fit`` and ``inputs``.
    """

    folder: str  # folder with ``imdb/imdb.npz`` and ``imdb/imdb_word_index.json``
    vocabulary: int | None = 10_003  # largest number of words, with the four reserved numbers; null takes all 88,588
    # fraction of the training reviews, stratified, or ``test`` to validate on the test reviews
    validation: float | str = 0.08
    split_seed: int = 0  # seed of that split

    texts = ("text",)

    def fit(self, train: Texts) -> tuple[Spec, Any]:
        """Learn from the training texts what :meth:`inputs` needs; return the spec and their inputs."""
        raise NotImplementedError

    def inputs(self, texts: Texts) -> Any:
        """Return texts as a network reads them."""
        raise NotImplementedError

    def load(self) -> dict[str, Split]:
        path, index = keras_files.find(Path(self.folder))
        self.index = keras_files.read_index(index)
        self.words = keras_files.vocabulary(self.index, self.vocabulary)
        (train, train_labels), (test, test_labels) = keras_files.read(path).values()
        self.notes += unpublished(path, keras_files.REVIEWS.digest) + unpublished(index, keras_files.INDEX.digest)

        texts, labels = train.joined(test), np.concatenate([train_labels, test_labels])
        names = pd.Index([*range(len(train_labels)), *range(len(test_labels))], name="review")
        given = np.arange(len(train_labels), len(labels))
        parts = splits.divide(len(labels), given, self.validation, splits.at_random(self.split_seed, labels))
        taken = {name: texts.take(rows).limited(len(self.words)) for name, rows in parts.items()}
        self.spec, fitted = self.fit(taken["train"])
        inputs = {name: fitted if name == "train" else self.inputs(part) for name, part in taken.items()}
        return {name: Split(inputs[name], torch.from_numpy(labels[rows]), names[rows]) for name, rows in parts.items()}

    def encode(self, frame: pd.DataFrame) -> tuple[Any, pd.Index]:
        require(frame, ["text"], [self.spec.target])
        texts = frame["text"].fillna("").astype(str).tolist()
        encoded = keras_files.encode(texts, self.index).limited(len(self.words))
        starts = encoded.ends - np.diff(encoded.ends, prepend=0)
        usable = np.logical_or.reduceat(encoded.words > keras_files.UNKNOWN, starts)
        if not usable.all():
            first = int((~usable).argmax())
            fault = "has no word of the vocabulary" if texts[first].strip() else "is empty"
            raise UserError(f"{frame.index.name or 'text'} {frame.index[first]}: the text {fault}")
        return self.inputs(encoded), frame.index

    def encode_text(self, text: str) -> tuple[Any, pd.Index]:
        """Return the input of one text, which is named by ``text=``."""
        try:
            return self.encode(pd.DataFrame({"text": [text]}, index=pd.Index([""], name="text=")))
        except UserError as error:
            raise UserError(f"text=...: {str(error).partition(': ')[2]}") from error

    def unknown(self, text: str) -> list[str]:
        """Return the words of a text that are outside of the vocabulary, each once."""
        vocabulary = set(self.words)
        return [word for word in dict.fromkeys(keras_files.split(text)) if word not in vocabulary]


@dataclass(kw_only=True, eq=False)
class IMDB(Reviews):
    """Reviews as sequences of word numbers, cut to their last words."""

    longest: int = 500  # number of last words of a review that are kept
    # lengths are padded in front to a multiple of this; the value of ``longest`` pads all to one length, as the source
    # does
    pad_to: int = 25

    def fit(self, train: Texts) -> tuple[Spec, Sequences]:
        spec = Spec(
            shape=(self.longest,),
            outputs=1,
            columns=tuple(f"word_{position}" for position in range(-self.longest, 0)),
            target="sentiment",
            classes=CLASSES,
            words=self.words,
            longest=self.longest,
        )
        return spec, self.inputs(train)

    def inputs(self, texts: Texts) -> Sequences:
        return Sequences(torch.from_numpy(texts.words), torch.from_numpy(texts.ends), self.longest, self.pad_to)


@dataclass(kw_only=True, eq=False)
class IMDBBags(Reviews):
    """Reviews as bags: a sparse row with a column for each word number, and for n-grams of them."""

    ngrams: int = 1  # longest runs of words that have columns
    # smallest number of occurrences in the training reviews that gives an n-gram of two words or more a column
    min_count: int = 2
    # ``binary`` (0 or 1), ``counts``, or ``tfidf`` (scikit-learn's, fitted to the training reviews)
    weighting: str = "binary"

    def fit(self, train: Texts) -> tuple[Spec, Bags]:
        self.runs: list[np.ndarray] = []
        self.names = list(self.words)
        self.scale = TfidfTransformer() if self.weighting == "tfidf" else None
        bags = self.counted(train, learn=True)
        if self.scale:
            self.scale.fit(bags)
        spec = Spec(
            shape=(bags.shape[1],),
            outputs=1,
            columns=tuple(self.names),
            target="sentiment",
            classes=CLASSES,
            words=tuple(self.names),
            longest=int(np.diff(bags.indptr).max()),
        )
        return spec, self.weighted(bags)

    def inputs(self, texts: Texts) -> Bags:
        return self.weighted(self.counted(texts))

    def counted(self, texts: Texts, learn: bool = False) -> sparse.csr_matrix:
        """Count each word and each n-gram that has a column in each text; ``learn`` chooses the n-grams from these texts."""
        words, vocabulary = texts.words, len(self.words)
        text = np.repeat(np.arange(len(texts.ends)), np.diff(texts.ends, prepend=0))
        column = words.astype(np.int64)  # of the run that begins at each word
        cells, width = [(text, column)], vocabulary
        for further in range(1, self.ngrams):
            # a run has a column only if its beginning, one word shorter, has one; both and the last word make its number
            run = column[:-1] * vocabulary + words[further:]
            whole = (column[:-1] >= 0) & (text[:-further] == text[further:])
            if learn:
                found, counts = np.unique(run[whole], return_counts=True)
                self.runs.append(found[counts >= self.min_count])
                self.names += [f"{self.names[first]} {self.words[last]}" for first, last in self.split(self.runs[-1])]
            chosen = self.runs[further - 1]
            index = chosen.searchsorted(run)
            column = np.where(whole & (np.append(chosen, -1)[index] == run), width + index, -1)
            cells.append((text[: len(column)][column >= 0], column[column >= 0]))
            width += len(chosen)
        rows, columns = (np.concatenate(part) for part in zip(*cells, strict=True))
        return sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(len(texts.ends), width))

    def split(self, runs: np.ndarray) -> Iterator[tuple[int, int]]:
        """Return the column of the beginning and the last word of each run."""
        return zip(*(part.tolist() for part in np.divmod(runs, len(self.words))), strict=True)

    def weighted(self, bags: sparse.csr_matrix) -> Bags:
        if self.weighting == "binary":
            bags.data[:] = 1
        return Bags(self.scale.transform(bags) if self.scale else bags)
