"""Replicas of a network - several seeds, learning rates, dropouts - trained as one stack.

One Trainer of Lightning, the leader, runs the epochs of the stack. Each replica has a Trainer of its own, which shares the
leader's loops: it holds the replica's optimizer, schedule, callbacks and loggers, so that rows of ``metrics.csv``, early
stopping and checkpoints are made by the same :class:`src.tasks.task.Task` and the same callbacks as in a run by itself.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.func import vmap

from src.data.datamodule import BLOCK, Batch, Batches, InMemory, epoch_seed
from src.networks import Grouped
from src.sweeps.stacked.stack import Stack, Unstackable
from src.tasks.forecasting import Forecasting
from src.tasks.task import Task
from src.training.build import build, instantiate
from src.training.fit import ended, make_trainer

# Writing every run's last checkpoint takes about as long as an epoch of a small stack, so it is done no more often.
SECONDS = 5.0


class Replica(NamedTuple):
    """One run of a stack."""

    task: Task
    trainer: Any  # the Trainer of its own, whose should_stop is True once it has stopped
    batches: Batches


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
    networks = [task.network for task in tasks]
    if isinstance(networks[0], Grouped):
        raise Unstackable("parts of this network have learning rates of their own")
    try_out(copy.deepcopy(networks), tasks[0].fed(data.splits["train"].x[:2])[0])
    print(f"{len(tasks)} runs are trained together", flush=True)
    plain = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    leader = instantiate(next(iter(configs.values())).trainer, accelerator=accelerator, **plain)
    replicas = []
    for task, (folder, config) in zip(tasks, configs.items(), strict=True):
        trainer, own_data = make_trainer(task, config, folder, accelerator), copy.copy(data)
        own_data.trainer, own_data.seed, own_data.block = trainer, task.seed, BLOCK
        replicas.append(Replica(task, trainer, own_data.train_dataloader()))
    leader.fit(StackedTask(leader, replicas, Stack(networks), data))
    for replica in replicas:
        for logger in replica.trainer.loggers:
            logger.finalize("success")
    return {
        folder: ended(replica.task, replica.trainer, leader.max_epochs)
        for folder, replica in zip(configs, replicas, strict=True)
    }


def try_out(networks: list[nn.Module], x: Tensor) -> None:
    """Raise Unstackable unless a stack of networks computes and drops what each does by itself; it changes them."""
    stack, alone = Stack(networks), []
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            together = stack(x.expand(len(networks), *x.shape))
            for network, generator in zip(networks, stack.generators, strict=True):
                torch.manual_seed(generator.initial_seed())
                alone.append(network(x))
    except (RuntimeError, ValueError, IndexError) as error:
        raise Unstackable(f"this network cannot be stacked ({str(error).splitlines()[0][:200]})") from error
    if not torch.allclose(together, torch.stack(alone), rtol=1e-3, atol=1e-4):
        raise Unstackable("this network computes something else in a stack")


class StackedBatches:
    """Training blocks of all replicas at once, as many as a run by itself has, each in the replica's own order."""

    def __init__(self, module: StackedTask):
        self.module = module

    def __len__(self) -> int:
        return len(self.module.replicas[0].batches)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return zip(*(replica.batches for replica in self.module.training_now), strict=True)


