"""Any time series in a CSV file: windows of its past, and the values that follow them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from src.data import splits
from src.data.datamodule import InMemory, Spec, Split, about, require
from src.data.series import dates, reading
from src.data.splits import Folded
from src.errors import UserError


@dataclass(kw_only=True, eq=False)
class Forecast(Folded, InMemory):
    """A series, split by time: the last ``test`` of its rows are test, the last ``validation`` of the others validation.

    One sample is ``lags`` rows of ``features``, oldest first: (lags, features). Its targets are the ``horizon`` values of
    ``target`` that follow, or with ``every_step`` those that follow each of its steps: (lags + horizon - 1,). Windows are
    views of the series, so that memory does not grow with ``lags``.
    """

    path: Path  # path of the CSV file
    target: str  # column to predict
    # columns that the windows hold; null is the target alone, and lets a forecast feed on itself
    features: list[str] = field(default_factory=list)
    date: str | None = None  # column of dates, in order, oldest or newest first; null numbers the rows
    # format of the dates, as for ``strptime`` (%d.%m.%Y); null reads dates that need no guess: they have a year of four
    # digits, and begin with it or name the month
    date_format: str | None = None
    freq: str | None = None  # frequency of the dates as pandas names it (``D``, ``MS``); null infers it
    missing: str = "refuse"  # treatment of missing dates and values: refuse, previous (the value before), or interpolate
    # corrected values of the target, by date (or row number); of new rows, those by date
    replace: dict[Any, float] = field(default_factory=dict)
    # ``fixed`` lengths, or ``prefixes``: to train on, ``ends`` random ends and from each the last 1, 2, …, ``lags`` steps
    # before it, padded with zeros at their end (the way of seed 001)
    windows: str = "fixed"
    lags: int = 24  # steps of a window; of prefixes, the most
    horizon: int = 1  # values predicted at once
    every_step: bool = True  # train on targets at every step, for networks that predict there
    ends: int = 5  # random ends of the prefixes
    season: int = 1  # steps of a season: the unit of MASE, and the period of the seasonal naive forecast
    test: float = 0.3  # fraction of all rows
    validation: float | str = 0.2  # fraction of the other rows, or ``test`` to validate on the test rows
    scaling: str = "train"  # rows that mean and standard deviation come from: train (without validation), all, or none
    origins: int = 1  # rows of test, evenly spread, from which a recursive forecast starts
    roll_out: int | None = None  # steps of the recursive forecast from each origin; null forecasts up to the next origin
    split_seed: int = 0  # seed of the random ends

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.path is None:
            raise UserError("data.path: is missing; give a file, as in data.path=series.csv")
        self.path, self.features = Path(self.path), list(self.features or [self.target])
        self.texts = (self.date,) if self.date else ()
        self.prefixes = self.windows == "prefixes"
        self.every_step = self.every_step or self.prefixes
        self.columns = list(dict.fromkeys([*self.features, self.target]))
        self.alone = self.columns == self.features == [self.target]

    def load(self) -> dict[str, Split]:
        frame, notes = reading.read(self.path, [*self.columns, *self.texts], self.texts)
        try:
            series, ordered = reading.regular(frame, self.columns, self.date, self.date_format, self.freq)
            series = reading.replaced(series, self.target, self.replace, self.date_format)
            rows, past = len(series), int(len(series) * (1 - self.test))
            if isinstance(fold := self.held_out(rows, order=np.arange(rows)), tuple):
                past, rows = len(fold[0]), int(fold[1][-1]) + 1
                series = series[:rows]  # at the time of a fold nothing is known of the rows after it
            parts = splits.divide(rows, rows - past, self.validation, splits.in_order)
            series, gaps = reading.filled(series, self.missing, sorted({int(parts[name][0]) for name in ("val", "test")}))
        except UserError as error:
            raise UserError(f"data.path={self.path}: {error}") from error
        self.notes += [f"{self.path.name}: {note}" for note in notes + ordered + gaps]
        self.ends_of = {name: (int(part[0]), int(part[-1]) + 1) for name, part in parts.items()}
        self.ends_of["train"] = self.lags, self.ends_of["train"][1]
        self.check_length(rows)

        self.scaler = splits.fit_scaler(series, splits.fitting_rows(parts, self.scaling))
        self.index, self.history = series.index, series[self.target]
        targets = self.history[self.lags :]
        if zeros := int((targets == 0).sum()):
            self.notes.append(
                f"{self.path.name}: {self.target} is 0 in {zeros:,} of {len(targets):,} targets, and MAPE divides by them; "
                "look at MASE instead"
            )
        self.inputs, self.values = self.inputs_and_values(series)
        target, train = self.columns.index(self.target), self.history.to_numpy()[parts["train"]]
        self.spec = Spec(
            shape=(self.lags, len(self.features)),
            outputs=self.horizon,
            columns=tuple(f"{feature}_{lag}" for lag in range(self.lags, 0, -1) for feature in self.features),
            target=self.target,
            center=float(self.scaler.mean_[target]),
            scale=float(self.scaler.scale_[target]),
            forecast=self.horizon + (self.lags - 1 if self.every_step else 0),
            channel=self.features.index(self.target) if self.target in self.features else None,
            every_step=self.every_step,
            naive=float(np.abs(train[self.season :] - train[: -self.season]).mean()),
        )
        whole = self.inputs, self.values, self.index
        windows = {name: self.fixed(*ends, *whole) for name, ends in self.ends_of.items()}
        return windows | ({"train": self.random_prefixes(self.ends_of["train"][1])} if self.prefixes else {})

    def check_length(self, rows: int) -> None:
        """Raise a UserError if the splits are too short for the windows, the season or the origins."""
        for name, (start, end) in self.ends_of.items():
            if end - start < self.horizon + 1:
                raise UserError(
                    f"data: {rows} rows are too few: {name} ends at row {end}, and a window takes data.lags={self.lags} "
                    f"rows and data.horizon={self.horizon} after them; take fewer of both, or other fractions"
                )
        if self.season >= (past := self.ends_of["train"][1]):
            raise UserError(f"data.season={self.season}: must be shorter than the {past} rows of train")
        start, end = self.ends_of["test"]
        if self.origins > end - start:
            raise UserError(f"data.origins={self.origins}: must be at most the {end - start} test rows")

    def inputs_and_values(self, series: pd.DataFrame) -> tuple[Tensor, Tensor]:
        """Return the scaled inputs (n, features) and target values (n,) of a series."""
        return self.scaled(series, self.features), self.scaled(series, [self.target])[:, 0].clone()

    def scaled(self, series: pd.DataFrame, columns: list[str]) -> Tensor:
        """Return scaled columns (n, columns)."""
        places = [self.columns.index(column) for column in columns]
        values = (series[columns].to_numpy() - self.scaler.mean_[places]) / self.scaler.scale_[places]
        return torch.from_numpy(values).float().contiguous()  # row by row, as windows are read

    def fixed(self, start: int, end: int, inputs: Tensor, values: Tensor, index: pd.Index) -> Split:
        """Return all windows whose first target is row ``start`` or later and whose last is before ``end``: views."""
        first, last = start - self.lags, end - self.horizon - self.lags + 1  # first rows of the windows themselves
        back = self.lags if self.every_step else 1  # steps of a window that have targets
        targets = values[self.lags - back + 1 :].unfold(0, back + self.horizon - 1, 1)
        time = (torch.arange(len(values)) / end)[self.lags - back :].unfold(0, back, 1)
        return Split(
            inputs.unfold(0, self.lags, 1).transpose(1, 2)[first:last],
            targets[first:last],
            index[start : end - self.horizon + 1],
            time[first:last] if start == self.lags else None,
        )

    def random_prefixes(self, past: int) -> Split:
        """Return the last 1, 2, …, ``lags`` steps before each of the random ends, padded at their end."""
        random = np.random.default_rng(self.split_seed)
        ends = random.integers(self.lags, past - self.horizon + 1, self.ends).repeat(self.lags)
        lengths = torch.arange(1, self.lags + 1).repeat(self.ends)
        steps = torch.arange(self.lags + self.horizon - 1)
        rows = torch.from_numpy(ends)[:, None] - lengths[:, None] + steps  # (ends * lags, lags + horizon - 1)
        real = steps[: self.lags] < lengths[:, None]
        follows = steps < lengths[:, None] + self.horizon - 1
        x = self.inputs[rows[:, : self.lags].clamp_max(past - 1)] * real[..., None]
        y = self.values[(rows + 1).clamp_max(past - 1)] * follows
        time = (rows[:, : self.lags] / past).masked_fill(~real, torch.nan)
        return Split(x, y, self.index[ends], time)

    def encode(self, frame: pd.DataFrame) -> tuple[Tensor, pd.Index]:
        """Return every window of ``lags`` rows of new values, named by the date (or row number) that follows it."""
        series = self.read_series(frame, self.features)
        if len(series) < self.lags:
            raise UserError(f"{len(series)} rows are too few for one window; give at least {self.lags}")
        names = series.index.append(dates.after(series.index, 1, self.freq))[self.lags :]
        return self.scaled(series, self.features).unfold(0, self.lags, 1).transpose(1, 2), names

    def labelled(self, source: Path) -> tuple[Split, str]:
        """Read another series, and return every window that is followed by the values to predict."""
        with about(source):
            series, least = self.read_series(self.new_rows(source, self.texts), self.columns), self.lags + self.horizon
            if len(series) < least:
                raise UserError(f"{len(series)} rows are too few for a window and what follows it; give at least {least}")
        split = self.fixed(self.lags, len(series), *self.inputs_and_values(series), series.index)
        return split._replace(time=None), f"{len(split.y):,} windows of {len(series):,} rows"

    def read_series(self, frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
        """Return columns of new rows, ordered and without gaps as the run's own series."""
        require(frame, [*columns, *self.texts], allowed=list(frame.columns))
        # spaced as the run's own: what is missing cannot be told from the new dates alone
        freq = self.freq or getattr(self.index, "freq", None)
        series, ordered = reading.regular(frame, columns, self.date, self.date_format, freq)
        if self.date and self.target in columns:
            series = reading.replaced(series, self.target, self.replace, self.date_format, whole=False)
        series, gaps = reading.filled(series, self.missing, [])
        self.notes += ordered + gaps
        return series


class Passengers(Forecast):
    """Monthly totals of international airline passengers, thousands, January 1949 to December 1960 (Box and Jenkins)."""

    def __post_init__(self) -> None:
        self.path = self.path or Path(__file__).parents[1] / "files" / "AirPassengers.csv"
        super().__post_init__()
