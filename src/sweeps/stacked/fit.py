"""Replicas of a network - several seeds, learning rates, dropouts - trained as one stack by one Trainer of Lightning.

The Trainer runs the epochs. At the end of each, it shows itself to the replicas one after another, with the optimizer,
schedule, callbacks and loggers of each in the place of its own, so that rows of ``metrics.csv``, early stopping and
checkpoints are made by the same :class:`src.tasks.task.Task` and the same callbacks as in a run by itself.
"""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.types import LRSchedulerConfig
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.func import vmap

from src.data.datamodule import BLOCK, NUMBERS, Batch, Batches, InMemory, epoch_seed
from src.networks import Grouped
from src.sweeps.stacked.stack import Stack, Unstackable
from src.tasks.forecasting import Forecasting
from src.tasks.task import Task
from src.training.build import build
from src.training.fit import ended, make_trainer

# Writing every run's last checkpoint takes about as long as an epoch of a small stack, so it is done no more often.
SECONDS = 5.0


@dataclass
class Replica:
    """One run of a stack: what Lightning's Trainer would hold for it alone."""

    task: Task
    weights: nn.Parameter  # its row of the stack, whose memory it shares
    optimizer: torch.optim.Optimizer  # of these weights
    schedulers: list[LRSchedulerConfig]
    callbacks: list[Callback]
    loggers: list[Logger]
    batches: Batches
    generator: torch.Generator  # of its dropout and of the changes of its images
    stopped: bool = False


def train_stack(configs: Mapping[Path, DictConfig], data: InMemory, accelerator: str) -> dict[Path, str]:
    """Train runs that differ only in what a stack leaves free; return the status of each.

    Args:
        configs: Configuration of each run, by its folder.
        data: Prepared data, which all runs share.
        accelerator: Accelerator to train on.

    Raises:
        Unstackable: They cannot be computed as one; nothing has been trained.
    """
    if not isinstance(data.splits["train"].x, Tensor):
        raise Unstackable("texts come in batches of one length, which differ by seed, and bags of words are sparse")
    if accelerator != "cpu":
        raise Unstackable(f"stacks are tested with accelerator=cpu alone, not with {accelerator}")
    tasks = [build(config, data) for config in configs.values()]
    if isinstance(tasks[0].network, Grouped):
        raise Unstackable("parts of this network have learning rates of their own")
    stack = Stack([task.network for task in tasks])
    try_out(tasks, stack, data)
    print(f"{len(tasks)} runs are trained together", flush=True)
    trainers: list[Any] = []  # one of them trains; of all others the callbacks and loggers are needed
    for task, (folder, config) in zip(tasks, configs.items(), strict=True):
        config = config.copy()
        config.callbacks = {name: part for name, part in (config.callbacks or {}).items() if name != "progress"}
        trainers.append(make_trainer(task, config, folder, accelerator))
    trainer, replicas = trainers[0], []
    for row, (task, own) in enumerate(zip(tasks, trainers, strict=True)):
        its_data = copy.copy(data)
        task.trainer = its_data.trainer = trainer
        its_data.seed, its_data.block = task.seed, BLOCK
        weights = nn.Parameter(stack.weights[row])
        optimizer = task.make_optimizer([weights])
        optimizer.register_state_dict_post_hook(stack.by_weight)
        schedulers = [LRSchedulerConfig(task.make_scheduler(optimizer))] if task.make_scheduler else []
        parts = own.callbacks, own.loggers, its_data.train_dataloader(), torch.Generator()
        replicas.append(Replica(task, weights, optimizer, schedulers, *parts))
    trainer.callbacks, trainer.loggers = [], []
    module = StackedTask(replicas, stack, data)
    trainer.fit(module, train_dataloaders=StackedBatches(module), val_dataloaders=data.val_dataloader())
    return dict(zip(configs, module.statuses(), strict=True))


