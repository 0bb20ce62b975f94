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

from src.data.datamodule import BLOCK, Batch, Batches, InMemory, epoch_seed
from src.networks import Grouped
from src.sweeps.stacked.stack import Stack, Unstackable
from src.tasks.task import Task
from src.training.build import build, instantiate
from src.training.fit import ended, make_trainer

# Writing every run's last checkpoint takes about as long as an epoch of a small stack, so it is done no more often.
SECONDS = 5.0


class Replica(NamedTuple):
    """One run of a stack."""

    task: Task
    trainer: Any  # the Trainer of its own, whose should_stop is True once the run has stopped
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
    module = StackedTask(leader, replicas)
    leader.fit(module, StackedBatches(module), data.val_dataloader())
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
        self.module, self.blocks = module, len(module.training_now[0].batches)

    def __len__(self) -> int:
        return self.blocks

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return zip(*(replica.batches for replica in self.module.training_now), strict=True)


class StackedTask(LightningModule):
    """All replicas of a stack, as a module of the leader.

    Args:
        leader: Trainer that will train this module.
        replicas: Runs of the stack.
    """

    def __init__(self, leader: Trainer, replicas: list[Replica]):
        super().__init__()
        self.automatic_optimization = False
        self.tasks = nn.ModuleList(replica.task for replica in replicas)  # so that their modes follow this module's
        self.joint = replicas[0].task.make_optimizer(self.tasks.parameters())
        self.written = time.perf_counter()
        for replica in replicas:
            self.prepare(replica, leader)
        self.training_now = replicas

    def prepare(self, replica: Replica, leader: Trainer) -> None:
        """Prepare a replica's own Trainer for what its callbacks and its task do with it."""
        task, trainer, _ = replica
        task.trainer, trainer.fit_loop, trainer.state = trainer, leader.fit_loop, leader.state
        trainer.strategy.connect(task)
        trainer.strategy.setup_optimizers(trainer)
        optimizer = trainer.optimizers[0]
        optimizer.step()  # without gradients it changes nothing, but schedules warn of an optimizer that never steps
        self.joint.state.update({weight: optimizer.state[weight] for weight in task.network.parameters()})
        task.network.register_state_dict_post_hook(copied)
        trainer.callbacks = [callback for callback in trainer.callbacks if not isinstance(callback, ProgressBar)]
        for callback in trainer.callbacks:
            callback.setup(trainer, task, "fit")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.joint

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch

    def on_train_epoch_start(self) -> None:
        """Stack the networks, and let the joint optimizer update all weights of equal settings at once."""
        self.begun = time.perf_counter()
        self.stack = Stack([replica.task.network for replica in self.training_now])  # Lightning dropped their gradients
        groups: dict[str, dict[str, Any]] = {}
        for replica, generator in zip(self.training_now, self.stack.generators, strict=True):
            generator.manual_seed(epoch_seed(replica.task.seed, self.current_epoch))
            own = replica.trainer.optimizers[0].param_groups[0]
            settings = own | {"params": [], "foreach": True}
            groups.setdefault(str(settings), settings)["params"] += own["params"]
        self.joint.param_groups[:] = groups.values()

    def training_step(self, blocks: tuple[list[Batch], ...], batch_idx: int) -> None:
        """Take one step of all replicas for each batch, as :meth:`Task.training_step` does for one."""
        optimizer: Any = self.optimizers()
        tasks, generators = [replica.task for replica in self.training_now], self.stack.generators
        for batches in zip(*blocks, strict=True):
            self.stack.zero_grad()
            fed = [fed_by(*each) for each in zip(tasks, generators, batches, strict=True)]
            outputs, losses = self.stack(torch.stack([x for x, _ in fed])), []
            for task, output, (x, goal), (given, y, *times) in zip(tasks, outputs, fed, batches, strict=True):
                loss = task.loss_of(output, task.target_of(x, goal), *times)
                if task.l1:
                    loss = loss + task.l1 * sum(weight.abs().sum() for weight in task.network.parameters())
                losses.append(loss)
                task.keep("train", task.measured(output.detach(), task.target_of(given, y), *times))
            torch.stack(losses).sum().backward()
            for task in tasks:
                if task.gradient_clip:
                    nn.utils.clip_grad_norm_(task.network.parameters(), task.gradient_clip)
            optimizer.step()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        for replica in self.training_now:
            replica.task.validation_step(batch, batch_idx)

    def on_train_epoch_end(self) -> None:
        """Record the epoch of each replica, and drop those that stop."""
        seconds = (time.perf_counter() - self.begun) / len(self.training_now)
        due = time.perf_counter() - self.written > SECONDS or self.current_epoch + 1 == self.trainer.max_epochs
        self.written = time.perf_counter() if due else self.written
        for task, trainer, _ in self.training_now:
            task.started = time.perf_counter() - seconds
            task.on_validation_epoch_end()
            for callback in trainer.callbacks:
                callback.on_validation_end(trainer, task)
            task.on_train_epoch_end()
            for callback in trainer.callbacks:  # checkpoints come after early stopping
                if due or trainer.should_stop or not isinstance(callback, ModelCheckpoint) or callback.monitor:
                    callback.on_train_epoch_end(trainer, task)
        self.training_now = [replica for replica in self.training_now if not replica.trainer.should_stop]
        self.trainer.should_stop = not self.training_now


def fed_by(task: Task, generator: torch.Generator, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return a batch as a network reads it; images are changed by the replica's own draws."""
    if task.feed is None:
        return batch[0], batch[1]
    torch.set_rng_state(generator.get_state())
    fed = task.fed(batch[0], batch[1])
    generator.set_state(torch.get_rng_state())
    return fed


def copied(network: nn.Module, state: dict[str, Tensor], prefix: str, _: Any) -> None:
    """Copy the weights of a checkpoint, whose file would otherwise hold the whole stack's."""
    state.update({name: value.clone() for name, value in state.items() if name.startswith(prefix)})
