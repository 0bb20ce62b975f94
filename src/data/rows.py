"""Rows with one target, a number or a class: divided, and read from a file of the user's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from src.data import columns, splits, table_files
from src.data.datamodule import InMemory, Split, about, numbers, require
from src.data.splits import Folded
from src.errors import UserError


@dataclass(kw_only=True, eq=False)
class Rows(Folded, InMemory):
    """Rows with one target. A subclass returns them in ``frame``, and turns them into inputs in ``fit``."""

    target: str  # column to predict
    # rows that mean and standard deviation of columns and target come from: train (without validation), all, or none
    scaling: str = "train"
    classes: bool = False  # the target is a class and not a number

    def frame(self) -> pd.DataFrame:
        """Return all rows, inputs and target."""
        raise NotImplementedError

    def fit(self, frame: pd.DataFrame, parts: dict[str, np.ndarray], fitting: np.ndarray) -> dict[str, Any]:
        """Return the inputs of each split, and set ``spec`` as far as they decide it.

        ``parts`` has the row numbers of each split, and ``fitting`` those that scaling is learnt from.
        """
        raise NotImplementedError

    def parts(self, frame: pd.DataFrame, classes: np.ndarray | None) -> dict[str, np.ndarray]:
        """Return the row numbers of each split; ``classes`` (rows,) are numbers to stratify by."""
        return self.divided_rows(len(frame), classes)

    def load(self) -> dict[str, Split]:
        frame = self.frame()
        if self.target not in frame:
            raise UserError(f"data.target={self.target}: no such column; choose one of: {', '.join(frame)}")
        names, known = sorted(frame[self.target].astype(str).unique(), key=natural), None
        if self.classes:
            known = np.array(pd.Categorical(frame[self.target].astype(str), categories=names).codes, dtype=np.int64)
        parts = self.parts(frame, known)
        fitting = splits.fitting_rows(parts, self.scaling)
        x = self.fit(frame, parts, fitting)
        y = self.of_classes(known, names) if known is not None else self.of_numbers(frame, fitting)
        return {name: Split(x[name], y[rows], frame.index[rows]) for name, rows in parts.items()}

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


@dataclass(kw_only=True, eq=False)
class OwnFile(Rows):
    """Rows in a file of the user's own: options that read and divide them, for a kind of data set."""

    path: str  # CSV (also compressed), Parquet or Excel file
    task: str  # name of the task's class; the target is a number for regression, and a class for others
    test_path: str | None = None  # file of the test rows, with the same columns; None draws them from ``path``
    separator: str | None = None  # separator of the columns; None finds it
    decimal: str | None = None  # decimal mark of the numbers; None finds it
    missing: Sequence[str] = ()  # texts that mean a missing value, besides empty ones, NA, null and the like
    time: str | None = None  # column by which rows are ordered; the last rows are the test, those before them validation
    group: str | None = None  # column of groups, none of which is in two splits
    # column that holds train, val or test for each row; without val, validation is drawn from train
    split: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.classes = not self.task.endswith(".Regression")
        self.missing_texts, self.form = list(self.missing), table_files.Form(self.separator, self.decimal)

    def frame(self) -> pd.DataFrame:
        frame = self.read("path")
        if self.test_path:
            more = self.read("test_path")
            with about(f"data.test_path={self.test_path}"):
                require(more, list(frame), allowed=[])
            self.tested = np.arange(len(frame), len(frame) + len(more))
            frame = pd.concat([frame, more[list(frame)]])
        return frame

    def read(self, key: str) -> pd.DataFrame:
        """Return the rows that have a target, of the file of an option."""
        path = Path(getattr(self, key))
        with about(f"data.{key}={path}"):
            frame, notes = self.read_rows(path, [*self.texts, self.target], new=False)
        table_files.check_roles(vars(self), key, list(map(str, frame)))
        self.notes += notes
        if not (known := columns.has_target(frame[self.target], self.missing_texts)).all():
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
        if len(self.spec.classes) > 2 and all(map(str.isdecimal, self.spec.classes)):
            self.notes.append(f"{self.target}: whole numbers, taken as classes; task=regression takes them as an amount")
        return parts

    def read_rows(self, source: Path, texts: Sequence[str], new: bool = True) -> tuple[pd.DataFrame, list[str]]:
        return table_files.read(source, self.form, texts, self.missing_texts, blank=new)

    def parts(self, frame: pd.DataFrame, classes: np.ndarray | None) -> dict[str, np.ndarray]:
        named: dict[str, np.ndarray] = {}
        order = groups = None
        if classes is not None and not self.split:
            columns.check_classes(frame[self.target])
        if self.time:
            order = columns.ranks(columns.filled(frame[self.time], "time"))
        if self.group:
            groups = columns.filled(frame[self.group], "group").astype(str).to_numpy()
        if self.split:
            named = splits.named(columns.filled(frame[self.split], "split"))
        if self.test_path:
            named["test"] = self.tested
        return self.divided_rows(len(frame), classes, groups, order, **named)


def natural(name: str) -> tuple[float, str]:
    """Return a key that sorts names of classes, numbers by their size."""
    try:
        return float(name), name
    except ValueError:
        return float("inf"), name
