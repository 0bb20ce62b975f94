"""Train, validation and test, and the rows that scaling is learnt from: the one place where rows are divided.

**The test split chooses nothing.** Test rows are set aside first: by their position, by a seeded draw, or by the source's
own files, never by what they hold (a stratified draw looks at the classes, and at nothing else). Validation is taken out of
the other rows. Whatever is learnt from data (means, standard deviations, levels of a category, n-grams) is learnt from the
rows of train, see :func:`fitting_rows`. Two settings break this rule, because some sources did: ``validation="test"`` and
``scaling="all"``. Runs that use them are recorded with ``"honest": false``.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.preprocessing import StandardScaler

from src.errors import UserError

SPLITS = ("train", "val", "test")
# Names that people give to splits, in lower case.
NAMES = {"train": ("train", "training"), "val": ("val", "valid", "validation", "dev"), "test": ("test", "testing")}

# Cuts rows in two, the second part a fraction (float) or a number (int) of them.
Cut = Callable[[np.ndarray, float], tuple[np.ndarray, np.ndarray]]
# Fraction or number of the test rows; the test rows, where a source names them; of a fold the other rows and the test rows.
Test = float | np.ndarray | tuple[np.ndarray, np.ndarray]
Parts = dict[str, np.ndarray]  # row numbers by split


@dataclass(kw_only=True, eq=False)
class Folded:
    """Options of the splits of a data set that may be divided into folds; the first of its base classes."""

    test: float = 0.2  # fraction of the rows
    validation: float | str = 0.2  # fraction of the other rows, or ``test`` to validate on the test rows as some sources do
    split_seed: int = 0  # seed of the splits, and of nothing else
    folds: int | None = None  # number of parts of the rows, each of them the test rows of one run; null draws ``test``
    repeats: int = 1  # number of times that the rows are divided into folds, each time in another way
    fold: int | None = None  # number of this run's fold, over all repeats

    def divided_rows(self, rows: int, classes: Any = None, groups: Any = None, order: Any = None, **named: Any) -> Parts:
        """Divide rows at random, in whole groups, or in order, see :meth:`held_out`; ``named`` has splits that are given."""
        cut = at_random(self.split_seed, classes) if order is None else by_order(order)
        cut = cut if groups is None else by_group(self.split_seed, groups)
        test = named["test"] if "test" in named else self.held_out(rows, classes, groups, order)
        return divide(rows, test, named.get("val", self.validation), cut)

    def held_out(self, rows: int, classes: Any = None, groups: Any = None, order: Any = None) -> Test:
        """Return ``test``; or of a fold the other rows and the test rows, which :func:`divide` takes too.

        The test rows of the folds of a repeat together are all rows. Folds are stratified by ``classes`` or keep ``groups``
        whole. By the ``order`` of time each comes after the other rows, so that the first of ``folds`` + 1 parts is tested
        by none. All three have a value for each row, and the later ones come first.

        Raises:
            UserError: There is no such fold, or there are too few rows for so many.
        """
        if self.folds is None and self.fold is None:
            return self.test
        count, fold = (self.folds or 0) * self.repeats, "null" if self.fold is None else self.fold
        if self.folds is None or self.fold is None or self.fold >= count:
            raise UserError(
                f"data.fold={fold}: must be below data.folds × data.repeats = {count}; sweep=folds runs all folds"
            )
        from sklearn import model_selection  # slow to import

        repeat, number = divmod(self.fold, self.folds)
        if order is not None and groups is None and repeat:
            raise UserError(f"data.repeats={self.repeats}: rows in the order of time have one division; leave it out")
        drawn: Any = {"shuffle": True, "random_state": np.random.RandomState([self.split_seed, repeat])}
        every, kind = np.arange(rows), model_selection.KFold if classes is None else model_selection.StratifiedKFold
        folds = kind(self.folds, **drawn) if groups is None else model_selection.GroupKFold(self.folds, **drawn)
        if order is not None and groups is None:
            every, folds = np.argsort(order, kind="stable"), model_selection.TimeSeriesSplit(self.folds)
        try:
            with warnings.catch_warnings(action="error", category=UserWarning):  # of a class with fewer rows than folds
                rest, tested = list(folds.split(every, classes, groups))[number]
        except (ValueError, UserWarning) as error:
            raise UserError(f"data.folds={self.folds}: {str(error).rstrip('.')}; take fewer, or give more rows") from error
        return every[rest], every[tested]


def divide(rows: int, test: Test, validation: float | str | np.ndarray, cut: Cut) -> Parts:
    """Return the numbers of the rows of ``train``, ``val`` and ``test``.

    ``validation`` is a fraction or number of the rows that are not ``test``; or ``test``, to validate on the test rows as
    some sources do; or the validation rows themselves, where the source names them.

    Raises:
        UserError: There are too few rows for such splits.
    """
    every = np.arange(rows)
    try:
        if isinstance(validation, np.ndarray):
            every = np.delete(every, validation)
        if isinstance(test, tuple):
            rest, tested = test
        else:
            rest, tested = (np.setdiff1d(every, test), test) if isinstance(test, np.ndarray) else cut(every, test)
        if isinstance(validation, np.ndarray):
            train, val = rest, validation
        else:
            train, val = (rest, tested) if isinstance(validation, str) else cut(rest, validation)
        if not (len(train) and len(val) and len(tested)):
            raise ValueError(f"train would have {len(train):,} rows, val {len(val):,} and test {len(tested):,}")
    except ValueError as error:
        raise UserError(
            f"data.test, data.validation: {rows:,} rows cannot be divided so ({error}); change them, or give more rows"
        ) from error
    return {"train": train, "val": val, "test": tested}


def in_order(rows: np.ndarray, part: float) -> tuple[np.ndarray, np.ndarray]:
    """Cut off the last rows, as for a series, where the predicted values must follow those trained on."""
    first = max(0, len(rows) - (part if isinstance(part, int) else round(part * len(rows))))
    return rows[:first], rows[first:]


def at_random(seed: int, classes: np.ndarray | None = None) -> Cut:
    """Return a cut by scikit-learn's ``train_test_split``, stratified by ``classes`` (rows,) where they are given."""
    from sklearn.model_selection import train_test_split  # slow to import, and a series is cut in order

    def cut(rows: np.ndarray, part: float) -> tuple[np.ndarray, np.ndarray]:
        stratify = None if classes is None else classes[rows]
        rest, drawn = train_test_split(rows, test_size=part, random_state=seed, stratify=stratify)
        return rest, drawn

    return cut


