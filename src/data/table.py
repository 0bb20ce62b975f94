"""Tables: independent rows of numbers and categories, split at random."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from src.data import splits
from src.data.datamodule import InMemory, Spec, Split, numbers, require
from src.errors import UserError


class Table(InMemory):
    """A table with one numeric target. A subclass returns the rows in ``frame``.

    Categories become 0/1 columns, one fewer than there are levels in train.

    Args:
        target: Column to predict.
        test: Fraction of the rows, drawn at random.
        validation: Fraction of the remaining rows, or ``test`` to validate on the test rows as the source does.
        scaling: Rows that mean and standard deviation of columns and target come from: train (without validation), all, or
            none.
        split_seed: Seed of the splits, and of nothing else.
    """

    def __init__(
        self,
        target: str,
        test: float = 0.2,
        validation: float | str = 0.2,
        scaling: str = "train",
        split_seed: int = 0,
        **batches: Any,
    ):
        super().__init__(**batches)
        self.target, self.test, self.validation = target, test, validation
        self.scaling, self.split_seed = scaling, split_seed

    def frame(self) -> pd.DataFrame:
        """Return all rows, inputs and target, without missing values."""
        raise NotImplementedError

    def load(self) -> dict[str, Split]:
        frame = self.frame()
        if self.target not in frame:
            raise UserError(f"data.target={self.target}: no such column; choose one of: {', '.join(frame)}")
        parts = splits.divide(len(frame), self.test, self.validation, splits.at_random(self.split_seed))
        fitting = splits.fitting_rows(parts, self.scaling)

        self.inputs = frame.columns.drop(self.target)
        train = frame[self.inputs].iloc[parts["train"]]
        self.levels = {name: sorted(train[name].unique()) for name in train.select_dtypes(exclude=["number", "bool"])}
        self.texts = tuple(name for name, levels in self.levels.items() if all(isinstance(level, str) for level in levels))
        design, target = self.design(frame), numbers(frame, [self.target])
        self.scaler, self.target_scaler = splits.fit_scaler(design, fitting), splits.fit_scaler(target, fitting)
        self.spec = Spec(
            shape=(design.shape[1],),
            outputs=1,
            columns=tuple(design),
            target=self.target,
            center=float(self.target_scaler.mean_[0]),
            scale=float(self.target_scaler.scale_[0]),
        )
        y = torch.from_numpy(self.target_scaler.transform(target.to_numpy())[:, 0]).float()
        return {name: Split(self.scaled(frame.iloc[rows]), y[rows], frame.index[rows]) for name, rows in parts.items()}

    def scaled(self, frame: pd.DataFrame) -> Tensor:
        """Return the scaled inputs (n, columns)."""
        return torch.from_numpy(self.scaler.transform(self.design(frame).to_numpy())).float()

    def design(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the input columns as floats, each category as 0/1 columns for all its levels but the first."""
        columns = {}
        for name in self.inputs:
            if name not in self.levels:
                columns[name] = numbers(frame, [name])[name]
                continue
            for level in self.levels[name][1:]:
                columns[f"{name}[{level}]"] = frame[name].eq(level).astype(float)
        return pd.DataFrame(columns)

    def encode(self, frame: pd.DataFrame) -> tuple[Tensor, pd.Index]:
        require(frame, list(self.inputs), allowed=[self.target])
        for name, levels in self.levels.items():
            if len(unknown := frame[name][~frame[name].isin(levels)]):
                place, level = f"{frame.index.name or 'row'} {unknown.index[0]}", unknown.iloc[0]
                raise UserError(
                    f"{place}, column {name}: {level or 'an empty value'} is none of {', '.join(map(str, levels))}"
                )
        return self.scaled(frame), frame.index


class Hitters(Table):
    """Major League Baseball, 1986 and 1987: 263 players with a recorded salary, 19 columns (ISLP, section 10.9.1)."""

    FILE = Path(__file__).parent / "files" / "Hitters.csv"

    def frame(self) -> pd.DataFrame:
        return pd.read_csv(self.FILE).dropna()
