"""Tables: independent rows of numbers, categories and dates, and a target that is a number or a class."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from src.data import columns, splits, table_files
from src.data.datamodule import InMemory, Spec, Split, numbers, require
from src.errors import UserError


@dataclass(kw_only=True, eq=False)
class Table(InMemory):
    """A table with one target. A subclass returns the rows in ``frame``.

    The kind of each column is inferred from train (:func:`src.data.columns.infer`), and so is all that turns rows into
    numbers (:func:`src.data.columns.transformer`).
    """

    target: str  # column to predict
    test: float = 0.2  # fraction of the rows, drawn at random
    # fraction of the remaining rows, or ``test`` to validate on the test rows as the source does
    validation: float | str = 0.2
    # rows that mean and standard deviation of columns and target come from: train (without validation), all, or none
    scaling: str = "train"
    split_seed: int = 0  # seed of the splits, and of nothing else
    classes: bool = False  # the target is a class and not a number
    # columns that are ``numbers`` or ``categories``, and those to ``ignore``, where the inferred kind is wrong
    given: dict[str, Sequence[str]] = field(default_factory=dict)
    min_count: int = 1  # number of rows of train below which a level of a category is rare; rare levels are pooled
    most_levels: int | None = None  # largest number of levels of a category; None keeps all

    def frame(self) -> pd.DataFrame:
        """Return all rows, inputs and target."""
        raise NotImplementedError

    def parts(self, frame: pd.DataFrame, classes: np.ndarray | None) -> dict[str, np.ndarray]:
        """Return the row numbers of each split; ``classes`` (rows,) are numbers to stratify by."""
        return splits.divide(len(frame), self.test, self.validation, splits.at_random(self.split_seed, classes))

    def load(self) -> dict[str, Split]:
        frame = self.frame()
        if self.target not in frame:
            raise UserError(f"data.target={self.target}: no such column; choose one of: {', '.join(frame)}")
        names, known = sorted(frame[self.target].astype(str).unique(), key=natural), None
        if self.classes:
            known = np.array(pd.Categorical(frame[self.target].astype(str), categories=names).codes, dtype=np.int64)
        parts = self.parts(frame, known)
        fitting = splits.fitting_rows(parts, self.scaling)

        self.names = [name for name in frame if name != self.target]
        train = frame[self.names].iloc[parts["train"]]
        self.kinds = columns.infer(train, self.given)
        self.inputs = [name for name in self.names if name not in self.kinds.left_out]
        if not self.inputs:
            reasons = columns.reasons(self.kinds)
            raise UserError(
                f"data: no column can be used: {reasons}; where one is wrong, set data.numbers or data.categories"
            )
        self.texts = tuple(
            name for name in self.kinds.categories + self.kinds.dates if not pd.api.types.is_numeric_dtype(train[name])
        )
        self.transformer = columns.transformer(self.kinds, self.inputs, self.min_count, self.most_levels).fit(
            self.raw(train)
        )
        design = self.design(frame)
        self.scaler = splits.fit_scaler(design, fitting)
        self.spec = Spec(shape=(design.shape[1],), outputs=1, columns=tuple(design), target=self.target)
        y = self.of_classes(known, names) if known is not None else self.of_numbers(frame, fitting)
        return {name: Split(self.scaled(design.iloc[rows]), y[rows], frame.index[rows]) for name, rows in parts.items()}

    def of_classes(self, known: np.ndarray, names: list[str]) -> Tensor:
        """Return class numbers (n,), and describe them."""
        self.spec = self.spec._replace(classes=tuple(names), outputs=1 if len(names) == 2 else len(names))
        return torch.from_numpy(known)

    def of_numbers(self, frame: pd.DataFrame, fitting: np.ndarray) -> Tensor:
        """Return the scaled target (n,), and describe it."""
        try:
            target = numbers(frame, [self.target])
        except UserError as error:
            raise UserError(f"{error}; for classes choose task=classification, or task=binary for two") from error
        scaler = splits.fit_scaler(target, fitting)
        self.spec = self.spec._replace(center=float(scaler.mean_[0]), scale=float(scaler.scale_[0]))
        return torch.from_numpy(scaler.transform(target.to_numpy())[:, 0]).float()

    def raw(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the input columns, those of numbers as finite floats or missing.

        Raises:
            UserError: Names the line of the first value that is no number.
        """
        chosen = frame[self.inputs].copy()
        for name in self.kinds.numbers:
            given = frame[name].notna() & frame[name].ne("")
            chosen[name] = np.nan
            chosen.loc[given, name] = numbers(frame[given], [name])[name]
        return chosen

    def design(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the columns of numbers that a network sees, before scaling."""
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # of levels that train lacks, see encode
            values = self.transformer.transform(self.raw(frame))
        names = (re.sub("^missingindicator_(.*)", r"\1[missing]", name) for name in self.transformer.get_feature_names_out())
        return pd.DataFrame(np.asarray(values, dtype=float), columns=list(names), index=frame.index)

    def scaled(self, design: pd.DataFrame) -> Tensor:
        """Return the scaled inputs (n, columns)."""
        return torch.from_numpy(self.scaler.transform(design.to_numpy())).float()

    def encode(self, frame: pd.DataFrame) -> tuple[Tensor, pd.Index]:
        require(frame, self.inputs, allowed=[*self.names, self.target])
        frame = columns.without_missing(frame, self.texts, self.transformer)
        design = self.design(frame)
        self.notes += columns.unusual(frame[self.inputs], self.kinds, self.transformer)
        return self.scaled(design), frame.index


@dataclass(kw_only=True, eq=False)
class File(Table):
    """A table in a file of the user's own."""

    path: str  # CSV (also compressed), Parquet or Excel file
    task: str  # name of the task's class; the target is a number for regression, and a class for others
    test_path: str | None = None  # file of the test rows, with the same columns; None draws them from ``path``
    separator: str | None = None  # separator of the columns; None finds it
    decimal: str | None = None  # decimal mark of the numbers; None finds it
    missing: Sequence[str] = ()  # texts that mean a missing value, besides empty ones, NA, null and the like
    numbers: Sequence[str] = ()  # columns to take as numbers
    categories: Sequence[str] = ()  # columns to take as categories
    ignore: Sequence[str] = ()  # columns to leave out
    time: str | None = None  # column by which rows are ordered; the last rows are the test, those before them validation
    group: str | None = None  # column of groups, none of which is in two splits
    # column that holds train, val or test for each row; without val, validation is drawn from train
    split: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        left_out = {key: [name] for key in ("group", "split") if (name := getattr(self, key))}
        self.given = {"numbers": self.numbers, "categories": self.categories, "ignore": self.ignore, **left_out}
        self.classes = not self.task.endswith(".Regression")
        self.missing_texts, self.form = list(self.missing), table_files.Form(self.separator, self.decimal)

    def frame(self) -> pd.DataFrame:
        frame = self.read("path")
        if self.test_path:
            more = self.read("test_path")
            try:
                require(more, list(frame), allowed=[])
            except UserError as error:
                raise UserError(f"data.test_path={self.test_path}: {error}") from error
            self.tested = np.arange(len(frame), len(frame) + len(more))
            frame = pd.concat([frame, more[list(frame)]])
        return frame

    def read(self, key: str) -> pd.DataFrame:
        """Return the rows that have a target, of the file of an option."""
        path = Path(getattr(self, key))
        try:
            frame, notes = table_files.read(path, self.form, [self.target], self.missing_texts)
        except UserError as error:
            raise UserError(f"data.{key}={path}: {error}") from error
        self.notes += notes
        if self.target in frame and not (known := columns.has_target(frame[self.target], self.missing_texts)).all():
            self.notes.append(f"{path.name}: rows without {self.target}, left out: {int((~known).sum()):,}")
            frame = frame[known]
        if frame.empty:
            raise UserError(f"data.{key}={path}: has no rows")
        return frame

    def load(self) -> dict[str, Split]:
        try:
            parts = super().load()
        except UserError as error:
            raise UserError(f"data.path={self.path}: {error}" if str(error).startswith("line") else str(error)) from error
        self.notes.append(columns.described(self.kinds, self.transformer))
        if len(self.spec.classes) > 2 and all(map(str.isdecimal, self.spec.classes)):
            self.notes.append(f"{self.target}: whole numbers, taken as classes; task=regression takes them as an amount")
        return parts

    def read_rows(self, source: Path, texts: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
        return table_files.read(source, self.form, texts, self.missing_texts, blank=True)

    def parts(self, frame: pd.DataFrame, classes: np.ndarray | None) -> dict[str, np.ndarray]:
        test: Any
        validation: Any
        if classes is not None and not self.split:
            columns.check_classes(frame[self.target])
        cut, test, validation = splits.at_random(self.split_seed, classes), self.test, self.validation
        if self.time:
            cut = splits.by_order(columns.ranks(columns.filled(frame[self.time], "time")))
        if self.group:
            cut = splits.by_group(self.split_seed, columns.filled(frame[self.group], "group").astype(str).to_numpy())
        if self.split:
            named = splits.named(columns.filled(frame[self.split], "split"))
            test, validation = named["test"], named.get("val", validation)
        return splits.divide(len(frame), self.tested if self.test_path else test, validation, cut)


class Hitters(Table):
    """Major League Baseball, 1986 and 1987: 263 players with a recorded salary, 19 columns (ISLP, section 10.9.1)."""

    FILE = Path(__file__).parent / "files" / "Hitters.csv"

    def frame(self) -> pd.DataFrame:
        return pd.read_csv(self.FILE).dropna()


def natural(name: str) -> tuple[float, str]:
    """Return a key that sorts names of classes, numbers by their size."""
    try:
        return float(name), name
    except ValueError:
        return float("inf"), name