def try_out(tasks: list[Task], stack: Stack, data: InMemory) -> None:
    """Raise Unstackable if the stack does not compute what its networks compute."""
    x, _ = tasks[0].eval().fed(data.splits["train"].x[:2])
    fixed = {name: value.clone() for name, value in stack.fixed.items()}  # batch statistics, which training changes
    try:
        with torch.no_grad():
            stack.form.eval()
            together = stack(x, same=True)
            alone = torch.stack([task.network.eval()(x) for task in tasks])
            for task in tasks:
                task.train()
            stack.form.train()
            x = x.expand(len(tasks), *x.shape)
            stack(x, stack.draw(x, [torch.Generator() for _ in tasks]))
            stack.fixed = fixed
    except (RuntimeError, ValueError, IndexError) as error:
        raise Unstackable(f"this network cannot be stacked ({str(error).splitlines()[0][:200]})") from error
    if not torch.allclose(together, alone, rtol=1e-3, atol=1e-4):
        raise Unstackable("this network computes something else in a stack")


class StackedBatches:
    """Training batches of a stack, as many blocks as a run by itself has, each replica's rows in its own order."""

    def __init__(self, module: StackedTask):
        self.module = module

    def __len__(self) -> int:
        return len(self.module.replicas[0].batches)

    def __iter__(self) -> Iterator[Iterator[Batch]]:
        batches = self.module.replicas[0].batches
        rows = torch.stack([replica.batches.order() for replica in self.module.training_now])
        for some in rows.split(batches.batch_size * (batches.block or 1), 1):
            yield self.steps(some)

    def steps(self, rows: Tensor) -> Iterator[Batch]:
        """Yield batches (replicas, batch, …) of the given rows (replicas, rows), some of them gathered at a time."""
        train, size = self.module.data.splits["train"], self.module.data.batch_size
        parts = [part for part in (train.x, train.y, train.time) if part is not None]
        most = max(1, NUMBERS // (len(rows) * size * train.x[0].numel()))
        for some in rows.split(size * most, 1):
            yield from zip(*(part[some].split(size, 1) for part in parts), strict=True)


class StackedTask(LightningModule):
    """All replicas of a stack, as a module of Lightning's Trainer.

    Args:
        replicas: Runs of the stack, in the order of its rows.
        stack: Their networks.
        data: Data that they share.
    """

    def __init__(self, replicas: list[Replica], stack: Stack, data: InMemory):
        super().__init__()
        self.automatic_optimization = False
        self.replicas, self.training_now, self.stack, self.data = replicas, replicas, stack, data
        self.tasks = nn.ModuleList(replica.task for replica in replicas)  # so that their modes follow this module's
        self.outputs: list[Batch] = []
        self.written = time.perf_counter()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.replicas[0].optimizer

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch

    @contextlib.contextmanager
    def shown(self, replica: Replica) -> Iterator[Trainer]:
        """Show the Trainer to a replica, as if it trained that alone."""
        trainer = self.trainer
        self.show(replica.task, replica.optimizer, replica.schedulers, replica.callbacks, replica.loggers)
        try:
            yield trainer
        finally:
            self.show(self, self.training_now[0].optimizer, [], [], [])

    def show(
        self, module: LightningModule, optimizer: Any, schedulers: list[Any], callbacks: list[Any], loggers: list[Any]
    ) -> None:
        trainer: Any = self.trainer
        trainer.strategy.connect(module)
        trainer.optimizers, trainer.strategy.lr_scheduler_configs = [optimizer], schedulers
        trainer.callbacks, trainer.loggers = callbacks, loggers

    def on_fit_start(self) -> None:
        for replica in self.replicas:
            with self.shown(replica) as trainer:
                for callback in replica.callbacks:
                    callback.setup(trainer, replica.task, "fit")

    def on_train_epoch_start(self) -> None:
        self.begun = time.perf_counter()
        for replica in self.training_now:
            replica.generator.manual_seed(epoch_seed(replica.task.seed, self.current_epoch))
        for row, replica in enumerate(self.training_now):
            replica.weights.data, replica.weights.grad = self.stack.weights[row], self.stack.gradient[row]
        self.stack.form.train()

    def training_step(self, batches: Iterator[Batch], batch_idx: int) -> None:
        """Take one step of all replicas for each batch, as :meth:`Task.training_step` does for one."""
        first: Any = self.optimizers()
        stack, task = self.stack, self.training_now[0].task
        for x, y, *when in batches:
            target, goals = task.target_of(x, y), y
            if self.data.feed is not None:
                x, goals = self.fed(x, y)
            outputs = stack(x, stack.draw(x, [replica.generator for replica in self.training_now]))
            stack.backward(self.losses(outputs, x, goals, *when).sum())
            self.regularize()
            first.step()  # by Lightning, which counts the steps
            for replica in self.training_now[1:]:
                replica.optimizer.step()
            self.outputs.append((outputs.detach(), target, *when))

    def losses(self, outputs: Tensor, x: Tensor, goals: Tensor, *when: Tensor) -> Tensor:
        """Return the loss of each replica (replicas,)."""
        task = self.training_now[0].task

        def loss(output: Tensor, given: Tensor, goal: Tensor, *then: Tensor) -> Tensor:
            return task.loss_of(output, task.target_of(given, goal), *then)

        if isinstance(task, Forecasting):  # which looks for padding, and vmap shows it no values
            return torch.stack([loss(*parts) for parts in zip(outputs, x, goals, *when, strict=True)])
        return vmap(loss)(outputs, x, goals, *when)

    def fed(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return images as the networks read them: each replica changes its own by its own draws."""
        state, inputs, goals = torch.get_rng_state(), [], []
        for replica, image, goal in zip(self.training_now, x, y, strict=True):
            torch.set_rng_state(replica.generator.get_state())
            read, changed = replica.task.fed(image, goal)
            replica.generator.set_state(torch.get_rng_state())
            inputs.append(read)
            goals.append(changed)
        torch.set_rng_state(state)
        return torch.stack(inputs), torch.stack(goals)

    def regularize(self) -> None:
        """Add the l1 penalties to the gradient, and scale each replica's part to its own largest norm."""
        gradient, tasks = self.stack.gradient, [replica.task for replica in self.training_now]
        if any(task.l1 for task in tasks):
            gradient.addcmul_(gradient.new_tensor([[task.l1] for task in tasks]), self.stack.weights.sign())
        if any(task.gradient_clip for task in tasks):  # as torch.nn.utils.clip_grad_norm_
            most = gradient.new_tensor([task.gradient_clip or torch.inf for task in tasks])
            gradient.mul_((most / (gradient.norm(dim=1) + 1e-6)).clamp(max=1).unsqueeze(1))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        x, y, *when = batch
        self.stack.form.eval()
        x, _ = self.replicas[0].task.fed(x)
        for replica, output in zip(self.training_now, self.stack(x, same=True), strict=True):
            replica.task.keep("val", replica.task.measured(output, replica.task.target_of(x, y), *when))

    def on_train_epoch_end(self) -> None:
        """Record the epoch of each replica, and drop those that stop."""
        replicas, seconds = self.training_now, (time.perf_counter() - self.begun) / len(self.training_now)
        columns = [torch.cat(parts, 1) for parts in zip(*self.outputs, strict=True)]
        due = time.perf_counter() - self.written > SECONDS or self.current_epoch + 1 == self.trainer.max_epochs
        self.written = time.perf_counter() if due else self.written
        for row, replica in enumerate(replicas):
            replica.task.keep("train", replica.task.measured(*(column[row] for column in columns)))
            self.stack.copy_to(replica.task.network, row)
            with self.shown(replica) as trainer:
                self.record(replica, trainer, seconds, due)
        self.outputs.clear()
        rows = [row for row, replica in enumerate(replicas) if not replica.stopped]
        if rows and len(rows) < len(replicas):
            self.training_now = [replicas[row] for row in rows]
            self.stack.keep(rows)
            self.trainer.optimizers = [self.training_now[0].optimizer]
        self.trainer.should_stop = not rows

    def record(self, replica: Replica, trainer: Trainer, seconds: float, due: bool) -> None:
        """Write a replica's row of metrics and its checkpoints; the last one only if it is due, or the replica stops."""
        replica.task.started = time.perf_counter() - seconds
        replica.task.on_validation_epoch_end()
        for callback in replica.callbacks:
            callback.on_validation_end(trainer, replica.task)
        replica.task.on_train_epoch_end()
        for callback in replica.callbacks:  # checkpoints come after early stopping
            if due or trainer.should_stop or not isinstance(callback, ModelCheckpoint) or callback.monitor:
                callback.on_train_epoch_end(trainer, replica.task)
        replica.stopped, trainer.should_stop = trainer.should_stop, False

    def statuses(self) -> list[str]:
        """Return how each run ended."""
        found = []
        for replica in self.replicas:
            with self.shown(replica) as trainer:
                found.append(ended(replica.task, trainer, trainer.max_epochs or 0))
                for logger in replica.loggers:
                    logger.finalize("success")
        return found