def by_order(order: np.ndarray) -> Cut:
    """Return a cut that takes the last rows by ``order`` (rows,), as for rows that were recorded one after another."""
    return lambda rows, part: in_order(rows[np.argsort(order[rows], kind="stable")], part)


def by_group(seed: int, groups: np.ndarray) -> Cut:
    """Return a cut that draws whole groups, given by row (rows,): no group is on both sides."""
    from sklearn.model_selection import GroupShuffleSplit

    def cut(rows: np.ndarray, part: float) -> tuple[np.ndarray, np.ndarray]:
        if len(set(groups[rows])) < 2:
            raise ValueError("data.group has fewer groups than there are splits")
        draw = GroupShuffleSplit(1, test_size=part, random_state=seed)
        rest, drawn = next(draw.split(rows, groups=groups[rows]))
        return rows[rest], rows[drawn]

    return cut


def named(column: pd.Series) -> dict[str, np.ndarray]:
    """Return the row numbers of each split that a column names.

    Raises:
        UserError: A value is no name of a split, or no row is for train or for test.
    """
    split_of = {name: split for split, names in NAMES.items() for name in names}
    found = column.astype(str).str.strip().str.lower().map(split_of)
    if found.isna().any():
        at = found.isna().to_numpy().argmax()
        raise UserError(
            f"data.split={column.name}: line {column.index[at]}: {column.iloc[at]} is none of {', '.join(SPLITS)}"
        )
    if absent := {"train", "test"} - {*found}:
        raise UserError(f"data.split={column.name}: no row is for {' or '.join(sorted(absent))}")
    return {split: np.flatnonzero(found == split) for split in found.unique()}


def fitting_rows(parts: dict[str, np.ndarray], scaling: str) -> np.ndarray:
    """Return the rows that scaling is learnt from: those of ``train``, ``all`` rows in order, or ``none``."""
    if scaling == "all":
        return np.unique(np.concatenate(list(parts.values())))
    return parts["train"] if scaling == "train" else np.array([], dtype=int)


def fit_scaler(values: np.ndarray | pd.DataFrame, rows: np.ndarray) -> StandardScaler:
    """Return a scaler to mean 0 and standard deviation 1 by column, as ``rows`` of ``values`` have them.

    Without any rows it changes nothing.
    """
    if not len(rows):
        return StandardScaler().fit(np.array([[-1.0], [1.0]]).repeat(values.shape[1], axis=1))
    return StandardScaler().fit(values.iloc[rows].to_numpy() if isinstance(values, pd.DataFrame) else values[rows])