class StackedTask(LightningModule):
    """All replicas of a stack, as a module of Lightning's Trainer.

    Args:
        leader: Trainer that will train this module.
        replicas: Runs of the stack, in the order of its rows.
        stack: Their networks.
        data: Data that they share.
    """

    def __init__(self, leader: Trainer, replicas: list[Replica], stack: Stack, data: InMemory):
        super().__init__()
        self.automatic_optimization = False
        self.replicas, self.training_now, self.stack, self.data = replicas, replicas, stack, data
        self.modes = nn.ModuleList([stack.form, *(replica.task for replica in replicas)])  # follow this module's
        self.joint = replicas[0].task.make_optimizer(stack.rows)
        self.outputs: list[Batch] = []
        self.written = time.perf_counter()
        for replica, row in zip(replicas, stack.rows, strict=True):
            self.prepare(leader, replica, row)

    def prepare(self, leader: Trainer, replica: Replica, row: nn.Parameter) -> None:
        """Prepare a replica's own Trainer for what its callbacks and its task do with it."""
        task, trainer, _ = replica
        task.trainer = trainer
        trainer.fit_loop, trainer.state = leader.fit_loop, leader.state
        trainer.strategy.connect(task)
        trainer.strategy.setup_optimizers(trainer)
        optimizer = trainer.optimizers[0]  # holds settings, which its schedule changes; the joint one has its state
        optimizer.step()  # without gradients it does nothing, but schedules warn of an optimizer that never steps
        optimizer.register_state_dict_post_hook(
            lambda _, state: state | {"state": self.stack.by_weight(self.joint.state.get(row, {}))}
        )
        trainer.callbacks = [callback for callback in trainer.callbacks if not isinstance(callback, ProgressBar)]
        for callback in trainer.callbacks:
            callback.setup(trainer, task, "fit")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.joint

    def train_dataloader(self) -> StackedBatches:
        return StackedBatches(self)

    def val_dataloader(self) -> Batches:
        return self.data.val_dataloader()

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch

    def on_train_epoch_start(self) -> None:
        """Seed dropout, and let the joint optimizer update all rows of equal settings at once."""
        self.begun = time.perf_counter()
        groups: dict[str, dict[str, Any]] = {}
        for replica, generator, row in zip(self.training_now, self.stack.generators, self.stack.rows, strict=True):
            generator.manual_seed(epoch_seed(replica.task.seed, self.current_epoch))
            settings = replica.trainer.optimizers[0].param_groups[0] | {"params": [], "foreach": True}
            groups.setdefault(str(settings), settings)["params"].append(row)
        self.joint.param_groups[:] = groups.values()

    def training_step(self, blocks: tuple[list[Batch], ...], batch_idx: int) -> None:
        """Take one step of all replicas for each batch, as :meth:`Task.training_step` does for one."""
        optimizer: Any = self.optimizers()
        task = self.training_now[0].task
        for batches in zip(*blocks, strict=True):
            x, y, *times = map(torch.stack, zip(*batches, strict=True))
            target = task.target_of(x, y)
            x, goals = self.fed(x, y)
            outputs = self.stack(x)
            self.stack.backward(self.losses(outputs, x, goals, *times).sum())
            self.regularize()
            optimizer.step()
            self.outputs.append((outputs.detach(), target, *times))

    def losses(self, outputs: Tensor, x: Tensor, goals: Tensor, *times: Tensor) -> Tensor:
        """Return the loss of each replica (replicas,)."""
        task = self.training_now[0].task

        def loss(output: Tensor, given: Tensor, goal: Tensor, *then: Tensor) -> Tensor:
            return task.loss_of(output, task.target_of(given, goal), *then)

        if isinstance(task, Forecasting):  # which looks for padding, and vmap shows it no values
            return torch.stack([loss(*parts) for parts in zip(outputs, x, goals, *times, strict=True)])
        return vmap(loss)(outputs, x, goals, *times)

    def fed(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return images as the networks read them: each replica changes its own by its own draws."""
        if self.data.feed is None:
            return x, y
        fed = []
        with torch.random.fork_rng(devices=[]):
            for replica, generator, image, goal in zip(self.training_now, self.stack.generators, x, y, strict=True):
                torch.set_rng_state(generator.get_state())
                fed.append(replica.task.fed(image, goal))
                generator.set_state(torch.get_rng_state())
        inputs, goals = map(torch.stack, zip(*fed, strict=True))
        return inputs, goals

    def regularize(self) -> None:
        """Add the l1 penalties to the gradient, and scale each replica's part to its own largest norm."""
        gradient, tasks = self.stack.gradient, [replica.task for replica in self.training_now]
        if any(task.l1 for task in tasks):
            gradient.addcmul_(gradient.new_tensor([[task.l1] for task in tasks]), self.stack.weights.sign())
        if any(task.gradient_clip for task in tasks):  # as torch.nn.utils.clip_grad_norm_
            most = gradient.new_tensor([task.gradient_clip or torch.inf for task in tasks])
            gradient.mul_((most / (gradient.norm(dim=1) + 1e-6)).clamp(max=1).unsqueeze(1))

    def on_validation_start(self) -> None:
        self.stack.copy_to([replica.task.network for replica in self.training_now])

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        for replica in self.training_now:
            replica.task.validation_step(batch, batch_idx)

    def on_train_epoch_end(self) -> None:
        """Record the epoch of each replica, and drop those that stop."""
        replicas, seconds = self.training_now, (time.perf_counter() - self.begun) / len(self.training_now)
        columns = [torch.cat(parts, 1) for parts in zip(*self.outputs, strict=True)]
        due = time.perf_counter() - self.written > SECONDS or self.current_epoch + 1 == self.trainer.max_epochs
        self.written = time.perf_counter() if due else self.written
        for row, replica in enumerate(replicas):
            replica.task.keep("train", replica.task.measured(*(column[row] for column in columns)))
            self.record(replica, seconds, due)
        self.outputs.clear()
        rows = [row for row, replica in enumerate(replicas) if not replica.trainer.should_stop]
        if rows and len(rows) < len(replicas):
            self.training_now = [replicas[row] for row in rows]
            self.stack.keep(rows)
        self.trainer.should_stop = not rows

    def record(self, replica: Replica, seconds: float, due: bool) -> None:
        """Write a replica's row of metrics and its checkpoints; the last one only if it is due, or the replica stops."""
        task, trainer, _ = replica
        task.started = time.perf_counter() - seconds
        task.on_validation_epoch_end()
        for callback in trainer.callbacks:
            callback.on_validation_end(trainer, task)
        task.on_train_epoch_end()
        for callback in trainer.callbacks:  # checkpoints come after early stopping
            if due or trainer.should_stop or not isinstance(callback, ModelCheckpoint) or callback.monitor:
                callback.on_train_epoch_end(trainer, task)
