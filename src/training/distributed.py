"""One run over several devices: each has a process, which runs the same command and takes its share of every batch.

The first process has the run's folder, prints, and tests. The others only learn: they are started here, on one machine, or
by torchrun or SLURM on several. Nothing here imports torch before a run does.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from src.errors import UserError

if TYPE_CHECKING:
    from lightning.pytorch.strategies import ModelParallelStrategy

PATIENCE = 10  # seconds in which the first process may notice by itself that another has died

_started: list[Others] = []  # by this process


def count(config: DictConfig) -> int:
    """Processes of a run."""
    numbers = config.trainer.get("devices", 1), config.trainer.get("num_nodes", 1)
    return numbers[0] * numbers[1] if all(type(number) is int for number in numbers) else 1


def rank(config: DictConfig) -> int:
    """This process's number among those of a run; 0 has the folder."""
    return int(os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or 0) if count(config) > 1 else 0


def check(config: DictConfig, model: str, trains: bool, sweep: bool) -> None:
    """Raises a UserError if a run over several devices cannot work."""
    if "strategy" not in config.trainer and count(config) == 1:
        return
    key, devices, nodes = "trainer.devices", config.trainer.devices, config.trainer.get("num_nodes", 1)
    given = f"{key}={devices}" if nodes == 1 else f"trainer.num_nodes={nodes}"
    if not trains:
        raise UserError(f"{given}: means nothing to {model}, a baseline without a training loop; leave trainer=... out")
    if "strategy" not in config.trainer:
        raise UserError(f"{given}: several devices share the work by trainer=ddp, or trainer=fsdp; add one of them")
    if sweep and count(config) > 1:
        raise UserError(f"{given}: the jobs of a sweep run on one device; start such runs one by one, without -m")
    strategy = config.trainer.strategy
    if isinstance(strategy, str) and strategy not in ("ddp", "ddp_find_unused_parameters_true"):
        raise UserError(f"trainer.strategy={strategy}: must be ddp, ddp_find_unused_parameters_true, or a class's _target_")
    if config.trainer.accelerator == "mps" and count(config) > 1:
        raise UserError(f"{given}: accelerator=mps is one device; take cpu or cuda")
    if shards(config):
        for key, value in (("task.l1", config.task.l1), ("callbacks.ema", (config.get("callbacks") or {}).get("ema"))):
            if value:
                raise UserError(f"{key}: needs all weights in one place, and trainer=fsdp parts them; take trainer=ddp")
    if nodes > 1 and not started():
        raise UserError(f"{given}: start the command on each machine by torchrun, or on all of them by srun; see README")
    if count(config) > 1 and started() not in (0, count(config)):
        raise UserError(
            f"{given}: torchrun or SLURM has started {started()} processes for {count(config)} devices; make them equal"
        )


def enough(accelerator: str, devices: int) -> None:
    """Raises a UserError if this machine has fewer devices than are asked for; of the CPU's processes there is no end."""
    import torch

    if accelerator == "cuda" and devices > (there := torch.cuda.device_count()):
        raise UserError(f"trainer.devices={devices}: this machine has {there}")


def sharded(devices: int, num_nodes: int) -> ModelParallelStrategy:
    """Lightning's strategy for FSDP2: each device keeps its part of every weight; checkpoints are as of one device."""
    from lightning.pytorch.strategies import ModelParallelStrategy

    return ModelParallelStrategy(
        data_parallel_size=devices * num_nodes, tensor_parallel_size=1, save_distributed_checkpoint=False
    )


def shards(config: DictConfig) -> bool:
    """Whether each device keeps only its part of the weights: trainer=fsdp."""
    strategy = config.trainer.get("strategy")
    return isinstance(strategy, DictConfig) and strategy.get("_target_") == "src.training.distributed.sharded"


def shard(task: Any) -> None:
    """Parts the weights of a task's network, once Lightning knows the devices."""
    from torch.distributed.fsdp import fully_shard

    fully_shard(task.network, mesh=task.device_mesh["data_parallel"])


