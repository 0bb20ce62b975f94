"""IMDB's film reviews, positive or negative: as sequences of words, and as bags of words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.model_selection import train_test_split

from src.data.datamodule import InMemory, Spec, Split
from src.data.frames import require
from src.data.text import keras_files
from src.data.text.keras_files import Texts
from src.data.text.sequences import Bags, Sequences
from src.errors import UserError

CLASSES = ("negative", "positive")


class Reviews(InMemory):
    """25,000 reviews for training, with validation, and 25,000 for testing; half of each are positive.

    Words are numbered as Keras does: 0 is padding, 1 begins each text, 2 stands for a word outside of the vocabulary, and
    the n-th most frequent word is n + 3. A subclass says in ``fit`` and ``inputs`` what becomes of them.

    Args:
        folder: Where ``imdb/imdb.npz`` and ``imdb/imdb_word_index.json`` are.
        vocabulary: Words, at most, with the four reserved numbers; null takes all 88,588.
        validation: Share of the training reviews, stratified, or ``test`` to validate on the test reviews.
        split_seed: Of that split.
    """

    def __init__(
        self,
        folder: str,
        vocabulary: int | None = 10_003,
        validation: float | str = 0.08,
        split_seed: int = 0,
        **batches: Any,
    ):
        super().__init__(**batches)
        self.folder, self.vocabulary = Path(folder), vocabulary
        self.validation, self.split_seed = validation, split_seed

    def fit(self, train: Texts) -> tuple[Spec, Any]:
        """Learns from the training texts what :meth:`inputs` needs; returns what they become, and what that is."""
        raise NotImplementedError

    def inputs(self, texts: Texts) -> Any:
        """Texts as a network reads them."""
        raise NotImplementedError

    def load(self) -> dict[str, Split]:
        path, index = keras_files.find(self.folder)
        self.index = keras_files.read_index(index)
        self.words = keras_files.vocabulary(self.index, self.vocabulary)
        parts = {name: (*part, np.arange(len(part[1]))) for name, part in keras_files.read(path).items()}
        self.notes += keras_files.strange(path, keras_files.REVIEWS) + keras_files.strange(index, keras_files.INDEX)
        texts, labels, rows = parts["train"]
        if self.validation == "test":
            parts["val"] = parts["test"]
        else:
            try:
                places = train_test_split(rows, test_size=self.validation, stratify=labels, random_state=self.split_seed)
            except ValueError as error:
                raise UserError(f"data.validation={self.validation}: {error}") from error
            for name, rows in zip(("train", "val"), places, strict=True):
                parts[name] = texts.take(rows), labels[rows], rows
        known = {name: parts[name][0].known(len(self.words)) for name in ("train", "val", "test")}
        self.spec, train = self.fit(known["train"])
        splits = {}
        for name, part in known.items():
            _, labels, rows = parts[name]
            x = train if name == "train" else self.inputs(part)
            splits[name] = Split(x, torch.from_numpy(labels), pd.Index(rows, name="review"))
        return splits

    def encode(self, frame: pd.DataFrame) -> tuple[Any, pd.Index]:
        require(frame, ["text"], [self.spec.target])
        texts = frame["text"].fillna("").astype(str).tolist()
        encoded = keras_files.encode(texts, self.index).known(len(self.words))
        known = np.logical_or.reduceat(encoded.words > keras_files.UNKNOWN, encoded.ends - np.diff(encoded.ends, prepend=0))
        if not known.all():
            row = frame.index[~known][0]
            what = "is empty" if not texts[int((~known).argmax())].strip() else "has no word of the vocabulary"
            raise UserError(f"{frame.index.name or 'text'} {row}: the text {what}")
        return self.inputs(encoded), frame.index

    def unknown(self, text: str) -> list[str]:
        """The words of a text that are outside of the vocabulary, each once."""
        vocabulary = set(self.words)
        return [word for word in dict.fromkeys(keras_files.split(text)) if word not in vocabulary]


class IMDB(Reviews):
    """Reviews as sequences of word numbers, of which the last ones count.

    Args:
        longest: Words of a review that count.
        pad_to: Lengths are padded in front to a multiple of so many; as many as ``longest`` pads all to that, as the source.
        reviews: As for all reviews.
    """

    def __init__(self, folder: str, longest: int = 500, pad_to: int = 25, **reviews: Any):
        super().__init__(folder, **reviews)
        self.longest, self.pad_to = longest, pad_to

    def fit(self, train: Texts) -> tuple[Spec, Sequences]:
        spec = Spec(
            shape=(self.longest,),
            outputs=1,
            columns=tuple(f"word_{place}" for place in range(-self.longest, 0)),
            target="sentiment",
            classes=CLASSES,
            words=self.words,
            longest=self.longest,
        )
        return spec, self.inputs(train)

    def inputs(self, texts: Texts) -> Sequences:
        return Sequences(torch.from_numpy(texts.words), torch.from_numpy(texts.ends), self.longest, self.pad_to)


class IMDBBags(Reviews):
    """Reviews as bags: a sparse row with a column for each word number, and for n-grams of them.

    Args:
        ngrams: Longest runs of words that have columns.
        min_count: How often an n-gram of two words or more occurs in the training reviews, at least, to have one.
        weighting: ``binary`` (0 or 1), ``counts``, or ``tfidf`` (scikit-learn's, fitted to the training reviews).
        reviews: As for all reviews.
    """

    def __init__(self, folder: str, ngrams: int = 1, min_count: int = 2, weighting: str = "binary", **reviews: Any):
        super().__init__(folder, **reviews)
        self.ngrams, self.min_count, self.weighting = ngrams, min_count, weighting

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
        """How often each text holds each word and each n-gram that has a column; which ones have is to be learnt once."""
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
            kept = self.runs[further - 1]
            place = kept.searchsorted(run)
            column = np.where(whole & (np.append(kept, -1)[place] == run), width + place, -1)
            cells.append((text[: len(column)][column >= 0], column[column >= 0]))
            width += len(kept)
        rows, columns = (np.concatenate(part) for part in zip(*cells, strict=True))
        return sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(len(texts.ends), width))

    def split(self, runs: np.ndarray) -> Iterator[tuple[int, int]]:
        """The column of the beginning and the last word of each run."""
        return zip(*(part.tolist() for part in np.divmod(runs, len(self.words))), strict=True)

    def weighted(self, bags: sparse.csr_matrix) -> Bags:
        if self.weighting == "binary":
            bags.data[:] = 1
        return Bags(self.scale.transform(bags) if self.scale else bags)
