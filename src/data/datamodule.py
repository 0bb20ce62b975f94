"""Data that fits into memory: prepared once, kept as tensors, sliced into batches."""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf, prod
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor, nn

from src.data import LARGEST, columns, csv_file
from src.data.batches import Batch, Batches, Split, epoch_seed
from src.data.series.transforms import Transform
from src.errors import UserError, nearest

__all__ = ["Batch", "Batches", "InMemory", "Spec", "Split", "epoch_seed"]

# Number of batches that are gathered at once and handed to a training step together (see Task.training_step), and largest
# count of numbers in them: a few blocks are in memory at any time.
BLOCK, NUMBERS = 32, 2**22


class Spec(NamedTuple):
    """Shapes and names of a data set, for networks, tasks and plots."""

    # shape of one input without the batch axis: (features,), (steps, features), (channels, height, width), (steps,) of
    # word numbers, or (words,) of a bag of words
    shape: tuple[int, ...]
    outputs: int  # number of outputs of the network per sample (or per step)
    columns: tuple[str, ...]  # names of the columns of the flattened input
    target: str  # name of the target
    center: float = 0.0  # mean that is subtracted from the target before a network sees it
    scale: float = 1.0  # standard deviation that the target is then divided by
    classes: tuple[str, ...] = ()  # names of the classes by number; empty for a numeric target
    counts: tuple[int, ...] = ()  # number of training samples by class
    variables: int = 0  # number of variables of a masked series, each with a value, a mask and the time since the last value
    forecast: int = 0  # number of target values per sample of a forecast; 0 if the target is a single number or class
    channel: int | None = None  # index of the feature that is the target's own past; None if there is none
    every_step: bool = False  # true if targets follow every step of a series, not only the last
    naive: float = 1.0  # mean absolute error of the (seasonal) naive forecast within train, the unit of MASE
    units: int = 0  # number of values behind the targets of each sample: of several series, its own center, scale and naive
    words: tuple[str, ...] = ()  # vocabulary by word number; empty if inputs are not words
    longest: int = 0  # largest number of words of a text
    transform: Transform | None = None  # of the target inside a network, see :class:`src.networks.inputs.Transformed`