@contextmanager
def others(config: DictConfig) -> Iterator[None]:
    """Has the other processes of a run beside this one, unless somebody else has started them."""
    if count(config) == 1 or launched():
        yield
        return
    before = dict(os.environ)
    each = Others(config.trainer.devices, list(HydraConfig.get().overrides.task), config.threads)
    _started.append(each)
    patience = 0
    try:
        yield
        patience = PATIENCE
    finally:
        _started.remove(each)
        each.end(patience)
        os.environ.clear()
        os.environ.update(before)


def launched() -> bool:
    """Whether torchrun, SLURM, or another process of Labbook has started this one."""
    return started() > 0 or "LOCAL_RANK" in os.environ


def started() -> int:
    """Processes that torchrun or SLURM has started for this run; 0 if neither has."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return int(os.environ["WORLD_SIZE"])
    interactive = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    return 0 if interactive else int(os.environ.get("SLURM_NTASKS", 0))


@contextmanager
def together() -> Iterator[None]:
    """Ends what a fit over several devices leaves: the communication, and an error that another process has caused."""
    import torch

    try:
        yield
    except Exception as error:
        time.sleep(1 if _started else 0)  # what another process's end has caused comes before its end is known
        if said := next((each.ended() for each in _started), ""):
            raise RuntimeError(said) from error
        raise
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


class Others:
    """The processes of all devices of this machine but the first; they end with this one, however that ends.

    Args:
        devices: Of this machine.
        overrides: The command line that all of them run.
        threads: Of each.
    """

    def __init__(self, devices: int, overrides: list[str], threads: int | None):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        # by these Lightning knows that the processes are there
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0"}
        os.environ |= {"LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": str(devices)}
        if threads:  # or Lightning would share out all cores
            os.environ["OMP_NUM_THREADS"] = str(threads)
        root = Path(__file__).resolve().parents[2]
        python_path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.logs = [tempfile.TemporaryFile() for _ in range(1, devices)]  # noqa: SIM115  as long as they run
        self.over = threading.Event()
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-m", "src.train", *overrides],
                env=os.environ | {"LOCAL_RANK": str(number), "RANK": str(number), "PYTHONPATH": python_path},
                stdin=subprocess.PIPE,  # by its end they know that this process is gone
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,  # Ctrl-C is the first process's, which then ends the others
            )
            for number, log in enumerate(self.logs, 1)
        ]
        self.watcher = threading.Thread(target=self.watch, daemon=True)
        self.watcher.start()

    def ended(self) -> str:
        """What to say of a process that has ended badly, if one has."""
        for number, (process, log) in enumerate(zip(self.processes, self.logs, strict=True), 1):
            if process.poll():
                log.seek(0)
                lines = log.read().decode(errors="replace").strip().splitlines() or [f"status {process.returncode}"]
                return f"the process of device {number} has ended: {lines[-1]}"
        return ""

    def watch(self) -> None:
        """Ends this process where it waits for ever for one that has died, as CUDA's communication does."""
        while not self.over.wait(1):
            if said := self.ended():
                break
        if not self.over.wait(PATIENCE):
            print(f"error: {said}; the run can be resumed", file=sys.stderr, flush=True)
            os._exit(1)  # the others notice

    def end(self, patience: float) -> None:
        """Waits for the processes, and ends those that take longer than ``patience`` seconds."""
        self.over.set()
        self.watcher.join()
        for process, log in zip(self.processes, self.logs, strict=True):
            for each in (patience, 2):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(each)
                assert process.stdin
                process.stdin.close()
            process.kill()
            process.wait()
            log.close()


def follow(scratch: str) -> None:
    """Makes a process that :class:`Others` has started end, with its folder, when the first one is gone."""

    def wait() -> None:
        sys.stdin.buffer.read()
        shutil.rmtree(scratch, ignore_errors=True)
        os._exit(1)

    if not started():
        threading.Thread(target=wait, daemon=True).start()
