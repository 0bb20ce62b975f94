"""Data that fits into memory: prepared once, kept as tensors, sliced into batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from math import ceil
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch import Tensor

from src.errors import UserError

Batch = tuple[Tensor, Tensor]

# How many batches are gathered at once and handed to a training step together: see Task.training_step.
BLOCK = 32


class Spec(NamedTuple):
    """What a network, a task and a picture need to know of a data set.

    Attributes:
        shape: Of one input, without the batch axis: (features,) or (steps, features).
        outputs: Numbers that the network gives per sample.
        columns: Names of the flattened input's columns.
        target: Name of the target.
        center: Subtracted from the target, and
        scale: divided out of it, before a network sees it.
    """

    shape: tuple[int, ...]
    outputs: int
    columns: tuple[str, ...]
    target: str
    center: float = 0.0
    scale: float = 1.0


class Split(NamedTuple):
    """Inputs (n, *shape), scaled targets (n,), and the rows' names."""

    x: Tensor
    y: Tensor
    rows: pd.Index


class Batches:
    """Iterates over batches sliced out of a split: no ``__getitem__`` per sample, no collating, no workers.

    Without a block size the rows come in order, batch by batch, for evaluation. With one they come for training, in
    lists of up to ``block`` batches; with a seed they are also shuffled, from nothing but (seed, epoch). The trainer
    knows the epoch, and of several devices which one this is: each takes its share of the rows.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        block: int | None = None,
        seed: int | None = None,
        trainer: Trainer | None = None,
    ):
        self.split, self.batch_size, self.block, self.seed, self.trainer = split, batch_size, block, seed, trainer

    def __len__(self) -> int:
        rows = ceil(len(self.split.y) / (self.trainer.world_size if self.trainer else 1))
        return ceil(rows / (self.batch_size * (self.block or 1)))

    def __iter__(self) -> Iterator[Batch | list[Batch]]:
        x, y, _ = self.split
        if self.block is None:
            yield from self.sliced(x, y)
            return
        epoch, rank, size = (0, 0, 1)
        if self.trainer:
            epoch, rank, size = self.trainer.current_epoch, self.trainer.global_rank, self.trainer.world_size
        order = torch.arange(len(y))
        if self.seed is not None:
            order = torch.randperm(len(y), generator=torch.Generator().manual_seed(epoch_seed(self.seed, epoch)))
        for rows in order[rank::size].split(self.batch_size * self.block):
            yield list(self.sliced(x[rows], y[rows]))

    def sliced(self, x: Tensor, y: Tensor) -> Iterator[Batch]:
        return zip(x.split(self.batch_size), y.split(self.batch_size), strict=True)


class InMemory(LightningDataModule):
    """Base of the data sets that fit into memory.

    A subclass says in ``load`` how files become splits and a ``spec``; everything else is here.

    Args:
        batch_size: Samples per step of training.
        eval_batch_size: Samples per forward pass where nothing is learnt; no metric depends on it.
        shuffle: Whether each epoch takes the training rows in another order.
    """

    spec: Spec

    def __init__(self, batch_size: int = 64, eval_batch_size: int = 1024, shuffle: bool = True):
        super().__init__()
        self.batch_size, self.eval_batch_size, self.shuffle = batch_size, eval_batch_size, shuffle
        self.seed, self.block = 0, BLOCK  # each run sets its own
        self.splits: dict[str, Split] = {}

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
        for name, (x, y, rows) in self.splits.items():
            if len(y) < 2:
                raise UserError(f"data: the {name} split has fewer than two rows; there are {self.sizes()}")
            bad = ~(x.flatten(1).isfinite().all(1) & y.isfinite())
            if bad.any():
                raise UserError(f"data: {int(bad.sum())} rows of {name} hold NaN or infinity, first {rows[bad.numpy()][0]}")

    def sizes(self) -> str:
        return ", ".join(f"{len(split.y):,} {name}" for name, split in self.splits.items())

    def fingerprint(self) -> str:
        """A SHA-256 of every tensor of every split: equal if and only if two runs saw the same numbers."""
        digest = hashlib.sha256()
        for name, (x, y, _) in sorted(self.splits.items()):
            for tensor in (x, y):
                digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
                digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()

    def train_dataloader(self) -> Batches:
        seed = self.seed if self.shuffle else None
        return Batches(self.splits["train"], self.batch_size, self.block, seed, self.trainer)

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


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of one epoch, from which its shuffling and its dropout are drawn."""
    return seed * 1_000_003 + epoch


def numbers(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The columns as finite floats.

    Raises:
        UserError: Names the first column and row that is not a finite number, and how many there are.
    """
    converted = frame[columns].apply(pd.to_numeric, errors="coerce").astype(float)
    bad = converted.isna() | converted.abs().eq(float("inf"))
    if bad.to_numpy().any():
        column = bad.any().idxmax()
        row = bad[column].idxmax()
        count = int(bad.to_numpy().sum())
        raise UserError(
            f"row {row}, column {column}: {frame.at[row, column]} is not a finite number"
            + (f" ({count} such values in all)" if count > 1 else "")
        )
    return converted


def require(frame: pd.DataFrame, needed: list[str], allowed: list[str]) -> None:
    """Raises a UserError that names the columns which are missing or unknown."""
    if missing := [column for column in needed if column not in frame]:
        raise UserError(f"missing column {', '.join(missing)}; needed are {', '.join(needed)}")
    if extra := [str(column) for column in frame if column not in {*needed, *allowed}]:
        raise UserError(f"unknown column {', '.join(extra)}; needed are {', '.join(needed)}")


def unscaled(columns: int) -> np.ndarray:
    """Two rows of mean 0 and deviation 1, from which a scaler learns to change nothing."""
    return np.array([[-1.0] * columns, [1.0] * columns])
