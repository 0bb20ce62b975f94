"""Tables: independent rows of numbers, categories and dates, and a target that is a number or a class."""

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

from src.data import columns, splits
from src.data.datamodule import Spec, Split, numbers, require
from src.data.rows import OwnFile, Rows
from src.errors import UserError


@dataclass(kw_only=True, eq=False)
class Table(Rows):
    """A table with one target. A subclass returns the rows in ``frame``.

    The kind of each column is inferred from train (:func:`src.data.columns.infer`), and so is all that turns rows into
    numbers (:func:`src.data.columns.transformer`).
    """

    # columns that are ``numbers`` or ``categories``, and those to ``ignore``, where the inferred kind is wrong
    given: dict[str, Sequence[str]] = field(default_factory=dict)
    min_count: int = 1  # number of rows of train below which a level of a category is rare; rare levels are pooled
    most_levels: int | None = None  # largest number of levels of a category; None keeps all

    def fit(self, frame: pd.DataFrame, parts: dict[str, np.ndarray], fitting: np.ndarray) -> dict[str, Any]:
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
        return {name: self.scaled(design.iloc[rows]) for name, rows in parts.items()}

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
class File(OwnFile, Table):
    """A table in a file of the user's own."""

    numbers: Sequence[str] = ()  # columns to take as numbers
    categories: Sequence[str] = ()  # columns to take as categories
    ignore: Sequence[str] = ()  # columns to leave out

    def __post_init__(self) -> None:
        super().__post_init__()
        left_out = {key: [name] for key in ("group", "split") if (name := getattr(self, key))}
        self.given = {"numbers": self.numbers, "categories": self.categories, "ignore": self.ignore, **left_out}

    def load(self) -> dict[str, Split]:
        parts = super().load()
        self.notes.append(columns.described(self.kinds, self.transformer))
        return parts


class Hitters(Table):
    """Major League Baseball, 1986 and 1987: 263 players with a recorded salary, 19 columns (ISLP, section 10.9.1)."""

    FILE = Path(__file__).parent / "files" / "Hitters.csv"

    def frame(self) -> pd.DataFrame:
        return pd.read_csv(self.FILE).dropna()
