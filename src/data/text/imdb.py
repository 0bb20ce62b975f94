"""IMDB's film reviews, positive or negative: as sequences of words, and as bags of words."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from src.data import splits
from src.data.datamodule import Split
from src.data.download import unpublished
from src.data.text import keras_files, words
from src.data.text.documents import Documents


@dataclass(kw_only=True, eq=False)
class IMDB(Documents):
    """25,000 reviews for training, with validation, and 25,000 for testing; half of each are positive."""

    folder: str  # folder with ``imdb/imdb.npz`` and ``imdb/imdb_word_index.json``
    # fraction of the training reviews, stratified, or ``test`` to validate on the test reviews
    validation: float | str = 0.08
    split_seed: int = 0  # seed of that split

    def load(self) -> dict[str, Split]:
        path, index = keras_files.find(Path(self.folder))
        self.index = keras_files.read_index(index)
        self.words = words.vocabulary(self.index, self.vocabulary)
        (train, train_labels), (test, test_labels) = keras_files.read(path).values()
        self.notes += unpublished(path, keras_files.REVIEWS.digest) + unpublished(index, keras_files.INDEX.digest)

        texts, labels = train.joined(test).limited(len(self.words)), np.concatenate([train_labels, test_labels])
        names = pd.Index([*range(len(train_labels)), *range(len(test_labels))], name="review")
        given = np.arange(len(train_labels), len(labels))
        parts = splits.divide(len(labels), given, self.validation, splits.at_random(self.split_seed, labels))
        inputs = self.learn(texts, parts, "sentiment")
        self.spec = self.spec._replace(classes=("negative", "positive"))
        return {name: Split(inputs[name], torch.from_numpy(labels[rows]), names[rows]) for name, rows in parts.items()}


@dataclass(kw_only=True, eq=False)
class IMDBBags(IMDB):
    """The same reviews as bags of words."""

    view: str = "bag"
