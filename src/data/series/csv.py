"""Time series in a CSV file, one or many: windows of their past, and the values that follow them."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn.functional import pad

from src.data import csv_file, splits
from src.data.datamodule import Batches, InMemory, Spec, Split, about, numbers
from src.data.series import dates, reading, transforms
from src.data.series.reading import Part, joined
from src.data.splits import Folded
from src.errors import UserError, nearest


@dataclass(kw_only=True, eq=False)
class Forecast(Folded, InMemory):
    """Series, each split by time: the last ``test`` of its rows are test, the last ``validation`` of the others validation.

    One sample is ``lags`` rows of ``features``, oldest first: (lags, features). Its targets are the ``horizon`` values of
    ``target`` that follow, or with ``every_step`` those that follow each of its steps: (lags + horizon - 1,). Windows are
    views of the series, so that memory does not grow with ``lags``.

    What is known in advance joins each row of a window as it will be ``horizon`` rows later. Of several series, each is
    scaled by itself; windows are copied, and the ``units`` of its series follow the targets of each sample.
    """

    path: Path  # path of the CSV file
    target: Any  # column to predict; of a list of columns, each is a series
    series: str | None = None  # column that names the series of each row; null for one series
    # columns that the windows hold; null is the target alone, and lets a forecast feed on itself
    features: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)  # columns that are known in advance, as promotions and holidays
    calendar: list[str] = field(default_factory=list)  # parts of the date that are features: month, weekday, hour
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
    # steps of a season: the unit of MASE, and the period of the seasonal naive forecast; ``auto`` finds it
    season: Any = 1
    # of the target's past inside a network: names in order of ``log``, ``seasonal_difference`` and ``difference``; ``auto``
    # chooses for one series
    transform: Any = field(default_factory=list)
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
        self.path, self.wide = Path(self.path), [] if isinstance(self.target, str) else list(self.target)
        if self.wide and self.series:
            raise UserError(
                f"data.series={self.series}: each column of data.target is a series; give one, or leave this out"
            )
        if self.calendar and not self.date:
            raise UserError(f"data.calendar={self.calendar}: needs the column of dates; give data.date")
        if self.wide:
            self.series, self.target = "series", "value"
        if self.series and self.replace:
            raise UserError("data.replace: corrects one series, and there are several; correct the file")
        self.features = [name for name in self.features or [] if name not in self.known] or [self.target]
        self.ahead = bool(self.known or self.calendar)
        if targets := {self.target, *self.wide} & {*self.known}:
            raise UserError(f"data.known={self.known}: holds {min(targets)}, a target")
        if self.ahead and self.lags < self.horizon:
            raise UserError(
                f"data.lags={self.lags}: must be data.horizon={self.horizon} or more, to hold what is known of it"
            )
        self.texts = tuple(name for name in (self.date, None if self.wide else self.series) if name)
        self.prefixes = self.windows == "prefixes"
        self.every_step = self.every_step or self.prefixes
        self.columns = list(dict.fromkeys([*self.features, self.target, *self.known]))
        self.alone = self.features == [self.target]
        self.parts: dict[str | None, Part] = {}
        self.by: transforms.Transform | None = None

    def load(self) -> dict[str, Split]:
        with about(f"data.path={self.path}"):
            frame, notes = csv_file.read(self.path, self.texts)
            self.parts = {part.name: part for part in self.each(frame, self.columns)}
        # of many series, the first six notes stand for all
        self.notes = [f"{self.path.name}: {note}" for note in [*notes, *self.notes[:6]]]
        past = np.concatenate([part.series[self.target].to_numpy()[self.lags : part.rows] for part in self.parts.values()])
        if zeros := int((past == 0).sum()):
            self.notes.append(
                f"{self.path.name}: {self.target} is 0 in {zeros:,} of {len(past):,} targets, and MAPE divides by them; "
                "look at MASE instead"
            )
        first = next(iter(self.parts.values()))
        names = [*self.known, *dates.calendar(first.series.index[:1], self.calendar)]
        columns = [*self.features, *(f"{name}+{self.horizon}" for name in names)]
        self.spec = Spec(
            shape=(self.lags, len(columns)),
            outputs=self.horizon,
            columns=tuple(f"{column}_{lag}" for lag in range(self.lags, 0, -1) for column in columns),
            target=self.target,
            forecast=self.horizon + (self.lags - 1 if self.every_step else 0),
            channel=self.features.index(self.target) if self.target in self.features else None,
            every_step=self.every_step,
            units=len(first.units) if self.series else 0,
            transform=self.by,
        )
        if not self.series:
            self.spec = self.spec._replace(center=first.units[0], scale=first.units[1], naive=first.units[2])
        parts = list(self.parts.values())
        found = {name: joined([self.fixed(part, *part.ends[name]) for part in parts]) for name in splits.SPLITS}
        return found | ({"train": joined(list(map(self.random_prefixes, parts)))} if self.prefixes else {})

    def each(self, frame: pd.DataFrame, columns: list[str], follow: int = 0) -> Iterator[Part]:
        """Yield each series of a file, or of new rows, of which ``follow`` must have a target after a window."""
        new = bool(self.parts)
        needed = [*self.wide, *(name for name in columns if not self.wide or name != self.target), *self.texts]
        if absent := [name for name in needed if name not in frame]:
            names = list(map(str, frame))
            more = csv_file.separated(names)
            raise UserError(f"has no column {', '.join(absent)}; choose from: {', '.join(names)}{more}")
        if self.wide:
            frame = pd.concat([frame.assign(series=name, value=frame[name]) for name in self.wide])
        values = numbers(frame, columns, gaps=True)
        index = dates.valid(frame[self.date], self.date_format) if self.date else None
        named = reading.divided(frame[self.series]) if self.series else {None: np.arange(len(frame))}
        for name, places in named.items():
            texts = frame[self.date].iloc[places] if self.date else None
            try:
                if new and name not in self.parts:
                    raise UserError(f"the run has no such series; {nearest(str(name), [*map(str, self.parts)])}")
                # new rows are spaced as the run's own: their dates alone do not show what is missing
                freq = self.freq or (getattr(self.parts[name].series.index, "freq", None) if new else None)
                series, notes = reading.regular(values.iloc[places], None if index is None else index[places], texts, freq)
                if not new or (self.date and self.target in series):
                    series = reading.replaced(series, self.target, self.replace, self.date_format, whole=not new)
                rows = reading.past(series, self.known)
                reading.filled(series[self.known][rows:], "refuse", [])
                if new and rows < self.lags + follow:
                    raise UserError(f"{rows} rows are too few for one window; give at least {self.lags + follow}")
                if new and self.known and not follow and len(series) < rows + self.horizon:
                    raise UserError(
                        f"data.known={self.known}: {len(series) - rows} rows follow the last {self.target}; append those to "
                        f"come, data.horizon={self.horizon}, with an empty {self.target}"
                    )
                parts = {} if new else self.divided(rows)
                if parts and (end := int(parts["test"][-1]) + 1) < rows:
                    series, rows = series[:end], end  # at the time of a fold nothing is known of the rows after it
                borders = sorted({int(parts[split][0]) for split in ("val", "test")}) if parts else []
                series.iloc[:rows], gaps = reading.filled(series[:rows], self.missing, borders)
                if not new:
                    train = series[self.target].to_numpy()[parts["train"]]
                    fits = self.target in self.features and not (self.prefixes or self.series)
                    self.season, self.by, chosen = transforms.learn(series.index, train, self.season, self.transform, fits)
                    notes = notes + chosen
                    self.lags += self.by.lost if self.by else 0  # so that as many transformed steps are left of a window
                    reading.check_lengths(parts, rows, self.lags, self.horizon, self.season, self.origins)
            except UserError as error:
                raise error if name is None else UserError(f"series {name} (of {len(named):,}): {error}") from error
            self.notes += [note if name is None else f"series {name}: {note}" for note in notes + gaps]
            scale = self.parts[name] if new else self.scale(name, series[:rows], parts)
            yield replace(
                scale,
                series=series,
                rows=rows,
                values=self.scaled(scale.scaler, series[:rows], [self.target])[:, 0].clone()
                if self.target in series
                else None,
                inputs=self.channels(scale.scaler, series),
            )

    def scale(self, name: str | None, series: pd.DataFrame, parts: dict[str, np.ndarray]) -> Part:
        """Return the scaler and the units of a series, learnt from its rows of train."""
        scaler, target = splits.fit_scaler(series, splits.fitting_rows(parts, self.scaling)), self.columns.index(self.target)
        train = series[self.target].to_numpy()[parts["train"]]
        naive = float(np.abs(train[self.season :] - train[: -self.season]).mean())
        ends = {split: (int(rows[0]), int(rows[-1]) + 1) for split, rows in parts.items()} | {
            "train": (self.lags, len(train))
        }
        return Part(name, ends, scaler, (float(scaler.mean_[target]), float(scaler.scale_[target]), naive))

    def divided(self, rows: int) -> dict[str, np.ndarray]:
        """Return the rows of each split of a series."""
        past = int(rows * (1 - self.test))
        if isinstance(fold := self.held_out(rows, order=np.arange(rows)), tuple):
            past, rows = len(fold[0]), int(fold[1][-1]) + 1
        return splits.divide(rows, rows - past, self.validation, splits.in_order)

    def scaled(self, scaler: StandardScaler, series: pd.DataFrame, columns: list[str]) -> Tensor:
        """Return scaled columns (n, columns)."""
        places = [self.columns.index(column) for column in columns]
        values = (series[columns].to_numpy() - scaler.mean_[places]) / scaler.scale_[places]
        return torch.from_numpy(values).float().contiguous()  # row by row, as windows are read

    def channels(self, scaler: StandardScaler, series: pd.DataFrame, beyond: int = 0) -> Tensor:
        """Return what windows hold (n, channels), scaled; with ``beyond`` rows more, where the features are NaN.

        In each row stand the features, and what is known of the row ``horizon`` rows later. Behind the last row of a series
        a known column keeps its value: only targets that are beyond it, too, need another one.
        """
        values = self.scaled(scaler, series, self.features)
        if not self.ahead:
            return values
        index = series.index.append(dates.after(series.index, self.horizon + beyond, self.freq))
        known = self.scaled(scaler, series, self.known)
        rows = torch.arange(len(index)).clamp_max(len(series) - 1)
        calendar = torch.tensor(dates.calendar(index, self.calendar).to_numpy()).float()
        values = pad(values, (0, 0, 0, beyond), value=torch.nan)
        return torch.cat([values, torch.cat([known[rows], calendar], 1)[self.horizon :]], 1)

    def fixed(self, part: Part, start: int, end: int) -> Split:
        """Return all windows whose first target is row ``start`` or later and whose last is before ``end``: views."""
        first, last = start - self.lags, end - self.horizon - self.lags + 1  # first rows of the windows themselves
        back = self.lags if self.every_step else 1  # steps of a window that have targets
        targets = part.values[self.lags - back + 1 :].unfold(0, back + self.horizon - 1, 1)
        time = (torch.arange(len(part.values)) / end)[self.lags - back :].unfold(0, back, 1)
        return Split(
            part.inputs.unfold(0, self.lags, 1).transpose(1, 2)[first:last],
            self.with_units(targets[first:last], part),
            self.named(part, part.series.index[start : end - self.horizon + 1]),
            time[first:last] if start == self.lags else None,
        )

    def random_prefixes(self, part: Part) -> Split:
        """Return the last 1, 2, …, ``lags`` steps before each of the random ends, padded at their end."""
        random, past = np.random.default_rng(self.split_seed), part.ends["train"][1]
        ends = random.integers(self.lags, past - self.horizon + 1, self.ends).repeat(self.lags)
        lengths = torch.arange(1, self.lags + 1).repeat(self.ends)
        steps = torch.arange(self.lags + self.horizon - 1)
        rows = torch.from_numpy(ends)[:, None] - lengths[:, None] + steps  # (ends * lags, lags + horizon - 1)
        real = steps[: self.lags] < lengths[:, None]
        follows = steps < lengths[:, None] + self.horizon - 1
        x = part.inputs[rows[:, : self.lags].clamp_max(past - 1)] * real[..., None]
        y = part.values[(rows + 1).clamp_max(past - 1)] * follows
        time = (rows[:, : self.lags] / past).masked_fill(~real, torch.nan)
        return Split(x, self.with_units(y, part), self.named(part, part.series.index[ends]), time)

    def named(self, part: Part, index: pd.Index) -> pd.Index:
        """Return the names of rows in tables: of several series, the name of the series before the date."""
        if not self.series:
            return index
        return pd.MultiIndex.from_product([[part.name], index], names=[self.series, index.name or "row"])

    def with_units(self, targets: Tensor, part: Part) -> Tensor:
        """Return targets (n, values), of several series with the units of their own behind them: (n, values + 3)."""
        return torch.cat([targets, torch.tensor(part.units).expand(len(targets), -1)], 1) if self.series else targets

    def encode(self, frame: pd.DataFrame) -> tuple[Tensor, pd.Index]:
        """Return every window of ``lags`` rows of new values, named by the date (or row number) that follows it."""
        windows, names = [], []
        for part in self.each(frame, [*self.features, *self.known]):
            windows.append(part.inputs.unfold(0, self.lags, 1).transpose(1, 2)[: part.rows - self.lags + 1])
            index = part.series.index.append(dates.after(part.series.index, 1, self.freq))
            names.append(self.named(part, index[self.lags : part.rows + 1]))
        return torch.cat(windows), names[0].append(names[1:])

    def labelled(self, source: Path) -> tuple[Split, str]:
        """Read further rows, and return every window that is followed by the values to predict."""
        with about(f"input={source}"):
            frame = self.new_rows(source, self.texts)
            parts = self.each(frame, self.columns, self.horizon)
            split = joined([self.fixed(part, self.lags, part.rows) for part in parts])
        return split._replace(time=None), f"{len(split.y):,} windows of {len(frame):,} rows"

    def unlabelled(self, x: Any, rows: pd.Index) -> Batches:
        batches = super().unlabelled(x, rows)
        if isinstance(rows, pd.MultiIndex):
            of_level = torch.tensor([self.parts[name].units for name in rows.levels[0]])
            batches.split = batches.split._replace(y=of_level[torch.from_numpy(rows.codes[0].astype("int64"))])
        return batches


class Passengers(Forecast):
    """Monthly totals of international airline passengers, thousands, January 1949 to December 1960 (Box and Jenkins)."""

    def __post_init__(self) -> None:
        self.path = self.path or Path(__file__).parents[1] / "files" / "AirPassengers.csv"
        super().__post_init__()
