"""Files of IMDB's 50,000 film reviews, as Keras publishes them: found, read, and numbered word by word."""

import json
import zipfile
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from src.data import download, unpickle
from src.data.text.words import Texts, numbered
from src.errors import UserError

REVIEWS, INDEX = download.SOURCES["imdb_reviews"], download.SOURCES["imdb_word_index"]
OFFICIAL = f"the official file is {REVIEWS.url} ({REVIEWS.digest})"

KERAS_SEED = 113  # it shuffles the reviews, which lie sorted by class, so that review 0 is the one that all books show

LARGEST, WORDS = 2**25, 2**24  # bytes of a member and words of a split: about twice and three times what there are


def present(data: Any) -> None:
    """Raise a UserError if the files of a configuration ``data`` are missing; called before torch is imported."""
    find(Path(data.folder))


def find(folder: Path) -> tuple[Path, Path]:
    """Return the files of reviews and of the index of words, below a data folder.

    Raises:
        UserError: One is missing and cannot be downloaded.
    """
    return download.find(folder, REVIEWS, "imdb.npz"), download.find(folder, INDEX, "imdb_word_index.json")


def read(path: Path) -> dict[str, tuple[Texts, np.ndarray]]:
    """Read the texts of train and test and their classes, 0 or 1, in the order in which Keras returns them.

    Raises:
        UserError: The file is damaged, hostile, or not of Keras' layout.
    """
    random, parts = np.random.RandomState(KERAS_SEED), {}
    try:
        with zipfile.ZipFile(path) as archive:
            for split in ("train", "test"):
                lists, labels = member(archive, f"x_{split}"), member(archive, f"y_{split}")
                check(lists, labels, split)
                order = np.arange(len(labels))
                random.shuffle(order)
                parts[split] = (numbered([lists[row] for row in order]), labels[order].astype(np.int64))
    except UserError as error:
        raise UserError(f"{path}: {error}; {OFFICIAL}") from None
    except Exception as error:  # a damaged archive can raise anything
        raise UserError(f"{path}: is damaged or not an .npz file ({type(error).__name__}: {error}); {OFFICIAL}") from error
    return parts


def member(archive: zipfile.ZipFile, name: str) -> Any:
    """Return an array of numbers out of an .npz file, or an array of lists as a list."""
    if f"{name}.npy" not in archive.namelist():
        raise UserError(f"it holds no {name}")
    info = archive.getinfo(f"{name}.npy")
    if info.file_size > LARGEST:
        raise UserError(f"its {name} would take {info.file_size:,} bytes, more than the {LARGEST:,} that are read")
    with archive.open(info) as file:
        header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, _, dtype = header[np.lib.format.read_magic(file)](file)
        if dtype.hasobject:
            return unpickle.lists(file)
        return np.frombuffer(file.read(), dtype).reshape(shape)


def check(lists: Any, labels: Any, split: str) -> None:
    """Raise a UserError unless these are lists of words, and a class for each."""
    if not isinstance(lists, list) or not all(type(words) is list for words in lists):
        raise UserError(f"its x_{split} is not an array of lists")
    if sum(map(len, lists)) > WORDS:
        raise UserError(f"its x_{split} would have more than {WORDS:,} words")
    if set(map(type, chain.from_iterable(lists))) - {int}:
        raise UserError(f"its x_{split} holds something other than whole numbers")
    if any(words and not 1 <= min(words) <= max(words) < 2**30 for words in lists):
        raise UserError(f"its x_{split} holds numbers that are not ranks of words, which count from 1")
    whole = isinstance(labels, np.ndarray) and labels.ndim == 1 and labels.dtype.kind in "biu"
    if not whole or {*labels.tolist()} - {0, 1}:
        raise UserError(f"its y_{split} holds something other than 0 and 1")
    if len(lists) != len(labels):
        raise UserError(f"it holds {len(lists):,} reviews in x_{split} and {len(labels):,} classes in y_{split}")


def read_index(path: Path) -> dict[str, int]:
    """Read the rank of each word, 1 for the most frequent.

    Raises:
        UserError: The file is damaged or holds something else.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it has more than {LARGEST:,} bytes")
        index = json.loads(path.read_bytes())
        if not isinstance(index, dict) or not all(type(rank) is int and rank > 0 for rank in index.values()):
            raise ValueError("it is not a mapping of words to ranks")
    except (ValueError, RecursionError, OSError) as error:
        raise UserError(f"{path}: cannot be read ({error}); the official file is {INDEX.url} ({INDEX.digest})") from error
    return index
