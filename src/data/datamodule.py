"""Data that fits into memory: prepared once, kept as tensors, sliced into batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from math import ceil, prod
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch import Tensor, nn

from src.errors import UserError

Batch = tuple[Tensor, ...]

# How many batches are gathered at once and handed to a training step together (see Task.training_step), and how many
# numbers at most: a few blocks are in memory at any time.
BLOCK, NUMBERS = 32, 2**22


class Spec(NamedTuple):
    """What a network, a task and a picture need to know of a data set.

    Attributes:
        shape: Of one input, without the batch axis: (features,), (steps, features), (channels, height, width), (steps,) of
            word numbers, or (words,) of a bag of words.
        outputs: Numbers that the network gives per sample (or per step).
        columns: Names of the flattened input's columns.
        target: Name of the target.
        center: Subtracted from the target, and
        scale: divided out of it, before a network sees it.
        classes: Names of the classes, in the order of their numbers; empty where the target is a number.
        counts: Training samples of each class.
        variables: Of a masked series, which has for each of them a value, a mask and a time since the last.
        forecast: Target values per sample of a forecast; 0 where the target is one number or class.
        channel: Which feature of a window is the target's own past; None where none is.
        every_step: Whether they follow every step of a series, not its last alone.
        naive: Mean absolute error of the (seasonal) naive forecast within train, the unit of MASE.
        words: The vocabulary, in the order of the words' numbers; empty where inputs are no words.
        longest: Most words that a text has.
    """

    shape: tuple[int, ...]
    outputs: int
    columns: tuple[str, ...]
    target: str
    center: float = 0.0
    scale: float = 1.0
    classes: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    variables: int = 0
    forecast: int = 0
    channel: int | None = None
    every_step: bool = False
    naive: float = 1.0
    words: tuple[str, ...] = ()
    longest: int = 0


class Split(NamedTuple):
    """Inputs (n, *shape), targets as the task wants them, and the rows' names.

    Inputs are a tensor, or texts (:mod:`src.data.text.sequences`) that give a tensor for any rows. Targets are scaled
    numbers (n,), class numbers (n,), or the scaled values that follow a window (n, values). ``time`` is, for training on
    windows, the place of each target in the training series, from 0 to 1; NaN where there is none.
    """

    x: Any  # Tensor, Sequences or Bags
    y: Tensor
    rows: pd.Index
    time: Tensor | None = None


class Batches:
    """Iterates over batches sliced out of a split: no ``__getitem__`` per sample, no collating, no workers.

    Without a block size the rows come in order, batch by batch, for evaluation. With one they come for training, in
    lists of up to ``block`` batches; with a seed they are also shuffled, from nothing but (seed, epoch), and with weights
    (n,) drawn by them instead, with replacement. The trainer knows the epoch, and of several devices which one this is:
    each learns from its share of the rows of a batch (see :meth:`shared`), while all of them evaluate a whole split.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        block: int | None = None,
        seed: int | None = None,
        trainer: Trainer | None = None,
        weights: Tensor | None = None,
    ):
        self.split, self.batch_size, self.block, self.seed, self.trainer = split, batch_size, block, seed, trainer
        self.weights = weights

    def __len__(self) -> int:
        size = self.batch_size * self.devices
        batches = ceil(len(self.split.y) / size) if isinstance(self.split.x, Tensor) else len(self.groups())
        return ceil(batches / (self.block or 1))

    def __iter__(self) -> Iterator[Batch | list[Batch]]:
        x, y, _, time = self.split
        parts = (x, y) if time is None else (x, y, time)
        if self.devices > 1:
            yield from self.shared(*parts)
        elif not isinstance(x, Tensor):
            groups = self.groups()
            if self.block is None:
                yield from ((x[rows], y[rows]) for rows in groups)
            else:
                for first in range(0, len(groups), self.block):
                    yield [(x[rows], y[rows]) for rows in groups[first : first + self.block]]
        elif self.block is None:
            yield from self.sliced(*parts)
        else:
            for rows in self.order().split(self.batch_size * self.block):
                yield list(self.sliced(*(part[rows] for part in parts)))

    def order(self) -> Tensor:
        """The rows of this epoch in the order in which they are learnt from."""
        if self.seed is None or self.block is None:
            return torch.arange(len(self.split.y))
        generator = self.generator()
        if self.weights is not None:
            return torch.multinomial(self.weights, len(self.split.y), replacement=True, generator=generator)
        return torch.randperm(len(self.split.y), generator=generator)

    @property
    def devices(self) -> int:
        """How many learn together."""
        return self.trainer.world_size if self.trainer and self.block else 1

    def shared(self, *parts: Any) -> Iterator[list[Batch]]:
        """This device's part of batches that are as many times larger as there are devices.

        All devices must take equally many steps. Of a last batch that is too small for all, some have no row: they take its
        first one along, at weight 0 (see :meth:`weight`).
        """
        assert self.trainer is not None
        size, first = self.batch_size * self.devices, self.trainer.global_rank
        self.together = list(self.order().split(size)) if isinstance(parts[0], Tensor) else self.groups()
        for rows in self.together:
            own = rows[first :: self.devices] if len(rows) > first else rows[:1]
            yield [tuple(part[own] for part in parts)]

    def weight(self, place: int) -> float:
        """What the loss of this device's part of a batch counts in the mean over devices: 1 where all have as many rows."""
        if self.devices == 1:
            return 1.0
        assert self.trainer is not None
        rows = len(self.together[place])
        return len(range(self.trainer.global_rank, rows, self.devices)) * self.devices / rows

    def generator(self) -> torch.Generator:
        assert self.seed is not None
        return torch.Generator().manual_seed(epoch_seed(self.seed, self.trainer.current_epoch if self.trainer else 0))

    def groups(self) -> list[Tensor]:
        """Of texts, the rows of each batch: of one length, and for training the batches in any order."""
        assert not isinstance(self.split.x, Tensor)
        groups = self.split.x.groups(self.order(), self.batch_size * self.devices)
        if self.seed is None or self.block is None:
            return sorted(groups, key=len, reverse=True)  # so that a few batches are no odd ones
        return [groups[place] for place in torch.randperm(len(groups), generator=self.generator())]

    def taken(self) -> np.ndarray:
        """The rows in the order in which they come for evaluation."""
        rows = torch.arange(len(self.split.y)) if isinstance(self.split.x, Tensor) else torch.cat(self.groups())
        return rows.numpy()

    def sliced(self, *parts: Tensor) -> Iterator[Batch]:
        return zip(*(part.split(self.batch_size) for part in parts), strict=True)


