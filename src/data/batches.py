"""Batches of a split that is in memory: sliced, shuffled by seed and epoch, divided between devices."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from math import ceil
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import Trainer
from torch import Tensor

Batch = tuple[Tensor, ...]


class Split(NamedTuple):
    """Inputs, targets and row names of one split."""

    x: Any  # inputs (n, *shape): a tensor, or texts (:mod:`src.data.text.sequences`) that return a tensor for given rows
    y: Tensor  # targets: scaled numbers (n,), class numbers (n,), or the scaled values that follow a window (n, values)
    rows: pd.Index  # names of the rows
    # for training on windows, the position of each target in the training series, from 0 to 1; NaN for padding
    time: Tensor | None = None


@dataclass(eq=False)
class Batches:
    """Batches sliced out of a split: no ``__getitem__`` per sample, no collating, no workers.

    Without a block size, rows come in order and batch by batch, for evaluation. With a block size they come for training, in
    lists of up to ``block`` batches. The order of an epoch depends on (seed, epoch) alone.

    When several devices train together, each reads its part of every batch, see :meth:`own`; all of them evaluate a whole
    split.
    """

    split: Split  # rows to read
    batch_size: int  # rows per batch and device
    block: int | None = None  # batches per list; None for evaluation
    seed: int | None = None  # seed of the shuffling; None keeps the order of the split
    trainer: Trainer | None = None  # trainer with the current epoch and the devices; None for one device
    weights: Tensor | None = None  # weights (n,) by which rows are drawn, with replacement; None takes every row once

    def __post_init__(self) -> None:
        self.shuffled = self.seed is not None and self.block is not None
        self.devices = self.trainer.world_size if self.trainer and self.block else 1
        self.device = self.trainer.global_rank if self.trainer and self.block else 0  # index of this one
        self.block = 1 if self.devices > 1 else self.block  # so that each batch of several devices has its own weight
        self.epoch_rows: tuple[int, list[Tensor]] = -1, []

    def __len__(self) -> int:
        size = self.batch_size * self.devices
        batches = ceil(len(self.split.y) / size) if isinstance(self.split.x, Tensor) else len(self.rows())
        return ceil(batches / (self.block or 1))

    def __iter__(self) -> Iterator[Batch | list[Batch]]:
        x, y, _, time = self.split
        parts = (x, y) if time is None else (x, y, time)
        if isinstance(x, Tensor) and self.block is None:
            yield from self.sliced(parts)
        elif isinstance(x, Tensor) and self.block and self.devices == 1:  # one gather per block is faster than one per batch
            for rows in self.order().split(self.batch_size * self.block):
                yield list(self.sliced(tuple(part[rows] for part in parts)))
        else:
            batches = (tuple(part[rows] for part in parts) for rows in map(self.own, self.rows()))
            if self.block is None:
                yield from batches
            else:
                while block := list(islice(batches, self.block)):
                    yield block

    @property
    def epoch(self) -> int:
        """The current epoch of the trainer."""
        return self.trainer.current_epoch if self.trainer else 0

    def order(self) -> Tensor:
        """Return the rows of this epoch in the order of training; of an evaluation, in their own."""
        if not self.shuffled:
            return torch.arange(len(self.split.y))
        if self.weights is not None:
            return torch.multinomial(self.weights, len(self.split.y), replacement=True, generator=self.generator())
        return torch.randperm(len(self.split.y), generator=self.generator())

    def rows(self) -> list[Tensor]:
        """Return the rows of each batch of this epoch, over all devices; computed once per epoch."""
        if self.epoch_rows[0] != self.epoch:
            size, x = self.batch_size * self.devices, self.split.x
            self.epoch_rows = self.epoch, list(self.order().split(size)) if isinstance(x, Tensor) else self.text_rows(size)
        return self.epoch_rows[1]

    def text_rows(self, size: int) -> list[Tensor]:
        """Return the rows of batches of texts, which have one length each; training shuffles the batches too."""
        groups = self.split.x.groups(self.order(), size)
        if not self.shuffled:
            return sorted(groups, key=len, reverse=True)  # few distinct batch sizes in a row
        return [groups[index] for index in torch.randperm(len(groups), generator=self.generator())]

    def own(self, rows: Tensor) -> Tensor:
        """Return this device's part of a batch.

        All devices must take equally many steps: a device without a row in a small last batch takes its first row, at
        weight 0, see :meth:`weight`.
        """
        return rows[self.device :: self.devices] if len(rows) > self.device else rows[:1]

    def weight(self, index: int) -> float:
        """Return the weight of this device's loss of a batch in the mean over devices: 1 if all have as many rows."""
        if self.devices == 1:
            return 1.0
        rows = len(self.rows()[index])
        return len(range(self.device, rows, self.devices)) * self.devices / rows

    def generator(self) -> torch.Generator:
        """Return the source of this epoch's random order."""
        assert self.seed is not None
        return torch.Generator().manual_seed(epoch_seed(self.seed, self.epoch))

    def taken(self) -> np.ndarray:
        """Return the rows in the order of evaluation."""
        return (torch.arange(len(self.split.y)) if isinstance(self.split.x, Tensor) else torch.cat(self.rows())).numpy()

    def sliced(self, parts: tuple[Tensor, ...]) -> Iterator[Batch]:
        """Yield views of consecutive rows."""
        return zip(*(part.split(self.batch_size) for part in parts), strict=True)


def epoch_seed(seed: int, epoch: int) -> int:
    """Return the seed of an epoch's shuffling and dropout."""
    return seed * 1_000_003 + epoch
