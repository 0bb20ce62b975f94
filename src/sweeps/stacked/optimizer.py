"""One optimizer over the weight matrix of a stack, and the replicas' own optimizers, which take no step.

A replica's own optimizer holds its settings, which its schedule changes, and its state, which goes into checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.types import LRSchedulerConfig
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from src.data.datamodule import BLOCK, Batches, InMemory
from src.sweeps.stacked.stack import Stack
from src.tasks.task import Task


@dataclass
class Replica:
    """One run of a stack: what Lightning's Trainer would hold for it alone."""

    task: Task
    optimizer: torch.optim.Optimizer
    schedulers: list[LRSchedulerConfig]
    callbacks: list[Callback]
    loggers: list[Logger]
    batches: Batches
    generator: torch.Generator  # of its dropout and of the changes of its images
    group: int = 0  # replicas of one group always have the same settings of the optimizer
    stopped: bool = False

    @classmethod
    def of(cls, task: Task, own: Any, data: InMemory, trainer: Trainer) -> Replica:
        """Return a replica with fresh weights.

        Args:
            task: Task of the run.
            own: Trainer of the run, which never fits; its callbacks and loggers do the work.
            data: Copy of the data set for this run.
            trainer: Trainer of the stack.
        """
        task.trainer, data.trainer = trainer, trainer
        data.seed, data.block = task.seed, BLOCK
        (optimizer,), schedulers = task.configure_optimizers()
        optimizer.step()  # without gradients it does nothing, and schedulers ask for it
        configs = [LRSchedulerConfig(scheduler) for scheduler in schedulers]
        return cls(task, optimizer, configs, own.callbacks, own.loggers, data.train_dataloader(), torch.Generator())

    def settings(self) -> dict[str, Any]:
        """Return the current settings of the optimizer: learning rate, momentum, weight decay."""
        return {key: value for key, value in self.optimizer.param_groups[0].items() if key != "params"}

    def schedule(self) -> list[dict[str, Any]] | None:
        """Return what the later settings follow from; None if each replica's metrics decide."""
        each = [config.scheduler for config in self.schedulers]
        plateau = any(isinstance(scheduler, ReduceLROnPlateau) for scheduler in each)
        return None if plateau else [scheduler.state_dict() for scheduler in each]


def joint(replicas: list[Replica], stack: Stack) -> torch.optim.Optimizer:
    """Return one optimizer over all rows, in groups of neighbours with the same settings."""
    for before, replica in pairwise(replicas):
        same = before.settings() == replica.settings() and before.schedule() == replica.schedule() is not None
        replica.group = before.group + (not same)
    return over_rows(replicas, stack)


def over_rows(replicas: list[Replica], stack: Stack) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = []
    for number, members in groupby(range(len(replicas)), key=lambda row: replicas[row].group):
        rows = list(members)
        part = slice(rows[0], rows[-1] + 1)
        weights = nn.Parameter(stack.weights[part])  # shares their memory
        weights.grad = stack.gradient[part]
        groups.append(replicas[rows[0]].settings() | {"params": [weights], "group": number})
    return replicas[0].task.make_optimizer(groups)


def state_of(optimizer: torch.optim.Optimizer, replica: Replica) -> dict[str, Any]:
    """Return the state of a replica's group: matrices like its weights, and values that all its rows share."""
    return next(optimizer.state[group["params"][0]] for group in optimizer.param_groups if group["group"] == replica.group)


def is_matrix(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() == 2


def without(stopped: list[Replica], all_: list[Replica], stack: Stack, old: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Drop the rows of replicas that have stopped; return an optimizer that continues with the others."""
    kept = [row for row, replica in enumerate(all_) if replica not in stopped]
    stack.keep(kept)
    new = over_rows([all_[row] for row in kept], stack)
    for group in new.param_groups:
        members = [row for row, replica in enumerate(all_) if replica.group == group["group"]]
        rows = [index for index, row in enumerate(members) if row in kept]
        state = state_of(old, all_[members[0]])
        new.state[group["params"][0]] = {key: value[rows] if is_matrix(value) else value for key, value in state.items()}
    return new


def hand_over(row: int, replicas: list[Replica], stack: Stack, optimizer: torch.optim.Optimizer) -> None:
    """Copy a row's weights and its state of the optimizer to the replica's own network and optimizer."""
    replica = replicas[row]
    stack.copy_to(replica.task.network, row)
    index = sum(before.group == replica.group for before in replicas[:row])
    state = state_of(optimizer, replica)
    matrices = {key: stack.cut(value[index]) for key, value in state.items() if is_matrix(value)}
    for name, weight in replica.task.network.named_parameters():
        if weight.requires_grad:
            replica.optimizer.state[weight] = {
                key: matrices[key][name] if key in matrices else value.clone() if isinstance(value, Tensor) else value
                for key, value in state.items()
            }
