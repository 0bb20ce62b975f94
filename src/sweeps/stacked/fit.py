"""Replicas of a network - several seeds, learning rates, dropouts - that learn in step as one stack.

Lightning's Trainer knows one network, one early stopping and one best checkpoint, so the loop over batches is written here.
But every replica has a Trainer of its own, which never fits: it keeps the replica's record. Metrics, rows of
``metrics.csv``, early stopping, schedules and checkpoints come from the same :class:`src.tasks.task.Task` and the same
callbacks as in a run by itself, and what is left in the folder is what that run would leave.
"""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Any, cast

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, read_write
from torch import Tensor

from src.config.compose import CONF
from src.data.datamodule import BLOCK, InMemory
from src.networks import Grouped
from src.runs import result as results
from src.sweeps.stacked import plan
from src.sweeps.stacked.epoch import Replica, hand_over, joined, learn_epoch, record, shrunk, validate
from src.sweeps.stacked.stack import Stack, Unstackable
from src.tasks.task import Task
from src.training import interrupt
from src.training.build import build
from src.training.fit import ended, fit_network, make_trainer

# Optimizers of torch that treat every number by itself, so that a matrix of all replicas' weights is to them as each alone.
ELEMENTWISE = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "ASGD", "Rprop"]
# What of the trainer says nothing of how a stack learns.
APART = {"max_epochs", "accelerator", "devices", "limit_test_batches"}
CALLBACKS = {"EarlyStopping", "Checkpoint", "Progress"}

# Writing every run's last checkpoint takes about as long as an epoch of a small stack, so that is done no more often.
SECONDS = 5.0

# What ended all runs of a stack, until their jobs come to ask.
_broken: dict[Path, Exception] = {}
_alone: set[Path] = set()  # the jobs of stacks that cannot be


def fit(
    task: Task, data: InMemory, config: DictConfig, folder: Path, accelerator: str, result: dict[str, Any]
) -> tuple[str, float]:
    """Trains the run in ``folder`` with all others of its stack, unless that has been done, or alone where it must be.

    Args:
        task: Of this run.
        data: Prepared.
        config: Of this run.
        folder: Of this run.
        accelerator: Where to train.
        result: What is known of the run until now; the others' ``result.json`` begin with it.

    Returns:
        The run's status, and its share of the seconds.
    """
    begun = time.perf_counter()
    if folder in plan.fitted:
        return plan.fitted.pop(folder)
    if folder in _broken:
        raise _broken.pop(folder)
    number = HydraConfig.get().job.num
    folders = places(plan.stack(number))
    if len(folders) < 2 or folder in _alone:
        return fit_network(task, data, config, folder, accelerator), time.perf_counter() - begun
    try:
        if len(set(folders.values())) < len(folders):
            raise Unstackable("hydra.sweep.subdir gives several runs one folder")
        if why := hindrance(task, data, config, accelerator):
            raise Unstackable(why)
        configs = {where: beside(number, other, where, folder, result) for other, where in folders.items()}
        learn = [prepared(its, where, data, accelerator) for where, its in configs.items()]
        statuses = together(learn, data, config)
    except Unstackable as error:
        print(f"model.replicas: {error}; the {len(folders)} runs follow one after another", flush=True)
        _alone.update(folders.values())
        return fit_network(task, data, config, folder, accelerator), time.perf_counter() - begun
    except Exception as error:
        _broken.update({place: error for place in folders.values() if place != folder})
        raise
    share = (time.perf_counter() - begun) / len(learn)
    plan.fitted.update({place: (status, share) for place, status in statuses.items()})
    return plan.fitted.pop(folder)


def hindrance(task: Task, data: InMemory, config: DictConfig, accelerator: str) -> str | None:
    """Why the runs of this configuration cannot learn in step; None if nothing is known against it."""
    usual = OmegaConf.load(CONF / "trainer" / "default.yaml")
    for key, value in config.trainer.items():
        if key not in APART and (key not in usual or value != usual[key]):
            return f"trainer.{key} is for Lightning's own loop"
    for name, callback in (config.get("callbacks") or {}).items():
        if callback and callback._target_.rpartition(".")[2] not in CALLBACKS:
            return f"callbacks.{name} is for Lightning's own loop"
    optimizer = config.task.optimizer._target_.rpartition(".")[2]
    if optimizer not in ELEMENTWISE or isinstance(task.network, Grouped):
        return f"{optimizer} here treats some weights unlike others"
    if not isinstance(data.splits["train"].x, Tensor):
        return "texts come in batches of one length, of which every seed has its own, and bags of words are sparse"
    return None if accelerator == "cpu" else f"stacks have been tried with accelerator=cpu alone, not with {accelerator}"