class InMemory(LightningDataModule):
    """Base of the data sets that fit into memory.

    A subclass says in ``load`` how files become splits and a ``spec``; everything else is here. Where what is stored is not
    yet what a network reads, ``load`` sets ``feed`` too: a module that makes a batch (x, y) one for the network, and in
    training may change both. It travels with the task's weights.

    Args:
        batch_size: Samples per step of training.
        eval_batch_size: Samples per forward pass where nothing is learnt; no metric depends on it.
        shuffle: Whether each epoch takes the training rows in another order.
        labels: Share of the training rows that are learnt from, the same of each class; scalers are fitted on all.
        sampler: ``balanced`` draws training rows, with replacement, so that every class comes equally often.
    """

    spec: Spec
    feed: nn.Module | None = None

    def __init__(
        self,
        batch_size: int = 64,
        eval_batch_size: int = 1024,
        shuffle: bool = True,
        labels: float = 1.0,
        sampler: str | None = None,
    ):
        super().__init__()
        self.batch_size, self.eval_batch_size, self.shuffle = batch_size, eval_batch_size, shuffle
        self.labels, self.sampler = labels, sampler
        self.seed, self.block = 0, BLOCK  # each run sets its own
        self.splits: dict[str, Split] = {}
        self.notes: list[str] = []  # what was done to the data that a user should know

    def load(self) -> dict[str, Split]:
        """Reads the files, sets ``spec`` and returns the splits ``train``, ``val`` and ``test``."""
        raise NotImplementedError

    def encode(self, frame: pd.DataFrame) -> tuple[Tensor, pd.Index]:
        """Turns new rows into inputs (n, *shape) and their names, with what was learnt from train.

        Raises:
            UserError: A column is missing, unknown, or holds something that is not a finite number.
        """
        raise NotImplementedError

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
                raise UserError(f"data: the {name} split has fewer than two rows; there are {self.sizes()}")
            if self.spec.classes and (y == y[0]).all():
                raise UserError(
                    f"data: the {name} split holds only {self.spec.classes[int(y[0])]}; it needs other classes too"
                )
            if not isinstance(x, Tensor) or (stored(x).isfinite().all() and stored(y).isfinite().all()):
                continue
            bad = ~(x.flatten(1).isfinite().all(1) & y.reshape(len(y), -1).isfinite().all(1))
            if bad.any():
                raise UserError(f"data: {int(bad.sum())} rows of {name} hold NaN or infinity, first {rows[bad.numpy()][0]}")

    def sizes(self) -> str:
        return ", ".join(f"{len(split.y):,} {name}" for name, split in self.splits.items())

    def fingerprint(self) -> str:
        """A SHA-256 of every tensor of every split: equal if and only if two runs saw the same numbers."""
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
        """A split in order, for evaluation."""
        return Batches(self.splits[split], self.eval_batch_size)

    def val_dataloader(self) -> Batches:
        return self.batches("val")

    def test_dataloader(self) -> Batches:
        return self.batches("test")

    def transfer_batch_to_device(self, batch: object, device: torch.device, dataloader_idx: int) -> object:
        # Lightning's own walks through nested batches, which costs more than a small network's step
        return batch if device.type == "cpu" else super().transfer_batch_to_device(batch, device, dataloader_idx)


def stored(tensor: Tensor) -> Tensor:
    """The numbers that a tensor is made of, flat: of overlapping windows each number of the series once."""
    first, steps = tensor.storage_offset(), zip(tensor.shape, tensor.stride(), strict=True)
    span = 1 + sum((size - 1) * stride for size, stride in steps) if tensor.numel() else 0
    return torch.as_strided(tensor, (span,), (1,), first) if span < tensor.numel() else tensor.contiguous().flatten()


def some(split: Split, share: float, classes: tuple[str, ...]) -> Split:
    """A share of a split's rows, evenly spread over them and the same of each class, but at least one."""
    groups = [torch.nonzero(split.y == number)[:, 0] for number in range(len(classes))] or [torch.arange(len(split.y))]
    kept = [rows[torch.linspace(0, len(rows) - 1, max(1, round(share * len(rows)))).long()] for rows in groups if len(rows)]
    rows = torch.cat(kept).sort().values
    time = None if split.time is None else split.time[rows]
    x = split.x[rows] if isinstance(split.x, Tensor) else split.x.take(rows)
    return Split(x, split.y[rows], split.rows[rows.numpy()], time)


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of one epoch, from which its shuffling and its dropout are drawn."""
    return seed * 1_000_003 + epoch
