"""One run over several devices: each has a process that runs the same command on its part of every batch.

The first process owns the run's folder, prints, and tests; the others only train. Lightning starts them on one machine,
torchrun or SLURM on several. This module imports torch only inside functions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from src.errors import UserError

if TYPE_CHECKING:
    from lightning.pytorch.strategies import ModelParallelStrategy

STRATEGIES = ("ddp", "ddp_find_unused_parameters_true")


def count(config: DictConfig) -> int:
    """Return the number of processes of a run."""
    numbers = config.trainer.get("devices", 1), config.trainer.get("num_nodes", 1)
    return numbers[0] * numbers[1] if all(type(number) is int for number in numbers) else 1


def rank(config: DictConfig) -> int:
    """Return the number of this process among those of a run; 0 owns the folder."""
    if count(config) == 1:
        return 0
    return int(os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or os.environ.get("LOCAL_RANK") or 0)


def check(config: DictConfig, model: str, trains: bool, several: bool) -> None:
    """Raise a UserError if a run over several devices cannot work.

    Args:
        config: Configuration of the run.
        model: Name of the chosen model.
        trains: True for a network, False for a baseline.
        several: True for one of several runs that are launched together.
    """
    if "strategy" not in config.trainer and count(config) == 1:
        return
    devices, nodes = config.trainer.devices, config.trainer.get("num_nodes", 1)
    given = f"trainer.devices={devices}" if nodes == 1 else f"trainer.num_nodes={nodes}"
    if not trains:
        raise UserError(f"{given}: means nothing to {model}, a baseline without a training loop; leave trainer=... out")
    if "strategy" not in config.trainer:
        raise UserError(f"{given}: several devices share the work by trainer=ddp, or trainer=fsdp; add one of them")
    if several and count(config) > 1:
        raise UserError(f"{given}: runs that are launched together use one device each; start such runs one by one")
    strategy = config.trainer.strategy
    if isinstance(strategy, str) and strategy not in STRATEGIES:
        raise UserError(f"trainer.strategy={strategy}: must be {', '.join(STRATEGIES)}, or a class's _target_")
    if config.trainer.accelerator == "mps" and count(config) > 1:
        raise UserError(f"{given}: accelerator=mps is one device; take cpu or cuda")
    if config.trainer.get("shards"):
        for key, value in (("task.l1", config.task.l1), ("callbacks.ema", (config.get("callbacks") or {}).get("ema"))):
            if value:
                raise UserError(f"{key}: needs all weights on one device, and trainer=fsdp splits them; take trainer=ddp")
    if nodes > 1 and not started():
        raise UserError(f"{given}: start the command on each machine by torchrun, or on all of them by srun; see README")
    if count(config) > 1 and started() not in (0, count(config)):
        raise UserError(
            f"{given}: torchrun or SLURM has started {started()} processes for {count(config)} devices; make them equal"
        )


def started() -> int:
    """Return the number of processes that torchrun or SLURM has started for this run; 0 if neither has."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return int(os.environ["WORLD_SIZE"])
    interactive = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    return 0 if interactive else int(os.environ.get("SLURM_NTASKS", 0))


def sharded(devices: int, num_nodes: int) -> ModelParallelStrategy:
    """Return Lightning's strategy for FSDP2: each device keeps a part of every weight; checkpoints hold whole weights."""
    from lightning.pytorch.strategies import ModelParallelStrategy

    return ModelParallelStrategy(
        data_parallel_size=devices * num_nodes, tensor_parallel_size=1, save_distributed_checkpoint=False
    )


def shard(task: Any) -> None:
    """Split the weights of a task's network over the devices, once Lightning has set them up."""
    from torch.distributed.fsdp import fully_shard

    fully_shard(task.network, mesh=task.device_mesh["data_parallel"])


@contextmanager
def process_group(config: DictConfig) -> Iterator[None]:
    """Set up the environment of a fit over several devices, and restore it after the fit; close the communication."""
    if count(config) == 1:
        yield
        return
    import torch

    before = dict(os.environ)
    if config.threads:  # or Lightning would divide all cores among the processes
        os.environ["OMP_NUM_THREADS"] = str(config.threads)
    try:
        yield
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        os.environ.clear()
        os.environ.update(before)
