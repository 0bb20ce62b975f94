"""Any time series in a CSV file: windows of its past, and the values that follow them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from src.data import LARGEST
from src.data.datamodule import InMemory, Spec, Split
from src.data.frames import require, unscaled
from src.data.series import dates
from src.errors import UserError


class Forecast(InMemory):
    """A series, split by time: the last ``test`` of its rows are test, the last ``validation`` of the others validation.

    One sample is ``lags`` rows of ``features``, oldest first: (lags, features). Its targets are the ``horizon`` values of
    ``target`` that follow, or with ``every_step`` those that follow each of its steps: (lags + horizon - 1,). Windows are
    views of the series, so that memory does not grow with ``lags``.

    Args:
        path: Of the CSV file.
        target: Column to predict.
        features: Columns that the windows hold; null is the target alone, and lets a forecast feed on itself.
        date: Column of dates, in order, oldest or newest first; null counts the rows.
        date_format: Of the dates as ``strptime`` has it (%d.%m.%Y); null reads dates that begin with the year.
        freq: pandas' name of the distance between dates (``D``, ``MS``); null finds it out.
        missing: What becomes of missing dates and values: refuse, previous (the value before), or interpolate.
        replace: Values of the target that are known to be wrong, by date (or row number).
        windows: ``fixed`` lengths, or ``prefixes``: to train on, ``ends`` random ends and from each the last 1, 2, …,
            ``lags`` steps before it, padded with zeros at their end (seed 001's way).
        lags: Steps of a window; of prefixes, the most.
        horizon: Values predicted at once.
        every_step: Whether training has targets at every step, for networks that predict there.
        ends: Random ends of the prefixes.
        season: Steps after which the series is alike: the unit of MASE, and the seasonal naive forecast's.
        test: Share of all rows.
        validation: Share of the other rows, or ``test`` to validate on the test rows.
        scaling: Rows that mean and deviation come from: train (without validation), all, or none.
        origins: Places in the test rows, evenly spread, from which the recursive forecast starts anew.
        roll_out: Steps of the recursive forecast from each origin; null goes as far as the next.
        split_seed: Of the random ends.
    """

    def __init__(
        self,
        path: str | Path | None,
        target: str,
        features: list[str] | None = None,
        date: str | None = None,
        date_format: str | None = None,
        freq: str | None = None,
        missing: str = "refuse",
        replace: dict[Any, float] | None = None,
        windows: str = "fixed",
        lags: int = 24,
        horizon: int = 1,
        every_step: bool = True,
        ends: int = 5,
        season: int = 1,
        test: float = 0.3,
        validation: float | str = 0.2,
        scaling: str = "train",
        origins: int = 1,
        roll_out: int | None = None,
        split_seed: int = 0,
        **batches: Any,
    ):
        super().__init__(**batches)
        if path is None:
            raise UserError("data.path: must be given, as in data.path=series.csv")
        self.path, self.target, self.features = Path(path), target, list(features or [target])
        self.date, self.freq, self.missing, self.replace = date, freq, missing, replace or {}
        self.date_format = date_format
        self.prefixes, self.lags, self.horizon, self.ends, self.season = windows == "prefixes", lags, horizon, ends, season
        self.every_step = every_step or self.prefixes
        self.test, self.validation, self.scaling, self.split_seed = test, validation, scaling, split_seed
        self.origins, self.roll_out = origins, roll_out
        self.columns = list(dict.fromkeys([*self.features, target]))
        self.alone = self.columns == self.features == [target]

    def load(self) -> dict[str, Split]:
        try:
            frame = pd.read_csv(self.path)
        except (OSError, ValueError) as error:
            raise UserError(f"data.path={self.path}: cannot be read as CSV ({str(error).splitlines()[0]})") from error
        if absent := [name for name in [*self.columns, *([self.date] if self.date else [])] if name not in frame]:
            split = next((mark for mark in ";\t|" if len(frame.columns) == 1 and mark in frame.columns[0]), "")
            hint = f"; its columns are separated by {split!r}, and must be by commas" if split else ""
            raise UserError(f"data: {self.path.name} has no column {', '.join(absent)}; there are {', '.join(frame)}{hint}")
        held = 0.0 if self.validation == "test" else float(self.validation)
        try:
            series = self.series(frame, [(1 - self.test) * (1 - held), 1 - self.test])
        except UserError as error:
            raise UserError(f"data.path={self.path}: {error}") from error
        rows = len(series)
        known = int(rows * (1 - self.test))
        past = known - round(held * known)
        self.ends_of = {"train": (self.lags, past), "val": (past, known), "test": (known, rows)}
        if self.validation == "test":
            self.ends_of["val"] = self.ends_of["test"]
        for name, (start, end) in self.ends_of.items():
            if end - start < self.horizon + 1:
                raise UserError(
                    f"data: {rows} rows are too few: {name} ends at row {end}, and a window takes data.lags={self.lags} "
                    f"rows and data.horizon={self.horizon} after them; take fewer of both, or other shares"
                )

        if self.season >= past:
            raise UserError(f"data.season={self.season}: is as long as the {past} rows of train, or longer")
        if self.origins > (most := rows - known):
            raise UserError(f"data.origins={self.origins}: there are {most} test rows to begin from")

        self.scaler = StandardScaler()
        fitted = {"train": series[:past], "all": series, "none": series[:0]}[self.scaling]
        self.scaler.fit(fitted.to_numpy() if len(fitted) else unscaled(len(self.columns)))
        place = self.columns.index(self.target)
        train = series[self.target].to_numpy()[:past]
        self.spec = Spec(
            shape=(self.lags, len(self.features)),
            outputs=self.horizon,
            columns=tuple(f"{feature}_{lag}" for lag in range(self.lags, 0, -1) for feature in self.features),
            target=self.target,
            center=float(self.scaler.mean_[place]),
            scale=float(self.scaler.scale_[place]),
            forecast=self.horizon + (self.lags - 1 if self.every_step else 0),
            channel=self.features.index(self.target) if self.target in self.features else None,
            every_step=self.every_step,
            naive=float(np.abs(train[self.season :] - train[: -self.season]).mean()),
        )
        self.index, self.history = series.index, series[self.target]
        self.inputs, self.values = self.scaled(series)
        splits = {name: self.windows(start, end) for name, (start, end) in self.ends_of.items()}
        if self.prefixes:
            splits["train"] = self.random_prefixes(past)
        return splits

    def series(self, frame: pd.DataFrame, borders: list[float]) -> pd.DataFrame:
        """The columns as numbers by date, oldest first, without gaps.

        Args:
            frame: Rows of the file.
            borders: Shares of the rows at which a gap is not filled from both sides: what lies behind is not known before.

        Raises:
            UserError: Names the first text among numbers, bad, repeated or unordered date, or gap that is not to be filled.
        """
        lines = frame.index + 2 if isinstance(frame.index, pd.RangeIndex) and frame.index.start == 0 else frame.index
        series = frame[self.columns].apply(pd.to_numeric, errors="coerce").astype(float)
        text = (series.isna() & frame[self.columns].notna()) | (series.abs() > LARGEST)
        if text.to_numpy().any():
            column = text.any().idxmax()
            at = int(text[column].to_numpy().argmax())
            raise UserError(f"line {lines[at]}, column {column}: {frame[column].iloc[at]} is not a number below {LARGEST:g}")
        if self.date:
            series.index = dates.read(frame[self.date], lines, self.date_format)
            if len(series) > 1 and series.index[0] > series.index[-1]:
                series = series[::-1]
                self.note("newest first: reversed")
        else:
            series.index = pd.RangeIndex(len(frame))
        if self.replace:
            series = self.replaced(series)
        if self.date:
            series = dates.spaced(series, self.freq)
        gaps = series.isna().any(axis=1)
        if gaps.any():
            first = dates.shown(series.index[gaps.to_numpy().argmax()])
            found = f"rows that are missing or have no value: {int(gaps.sum())} of {len(series)}, first {first}"
            if self.missing == "refuse":
                raise UserError(f"{found}; fill them with data.missing=previous or data.missing=interpolate")
            if self.missing == "interpolate":
                ends = [0, *sorted(int(len(series) * share) for share in borders), len(series)]
                series = pd.concat([series[start:end].interpolate() for start, end in pairwise(ends)])
            series = series.ffill().bfill()
            self.note(f"{found}; filled ({self.missing})")
        return series

    def replaced(self, series: pd.DataFrame) -> pd.DataFrame:
        for row, value in self.replace.items():
            try:
                label, number = (pd.Timestamp(str(row)) if self.date else int(row)), float(value)
            except (ValueError, TypeError):
                label, number = None, 0.0
            if label not in series.index:
                what = f"a date of column {self.date}" if self.date else "the number of a row"
                raise UserError(f"data.replace={{{row}:{value}}}: must be {what} and the value to be put there")
            series.loc[label, self.target] = number
        return series

    def note(self, text: str) -> None:
        self.notes.append(f"{self.path.name}: {text}")

    def scaled(self, series: pd.DataFrame) -> tuple[Tensor, Tensor]:
        """Scaled features (n, features) and scaled target (n,)."""
        values = torch.from_numpy(self.scaler.transform(series[self.columns].to_numpy())).float()
        places = [self.columns.index(feature) for feature in self.features]
        return values[:, places], values[:, self.columns.index(self.target)].clone()

    def windows(self, start: int, end: int) -> Split:
        """All windows whose first target is row ``start`` or later and whose last is before ``end``: views."""
        first, last = start - self.lags, end - self.horizon - self.lags + 1  # of the windows' own first rows
        back = self.lags if self.every_step else 1  # steps of a window that have targets
        targets = self.values[self.lags - back + 1 :].unfold(0, back + self.horizon - 1, 1)
        time = (torch.arange(len(self.values)) / end)[self.lags - back :].unfold(0, back, 1)
        return Split(
            self.inputs.unfold(0, self.lags, 1).transpose(1, 2)[first:last],
            targets[first:last],
            self.index[start : end - self.horizon + 1],
            time[first:last] if start == self.lags else None,
        )

    def random_prefixes(self, past: int) -> Split:
        """Of random ends, the last 1, 2, …, ``lags`` steps before each, padded at their end."""
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
        """Every window of ``lags`` rows of new values, named by the date (or line) that follows it."""
        require(frame, [*self.features, *([self.date] if self.date else [])], allowed=list(frame.columns))
        wanted, self.columns = self.columns, self.features
        try:
            series = self.series(frame, [])
        finally:
            self.columns = wanted
        if len(series) < self.lags:
            raise UserError(f"{len(series)} rows are too few for one window of {self.lags}")
        inputs, _ = self.scaled(series.assign(**{name: 0.0 for name in wanted if name not in series}))
        names = series.index.append(dates.after(series.index, 1, self.freq))[self.lags :]
        return inputs.unfold(0, self.lags, 1).transpose(1, 2), names


class Passengers(Forecast):
    """Monthly totals of international airline passengers, thousands, January 1949 to December 1960 (Box and Jenkins)."""

    def __init__(self, path: str | None = None, **options: Any):
        super().__init__(path or Path(__file__).parents[1] / "files" / "AirPassengers.csv", **options)
