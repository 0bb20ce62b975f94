"""One epoch of a stack: a step of all replicas for each batch, and what each of them keeps of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise
from math import ceil
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.func import vmap
from torch.optim.lr_scheduler import ReduceLROnPlateau

from src.data.datamodule import BLOCK, NUMBERS, Batch, Batches, InMemory, epoch_seed
from src.sweeps.stacked.stack import Stack
from src.tasks.forecasting import Forecasting
from src.tasks.task import Task


@dataclass
class Replica:
    """One run of a stack."""

    folder: Path
    task: Task
    trainer: Trainer  # keeps its record
    loader: Batches
    generator: torch.Generator  # of its dropout and its pictures' changes
    group: int = 0  # of those that share an optimizer's settings

    @property
    def own(self) -> torch.optim.Optimizer:
        """The optimizer of its record, which takes no step: its settings follow the schedule, its state goes to disk."""
        return self.trainer.optimizers[0]


def learn_epoch(learn: list[Replica], stack: Stack, optimizer: torch.optim.Optimizer, data: InMemory) -> None:
    """Takes one step of all replicas for each batch, as :meth:`Task.training_step` does for one."""
    for replica in learn:
        replica.generator.manual_seed(epoch_seed(replica.task.seed, replica.trainer.current_epoch))
    for group in optimizer.param_groups:  # what the schedules have made of them
        group.update(settings(next(replica for replica in learn if replica.group == group["group"])))
    stack.train()
    seen: list[tuple[Tensor, ...]] = []
    for x, y, *when in batches(learn, data):
        goals = y
        if data.feed is not None:
            x, goals = fed(learn, x, y)
        outputs = stack(x, stack.draw(x, [replica.generator for replica in learn]))
        stack.backward(losses(learn[0].task, outputs, x, goals, *when).sum() + penalty(learn, stack))
        clip(learn, stack)
        optimizer.step()
        seen.append((outputs.detach(), learn[0].task.target_of(x, y), *when))
    for replica, *columns in zip(learn, *(torch.cat(parts, 1) for parts in zip(*seen, strict=True)), strict=True):
        replica.task.keep("train", replica.task.measured(*columns))


def losses(task: Task, outputs: Tensor, x: Tensor, goals: Tensor, *when: Tensor) -> Tensor:
    """The loss of each replica (replicas,)."""

    def loss(output: Tensor, given: Tensor, goal: Tensor, *then: Tensor) -> Tensor:
        return task.loss_of(output, task.target_of(given, goal), *then)

    if isinstance(task, Forecasting):  # which looks for padding, and vmap shows it no values
        return torch.stack([loss(*parts) for parts in zip(outputs, x, goals, *when, strict=True)])
    return vmap(loss)(outputs, x, goals, *when)


def batches(learn: list[Replica], data: InMemory) -> Iterator[tuple[Tensor, ...]]:
    """Batches (replicas, batch, …) of inputs, targets and times, each replica's in the order that it would have alone."""
    train, size, device = data.splits["train"], data.batch_size, learn[0].task.device
    parts = [part for part in (train.x, train.y, train.time) if part is not None]
    rows = torch.stack([replica.loader.order() for replica in learn])  # (replicas, rows)
    block = max(1, NUMBERS // (len(learn) * size * train.x[0].numel()))
    for some in rows.split(size * min(BLOCK, block), 1):
        yield from zip(*(part[some].to(device).split(size, 1) for part in parts), strict=True)


def fed(learn: list[Replica], x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures as the networks read them: each replica changes its own by its own draws."""
    state = torch.get_rng_state()
    inputs, goals = [], []
    for replica, given, target in zip(learn, x, y, strict=True):
        if replica.generator.device.type == "cpu":
            torch.set_rng_state(replica.generator.get_state())
        read, goal = replica.task.fed(given, target)
        if replica.generator.device.type == "cpu":
            replica.generator.set_state(torch.get_rng_state())
        inputs.append(read)
        goals.append(goal)
    torch.set_rng_state(state)
    return torch.stack(inputs), torch.stack(goals)


def penalty(learn: list[Replica], stack: Stack) -> Tensor | float:
    """The replicas' l1 penalties, in one sum as their losses."""
    if not any(replica.task.l1 for replica in learn):
        return 0.0
    l1 = stack.weights.new_tensor([replica.task.l1 for replica in learn])
    return sum((l1 @ leaf.abs().flatten(1).sum(1) if leaf.dim() > 1 else l1 @ leaf.abs()) for leaf in stack.leaves.values())


def clip(learn: list[Replica], stack: Stack) -> None:
    """Scales each replica's gradient to its own largest norm, as ``torch.nn.utils.clip_grad_norm_`` does."""
    if any(replica.task.gradient_clip for replica in learn):
        most = stack.gradient.new_tensor([replica.task.gradient_clip or torch.inf for replica in learn])
        stack.gradient.mul_((most / (stack.gradient.norm(dim=1) + 1e-6)).clamp(max=1).unsqueeze(1))


@torch.no_grad()
def validate(learn: list[Replica], stack: Stack, data: InMemory) -> None:
    stack.train(False)
    for replica in learn:
        replica.task.eval()
    for x, y, *when in cast(Iterator[Batch], iter(data.batches("val"))):
        x, _ = learn[0].task.fed(x.to(learn[0].task.device))
        for replica, output in zip(learn, stack(x, shared=True), strict=True):
            task = replica.task
            task.keep("val", task.measured(output, task.target_of(x, y), *when))
    for replica in learn:
        replica.task.train()  # with what feeds it, which all runs on these data share


def record(replica: Replica, seconds: float, due: bool) -> None:
    """Ends an epoch of a replica's Trainer, as its own loop would: a row of metrics, early stopping, checkpoints.

    Args:
        replica: With the weights and the optimizer's state of this epoch.
        seconds: That the epoch took it.
        due: Whether to write the last checkpoint too, and not only for a replica that stops.
    """
    task, trainer = replica.task, cast(Any, replica.trainer)
    loop = trainer.fit_loop
    blocks, steps = len(replica.loader), ceil(len(replica.loader.split.y) / replica.loader.batch_size)
    loop.epoch_progress.increment_ready()
    loop.epoch_progress.increment_started()
    loop.epoch_loop.batch_progress.reset_on_run()
    loop.epoch_loop.batch_progress.increment_by(blocks, is_last_batch=True)
    loop.epoch_loop.val_loop.batch_progress.reset()
    loop.epoch_loop.val_loop.batch_progress.increment_by(len(trainer.datamodule.val_dataloader()), is_last_batch=True)
    loop.epoch_loop._batches_that_stepped += blocks
    loop.epoch_loop.manual_optimization.optim_step_progress.increment_by(steps)
    task.started = time.perf_counter() - seconds
    task.on_validation_epoch_end()
    for callback in trainer.callbacks:
        callback.on_validation_end(trainer, task)
    loop.epoch_progress.increment_processed()
    task.on_train_epoch_end()
    for callback in trainer.callbacks:  # checkpoints after early stopping
        if due or trainer.should_stop or not isinstance(callback, ModelCheckpoint) or callback.monitor:
            callback.on_train_epoch_end(trainer, task)
    loop.epoch_progress.increment_completed()


# the optimizer over all


def settings(replica: Replica) -> dict[str, Any]:
    """What a replica's optimizer and schedule have set: learning rate, momentum, weight decay."""
    return {key: value for key, value in replica.own.param_groups[0].items() if key != "params"}


def joined(learn: list[Replica], stack: Stack) -> torch.optim.Optimizer:
    """One optimizer over all rows, in groups of replicas that will always have the same settings."""
    for before, replica in pairwise(learn):
        plateau = isinstance(replica.task.lr_schedulers(), ReduceLROnPlateau)  # follows each replica's own metrics
        replica.group = before.group + (plateau or settings(before) != settings(replica))
    return optimizer_of(learn, stack)


def optimizer_of(learn: list[Replica], stack: Stack) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = []
    for number, members in groupby(range(len(learn)), key=lambda row: learn[row].group):
        rows = list(members)
        part = slice(rows[0], rows[-1] + 1)
        weights = nn.Parameter(stack.weights[part])  # shares their memory
        weights.grad = stack.gradient[part]
        groups.append(settings(learn[rows[0]]) | {"params": [weights], "group": number})
    return learn[0].task.make_optimizer(groups)


def state_of(optimizer: torch.optim.Optimizer, replica: Replica) -> dict[str, Any]:
    """The state of the rows of a replica's group: matrices like theirs, and what they share."""
    return next(optimizer.state[group["params"][0]] for group in optimizer.param_groups if group["group"] == replica.group)


def is_matrix(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() == 2


def shrunk(optimizer: torch.optim.Optimizer, learn: list[Replica], left: list[int], stack: Stack) -> torch.optim.Optimizer:
    """Leaves the other rows out of the stack; returns an optimizer that goes on with those that are left."""
    stack.keep(left)
    new = optimizer_of([learn[row] for row in left], stack)
    for group in new.param_groups:
        members = [row for row, replica in enumerate(learn) if replica.group == group["group"]]
        rows = [place for place, row in enumerate(members) if row in left]
        old = state_of(optimizer, learn[members[0]])
        new.state[group["params"][0]] = {key: value[rows] if is_matrix(value) else value for key, value in old.items()}
    return new


def hand_over(row: int, learn: list[Replica], stack: Stack, optimizer: torch.optim.Optimizer) -> None:
    """Gives a replica's own network and optimizer what the stack has made of them."""
    replica = learn[row]
    stack.copy_to(replica.task.network, row)
    place = sum(other.group == replica.group for other in learn[:row])
    state = state_of(optimizer, replica)
    matrices = {key: stack.cut(value[place]) for key, value in state.items() if is_matrix(value)}
    for name, weight in replica.task.network.named_parameters():
        if weight.requires_grad:
            replica.own.state[weight] = {
                key: matrices[key][name] if key in matrices else value.clone() if isinstance(value, Tensor) else value
                for key, value in state.items()
            }
