"""NYSE: windows of past trading days, split by the file in time."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from src.data import splits
from src.data.datamodule import InMemory, Spec, Split, about, numbers, require
from src.data.series import dates
from src.errors import UserError

DAYS = ["fri", "mon", "thur", "tues", "wed"]


@dataclass(kw_only=True, eq=False)
class NYSE(InMemory):
    """Daily trading at the New York Stock Exchange, 3 December 1962 to 31 December 1986 (ISLP, sections 10.5.2, 10.9.6).

    One sample is ``lags`` days of ``features``, oldest first: (lags, features); its target is ``target`` on the day after.
    With ``day_of_week`` the lags are flattened and the one-hot day of the target joins them: (lags * features + 5,).
    Train and test are the file's own; validation is the last part of train.
    """

    features: list[str]  # columns that the windows hold
    target: str  # column to predict
    lags: int = 5  # days in a window
    day_of_week: bool = False  # add the day to be predicted to the inputs
    # rows that the features' mean and standard deviation come from: train (without validation), all, or none
    scaling: str = "train"
    # fraction of the training days, or ``test`` to validate on the test days as the source does
    validation: float | str = 0.2

    texts = ("date",)
    FILE = Path(__file__).parents[1] / "files" / "NYSE.csv"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.columns = list(dict.fromkeys([*self.features, self.target]))
        series = pd.read_csv(self.FILE, nrows=1).columns.drop(["date", "day_of_week", "train"])
        if absent := [column for column in self.columns if column not in series]:
            raise UserError(f"data: {self.FILE.name} has no series {', '.join(absent)}; choose from: {', '.join(series)}")

    def load(self) -> dict[str, Split]:
        frame = pd.read_csv(self.FILE)
        past, lags = int(frame["train"].sum()), self.lags  # training days come first, of which some are only lags
        held_out = 0 if self.validation == "test" else round(float(self.validation) * (past - lags))
        if past - lags - held_out < 2:
            raise UserError(f"data.lags={lags}: leaves no day to learn from among {past:,} training days; take fewer lags")
        validation = "test" if self.validation == "test" else held_out
        parts = splits.divide(len(frame), np.arange(past, len(frame)), validation, splits.in_order)

        values = numbers(frame, self.columns)
        self.scaler = splits.fit_scaler(values, splits.fitting_rows(parts, self.scaling))
        target = self.columns.index(self.target)
        names = [f"{feature}_{lag}" for lag in range(lags, 0, -1) for feature in self.features]
        x, y = self.windows(frame, values)
        self.spec = Spec(
            shape=tuple(x.shape[1:]),
            outputs=1,
            columns=tuple(names + [f"day_{day}" for day in DAYS if self.day_of_week]),
            target=self.target,
            center=float(self.scaler.mean_[target]),
            scale=float(self.scaler.scale_[target]),
        )
        days = pd.Index(frame["date"])
        ranges = {name: (max(lags, rows[0]), rows[-1] + 1) for name, rows in parts.items()}
        return {
            name: Split(x[start - lags : end - lags], y[start - lags : end - lags], days[start:end])
            for name, (start, end) in ranges.items()
        }

    def windows(self, frame: pd.DataFrame, values: pd.DataFrame) -> tuple[Tensor, Tensor]:
        """Return all windows (n - lags, *shape) and scaled targets (n - lags,) of n days; the windows are views."""
        scaled = torch.from_numpy(self.scaler.transform(values.to_numpy())).float()
        inputs = scaled[:, [self.columns.index(feature) for feature in self.features]]
        x = inputs.unfold(0, self.lags, 1)[:-1].transpose(1, 2)
        if self.day_of_week:
            x = torch.cat([x.flatten(1), one_hot(frame["day_of_week"])[self.lags :]], dim=1)
        return x, scaled[self.lags :, self.columns.index(self.target)]

    def encode(self, frame: pd.DataFrame) -> tuple[Tensor, pd.Index]:
        """Return inputs for every day that has ``lags`` days before it; the days must follow one another."""
        days = ["day_of_week"] if self.day_of_week else []
        require(frame, self.columns + days, allowed=list(pd.read_csv(self.FILE, nrows=0).columns))
        if len(frame) <= self.lags:
            raise UserError(f"{len(frame)} rows are too few: the first {self.lags} are the lags of the next")
        if "date" in frame:
            order = dates.parsed(frame["date"], None)
            if order.isna().any() or not (order.is_monotonic_increasing and order.is_unique):
                raise UserError(
                    "column date: the days must follow one another, oldest first, each once, and be written as 1962-12-03"
                )
        x, _ = self.windows(frame, numbers(frame, self.columns))
        return x, pd.Index(frame.get("date", frame.index))[self.lags :]

    def labelled(self, source: Path) -> tuple[Split, str]:
        """Read further days, and return every one that has ``lags`` days before it."""
        with about(f"input={source}"):
            frame = self.new_rows(source, self.texts)
            x, rows = self.encode(frame)
            _, y = self.windows(frame, numbers(frame, self.columns))
        return Split(x, y, rows), f"{len(rows):,} days"


def one_hot(days: pd.Series) -> Tensor:
    """Return day names as (n, 5) zeros and ones, in alphabetical order as in the source."""
    if len(unknown := days[~days.isin(DAYS)]):
        place = f"{days.index.name or 'row'} {unknown.index[0]}"
        raise UserError(f"{place}, column day_of_week: {unknown.iloc[0]} is none of {', '.join(DAYS)}")
    return torch.tensor(np.eye(len(DAYS))[pd.Categorical(days, categories=DAYS).codes]).float()