def places(numbers: list[int]) -> dict[int, Path]:
    """The folders of a sweep's jobs."""
    config: Any = copy.deepcopy(HydraConfig.instance().cfg)
    found = {}
    with read_write(config.hydra):
        for number in numbers:
            config.hydra.job.num = number
            found[number] = Path(config.hydra.sweep.dir, config.hydra.sweep.subdir).absolute()
    return found


def beside(number: int, other: int, folder: Path, first: Path, result: dict[str, Any]) -> DictConfig:
    """The configuration of job ``other``, made from that of job ``number`` in ``first``; what resuming it needs is left."""
    config = cast(DictConfig, OmegaConf.load(first / ".hydra" / "config.yaml"))
    if other == number:
        return config
    new = [text for text in plan.jobs[other] if text not in plan.jobs[number]]
    for override in OverridesParser.create().parse_overrides(new):
        OmegaConf.update(config, override.key_or_group, override.value(), force_add=True)
    (folder / ".hydra").mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, folder / ".hydra" / "config.yaml")
    OmegaConf.save(plan.jobs[other], folder / ".hydra" / "overrides.yaml")
    results.write(folder, result | {"seed": config.seed, "status": "interrupted"})
    return config


def prepared(config: DictConfig, folder: Path, data: InMemory, accelerator: str) -> Replica:
    """A run with fresh weights, and a Trainer that will keep its record in ``folder``."""
    task, own, idle = build(config, data), copy.copy(data), copy.deepcopy(config)
    own.seed, own.block = config.seed, BLOCK
    idle.trainer.max_epochs = 0  # sets up everything, and takes no step
    idle.callbacks = {name: part for name, part in config.callbacks.items() if name != "progress"}
    trainer = make_trainer(task, idle, folder, accelerator)
    trainer.fit(task, datamodule=own)
    task.to(accelerator)
    trainer.optimizers[0].step()  # without gradients it does nothing, and schedulers ask for it
    return Replica(folder, task, trainer, own.train_dataloader(), torch.Generator(accelerator))


def together(learn: list[Replica], data: InMemory, config: DictConfig) -> dict[Path, str]:
    """Trains runs that differ in nothing but what a stack may differ in; returns how each ended.

    Raises:
        Unstackable: Their networks cannot be computed as one; nothing has been trained.
    """
    stack = Stack([replica.task.network for replica in learn])
    try_out(learn, stack, data)
    print(f"{len(learn)} runs learn together", flush=True)
    return train(learn, stack, data, config)


def try_out(learn: list[Replica], stack: Stack, data: InMemory) -> None:
    """Raises Unstackable if the stack does not give what its networks give."""
    x, _ = learn[0].task.eval().fed(data.splits["train"].x[:2])
    x = x.to(learn[0].task.device)
    fixed = {name: value.clone() for name, value in stack.fixed.items()}  # means of batches, which training changes
    try:
        with torch.no_grad():
            stack.train(False)
            together = stack(x, shared=True)
            alone = torch.stack([replica.task.network.eval()(x) for replica in learn])
            for replica in learn:
                replica.task.train()
                replica.generator.manual_seed(0)
            stack.train()
            x = x.expand(len(learn), *x.shape)
            stack(x, stack.draw(x, [replica.generator for replica in learn]))
            stack.fixed = fixed
    except (RuntimeError, ValueError, IndexError) as error:
        raise Unstackable(f"this network cannot be stacked ({str(error).splitlines()[0][:200]})") from error
    if not torch.allclose(together, alone, rtol=1e-3, atol=1e-4):
        raise Unstackable("this network gives something else in a stack")


def train(learn: list[Replica], stack: Stack, data: InMemory, config: DictConfig) -> dict[Path, str]:
    """Trains until every replica has stopped by itself, or Ctrl-C stops all after an epoch; returns how each ended."""
    runs, epochs = learn, config.trainer.max_epochs
    optimizer, written = joined(learn, stack), time.perf_counter()
    for epoch in range(epochs):
        begun = time.perf_counter()
        learn_epoch(learn, stack, optimizer, data)
        validate(learn, stack, data)
        seconds = (time.perf_counter() - begun) / len(learn)
        due = interrupt.requested() or time.perf_counter() - written > SECONDS or epoch + 1 == epochs
        written = time.perf_counter() if due else written
        for row, replica in enumerate(learn):
            hand_over(row, learn, stack, optimizer)
            record(replica, seconds, due)
        left = [row for row, replica in enumerate(learn) if not replica.trainer.should_stop]
        if not left:
            break
        if len(left) < len(learn):
            optimizer = shrunk(optimizer, learn, left, stack)
            learn = [learn[row] for row in left]
    return {replica.folder: ended(replica.task, replica.trainer, epochs) for replica in runs}
