"""Tables: independent rows of numbers and categories, split at random."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from src.data.datamodule import InMemory, Spec, Split
from src.data.frames import numbers, require, unscaled
from src.errors import UserError


class Table(InMemory):
    """A table with one numeric target. A subclass only says in ``frame`` where the rows come from.

    Categories become 0/1 columns, one fewer than there are levels in train. Splits are scikit-learn's
    ``train_test_split`` with ``random_state=split_seed``, test first, then validation out of what remains.

    Args:
        target: Column to predict.
        test: Share of the rows.
        validation: Share of the remaining rows, or ``test`` to validate on the test rows as the source does.
        scaling: Rows that mean and deviation of columns and target come from: train (without validation), all, or none.
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
        """Returns all rows, inputs and target, without missing values."""
        raise NotImplementedError

    def load(self) -> dict[str, Split]:
        frame = self.frame()
        if self.target not in frame:
            raise UserError(f"data.target={self.target}: no such column; there are {', '.join(frame)}")
        parts = dict(zip(("train", "test"), self.divide(frame, self.test), strict=True))
        if self.validation == "test":
            parts["val"] = parts["test"]
        else:
            parts["train"], parts["val"] = self.divide(parts["train"], float(self.validation))

        self.inputs = frame.columns.drop(self.target)
        train = parts["train"][self.inputs]
        self.levels = {name: sorted(train[name].unique()) for name in train.select_dtypes(exclude=["number", "bool"])}
        fitted = {"train": parts["train"], "all": frame, "none": frame.iloc[:0]}[self.scaling]
        self.columns = list(self.design(train))
        self.scaler, self.target_scaler = StandardScaler(), StandardScaler()
        self.scaler.fit(self.design(fitted).to_numpy() if len(fitted) else unscaled(len(self.columns)))
        self.target_scaler.fit(numbers(fitted, [self.target]).to_numpy() if len(fitted) else unscaled(1))
        self.spec = Spec(
            shape=(len(self.columns),),
            outputs=1,
            columns=tuple(self.columns),
            target=self.target,
            center=float(self.target_scaler.mean_[0]),
            scale=float(self.target_scaler.scale_[0]),
        )
        return {name: self.split(parts[name]) for name in ("train", "val", "test")}

    def divide(self, frame: pd.DataFrame, share: float) -> list[pd.DataFrame]:
        try:
            return train_test_split(frame, test_size=share, random_state=self.split_seed)
        except ValueError as error:
            raise UserError(f"data: {len(frame)} rows cannot give up a share of {share:.3g}") from error

    def split(self, part: pd.DataFrame) -> Split:
        y = self.target_scaler.transform(numbers(part, [self.target]).to_numpy())[:, 0]
        return Split(self.scaled(part), torch.from_numpy(y).float(), part.index)

    def scaled(self, part: pd.DataFrame) -> Tensor:
        return torch.from_numpy(self.scaler.transform(self.design(part).to_numpy())).float()

    def design(self, part: pd.DataFrame) -> pd.DataFrame:
        """The input columns as floats, each category as 0/1 columns for all its levels but the first."""
        columns = {}
        for name in self.inputs:
            if name not in self.levels:
                columns[name] = numbers(part, [name])[name]
                continue
            for level in self.levels[name][1:]:
                columns[f"{name}[{level}]"] = part[name].eq(level).astype(float)
        return pd.DataFrame(columns)

    def encode(self, frame: pd.DataFrame) -> tuple[Tensor, pd.Index]:
        require(frame, list(self.inputs), allowed=[self.target])
        for name, levels in self.levels.items():
            if len(unknown := frame[name][~frame[name].isin(levels)]):
                row, level = unknown.index[0], unknown.iloc[0]
                raise UserError(f"row {row}, column {name}: {level} is none of {', '.join(map(str, levels))}")
        return self.scaled(frame), frame.index


class Hitters(Table):
    """Major League Baseball, 1986 and 1987: 263 players with a known salary, 19 columns (ISLP, section 10.9.1)."""

    FILE = Path(__file__).parent / "files" / "Hitters.csv"

    def frame(self) -> pd.DataFrame:
        return pd.read_csv(self.FILE).dropna()