@dataclass(kw_only=True, eq=False)
class InMemory(LightningDataModule):
    """Base of the data sets that fit into memory.

    A subclass turns files into splits and a ``spec`` in ``load``; everything else is here. If a network cannot read inputs
    as they are stored (bytes of images), ``load`` also sets ``feed``: a module that maps a batch (x, y) to that of the
    network, and may augment it in training. It is saved with the task's weights.
    """

    batch_size: int = 64  # samples per step of training
    eval_batch_size: int = 1024  # samples per forward pass in evaluation; no metric depends on it
    shuffle: bool = True  # take the training rows in another order in each epoch
    labels: float = 1.0  # fraction of the training rows to train on, the same of each class; scalers are fitted on all
    sampler: str | None = None  # ``balanced`` draws training rows, with replacement, so that every class is equally frequent

    spec: Spec = field(init=False)
    feed: nn.Module | None = field(default=None, init=False)
    texts: tuple[str, ...] = field(default=(), init=False)  # columns of new rows whose values are kept as they are written
    # texts that mean a missing target, besides NA, null and the like
    missing_texts: Sequence[str] = field(default=(), init=False)

    def __post_init__(self) -> None:
        super().__init__()
        self.seed, self.block = 0, BLOCK  # each run sets its own
        self.splits: dict[str, Split] = {}
        self.notes: list[str] = []  # changes to the data that the user should know of

    def load(self) -> dict[str, Split]:
        """Read the files, set ``spec`` and return the splits ``train``, ``val`` and ``test``."""
        raise NotImplementedError

    def encode(self, frame: pd.DataFrame) -> tuple[Tensor, pd.Index]:
        """Turn new rows into inputs (n, *shape) and their names, scaled as train was.

        Raises:
            UserError: A column is missing, unknown, or holds something that is not a finite number.
        """
        raise NotImplementedError

    def targets(self, frame: pd.DataFrame) -> Tensor:
        """Return the targets (n,) of new rows, as ``load`` does: class numbers, or numbers scaled as those of train.

        Raises:
            UserError: Names the line of a class that the run does not know, or of a target that is no number.
        """
        values, classes = frame[self.spec.target], list(self.spec.classes)
        if not classes:
            scaled = (numbers(frame, [self.spec.target]).to_numpy()[:, 0] - self.spec.center) / self.spec.scale
            return torch.from_numpy(scaled).float()
        if len(unknown := values[~values.isin(classes)]):
            place = f"{frame.index.name or 'row'} {unknown.index[0]}, column {values.name}"
            raise UserError(f"{place}: {unknown.iloc[0]} is no class of this run; {nearest(unknown.iloc[0], classes)}")
        return torch.from_numpy(pd.Categorical(values, classes).codes.astype("int64"))

    def read_new(self, source: Path) -> tuple[Any, pd.Index, str]:
        """Return inputs and names as :meth:`encode` does, of a file that is named by ``input=``, and a message on them.

        Raises:
            UserError: The file cannot be read, or its rows cannot be used.
        """
        with about(f"input={source}"):
            frame = self.new_rows(source, self.texts)
            x, rows = self.encode(frame)
        return x, rows, f"of {self.spec.target} for {len(frame):,} rows"

    def labelled(self, source: Path) -> tuple[Split, str]:
        """Return the rows that have a target, of a file that is named by ``input=``, and a message on them.

        Raises:
            UserError: As of :meth:`read_new` and :meth:`targets`; or no row has a target.
        """
        target = self.spec.target
        with about(f"input={source}"):
            frame = self.new_rows(source, [*self.texts, target])
            if target not in frame:
                raise UserError(f"has no column {target}, the target; give one, or predict with python -m src.predict")
            known = columns.has_target(frame[target], self.missing_texts)
            if not known.any():
                raise UserError(f"no row has a target, column {target}")
            x, rows = self.encode(frame[known])
            y = self.targets(frame.loc[rows])
        left_out = f", and {(~known).sum():,} without {target} left out" if not known.all() else ""
        return Split(x, y, rows), f"{len(rows):,} rows{left_out}"

    def new_rows(self, source: Path, texts: Sequence[str]) -> pd.DataFrame:
        """Return the rows of a table, without blank ones, and those columns ``texts`` as they are written."""
        frame, notes = self.read_rows(source, texts)
        self.notes += notes
        frame = frame[~(frame.isna() | frame.eq("")).all(axis=1)]
        if frame.empty:
            raise UserError("has no rows")
        return frame

    def read_rows(self, source: Path, texts: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
        """Read a table of new rows, named by their lines, and notes on how; blank lines are rows without values."""
        if source.is_dir():
            raise UserError("is a folder, and this run reads rows of a table; give a CSV file")
        return csv_file.read(source, texts, skip_blank_lines=False)

    def unlabelled(self, x: Any, rows: pd.Index) -> Batches:
        """Return batches of inputs to predict, in order."""
        return Batches(Split(x, torch.zeros(len(rows)), rows), self.eval_batch_size)

    def setup(self, stage: str = "fit") -> None:
        if self.splits:
            return
        self.splits = self.load()
        if self.sampler and not self.spec.classes:
            raise UserError(f"data.sampler={self.sampler}: needs classes; {self.spec.target} is a number")
        if self.labels < 1:
            self.splits["train"] = some(self.splits["train"], self.labels, self.spec.classes)
        if self.spec.classes:
            counts = self.splits["train"].y.bincount(minlength=len(self.spec.classes))
            self.spec = self.spec._replace(counts=tuple(counts.tolist()))
        for name, (x, y, rows, _) in self.splits.items():
            if len(y) < 2:
                raise UserError(
                    f"data: the {name} split has fewer than two rows ({self.sizes()}); give more rows, or another fraction"
                )
            if self.spec.classes and (y == y[0]).all():
                raise UserError(
                    f"data: the {name} split holds only {self.spec.classes[int(y[0])]}; it needs two classes or more"
                )
            if not isinstance(x, Tensor) or (stored(x).isfinite().all() and stored(y).isfinite().all()):
                continue
            bad = ~(x.flatten(1).isfinite().all(1) & y.reshape(len(y), -1).isfinite().all(1))
            if bad.any():
                raise UserError(f"data: {int(bad.sum())} rows of {name} hold NaN or infinity, first {rows[bad.numpy()][0]}")

    def sizes(self) -> str:
        """Return the number of rows of each split, for messages."""
        return ", ".join(f"{len(split.y):,} {name}" for name, split in self.splits.items())

    def fingerprint(self) -> str:
        """Return a SHA-256 of every tensor of every split: equal if and only if two runs saw the same numbers."""
        digest = hashlib.sha256()
        for name, (x, y, *_) in sorted(self.splits.items()):
            for tensor in (x, y) if isinstance(x, Tensor) else (*x.tensors(), y):
                digest.update(f"{name} {tuple(tensor.shape)} {tensor.stride()} {tensor.dtype}".encode())
                digest.update(stored(tensor).numpy().data)
        return digest.hexdigest()

    def train_dataloader(self) -> Batches:
        seed, train = self.seed if self.shuffle else None, self.splits["train"]
        weights = 1 / torch.tensor(self.spec.counts)[train.y] if self.sampler else None
        block = min(self.block, max(1, NUMBERS // (self.batch_size * prod(self.spec.shape))))
        return Batches(train, self.batch_size, block, seed, self.trainer, weights)

    def batches(self, split: str) -> Batches:
        """Return a split in order, for evaluation."""
        return Batches(self.splits[split], self.eval_batch_size)

    def val_dataloader(self) -> Batches:
        return self.batches("val")

    def test_dataloader(self) -> Batches:
        return self.batches("test")

    def transfer_batch_to_device(self, batch: object, device: torch.device, dataloader_idx: int) -> object:
        # Lightning's own walks through nested batches, which costs more than a small network's step
        return batch if device.type == "cpu" else super().transfer_batch_to_device(batch, device, dataloader_idx)


@contextlib.contextmanager
def about(option: str) -> Iterator[None]:
    """Name the option whose file is read, as in ``input=FILE``, in a UserError that is raised inside the context."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{option}: {error}") from error


def numbers(frame: pd.DataFrame, columns: list[str], gaps: bool = False) -> pd.DataFrame:
    """Return the columns as finite floats; with ``gaps``, NaN where there is no value, and none so large that it overflows.

    Raises:
        UserError: Names the first column and row that is not such a number, and how many there are.
    """
    converted = frame[columns].apply(pd.to_numeric, errors="coerce").astype(float)
    bad = (converted.isna() & (frame[columns].notna() | (not gaps))) | (converted.abs() >= (LARGEST if gaps else inf))
    if bad.to_numpy().any():
        column = bad.any().idxmax()
        place, count = int(bad[column].to_numpy().argmax()), int(bad.to_numpy().sum())
        raise UserError(
            f"{frame.index.name or 'row'} {frame.index[place]}, column {column}: {frame[column].iloc[place]} is not a "
            + (f"number below {LARGEST:g}" if gaps else "finite number")
            + (f" ({count} such values in all)" if count > 1 else "")
        )
    return converted


def require(frame: pd.DataFrame, needed: list[str], allowed: list[str]) -> None:
    """Raise a UserError that names the columns which are missing or unexpected."""
    if missing := [column for column in needed if column not in frame]:
        raise UserError(f"missing column {', '.join(missing)}; needed are {', '.join(needed)}")
    if extra := [str(column) for column in frame if column not in {*needed, *allowed}]:
        raise UserError(f"unknown column {', '.join(extra)}; needed are {', '.join(needed)}")


def stored(tensor: Tensor) -> Tensor:
    """Return the numbers of a tensor, flat; overlapping windows give each number of the series once."""
    first, steps = tensor.storage_offset(), zip(tensor.shape, tensor.stride(), strict=True)
    span = 1 + sum((size - 1) * stride for size, stride in steps) if tensor.numel() else 0
    return torch.as_strided(tensor, (span,), (1,), first) if span < tensor.numel() else tensor.contiguous().flatten()


def some(split: Split, fraction: float, classes: tuple[str, ...]) -> Split:
    """Return a fraction of a split's rows, evenly spread and the same of each class, but at least one."""
    groups = [torch.nonzero(split.y == number)[:, 0] for number in range(len(classes))] or [torch.arange(len(split.y))]
    chosen = [
        rows[torch.linspace(0, len(rows) - 1, max(1, round(fraction * len(rows)))).long()] for rows in groups if len(rows)
    ]
    rows = torch.cat(chosen).sort().values
    time = None if split.time is None else split.time[rows]
    x = split.x[rows] if isinstance(split.x, Tensor) else split.x.take(rows)
    return Split(x, split.y[rows], split.rows[rows.numpy()], time)
