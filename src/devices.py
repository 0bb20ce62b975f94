"""One run over several devices: each has a process, which runs the same command and takes its share of every batch.

The first process has the run's folder, prints, and tests. The others only learn: they are started here, on one machine, or
by torchrun or SLURM on several. Nothing here imports torch before a run does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from src.errors import UserError

if TYPE_CHECKING:
    from lightning.pytorch.strategies import ModelParallelStrategy

PATIENCE = 10  # seconds in which the first process may notice by itself that another has died


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
        raise UserError(
            f"{given}: the jobs of a sweep run in one process on one device; start such runs one by one, without -m"
        )
    strategy = config.trainer.strategy
    if isinstance(strategy, str) and strategy not in ("auto", "ddp", "ddp_find_unused_parameters_true"):
        raise UserError(
            f"trainer.strategy={strategy}: must be ddp, ddp_find_unused_parameters_true, or a class of Lightning's"
        )
    if config.trainer.accelerator == "mps" and count(config) > 1:
        raise UserError(f"{given}: accelerator=mps is one device; take cpu or cuda")
    if not isinstance(strategy, str) and strategy._target_ == "src.devices.sharded":
        for key, value in (("task.l1", config.task.l1), ("callbacks.ema", (config.get("callbacks") or {}).get("ema"))):
            if value:
                raise UserError(f"{key}: needs all weights in one place, and trainer=fsdp parts them; take trainer=ddp")
    started = int(os.environ.get("WORLD_SIZE") or os.environ.get("SLURM_NTASKS") or 1)
    if nodes > 1 and started == 1:
        raise UserError(f"{given}: start the command on each machine by torchrun, or on all of them by srun; see README")
    if "TORCHELASTIC_RUN_ID" in os.environ and started != count(config):
        raise UserError(f"{given}: torchrun has started {started} processes for {count(config)} devices; make them equal")


def enough(accelerator: str, devices: int) -> None:
    """Raises a UserError if this machine has fewer devices than are asked for; of the CPU's processes there is no end."""
    import torch

    if accelerator == "cuda" and devices > (there := torch.cuda.device_count()):
        raise UserError(f"trainer.devices={devices}: this machine has {there}")


def sharded(devices: int, num_nodes: int) -> ModelParallelStrategy:
    """Lightning's strategy for FSDP2: each device keeps its part of every weight; checkpoints are whole, as of one device."""
    from lightning.pytorch.strategies import ModelParallelStrategy

    return ModelParallelStrategy(
        data_parallel_size=devices * num_nodes, tensor_parallel_size=1, save_distributed_checkpoint=False
    )


@contextmanager
def others(config: DictConfig, overrides: list[str]) -> Iterator[None]:
    """Has the other processes of a run beside this one while it fits, unless somebody else has started them."""
    if count(config) == 1:
        yield
        return
    import torch

    before = dict(os.environ)
    if config.threads:
        os.environ["OMP_NUM_THREADS"] = str(config.threads)  # or Lightning would set it, from the number of cores
    started = Others(config.trainer.devices, overrides) if not launched() else None
    try:
        yield
        if started:
            started.wait()
    except Exception as error:
        if started and (said := started.ended()):
            raise RuntimeError(said) from error
        raise
    finally:
        if started:
            started.kill()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        os.environ.clear()
        os.environ.update(before)


def launched() -> bool:
    """Whether torchrun, SLURM, or another process of Labbook has started this one."""
    from lightning.pytorch.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

    return TorchElasticEnvironment.detect() or SLURMEnvironment.detect() or "LOCAL_RANK" in os.environ


class Others:
    """The processes of all devices of this machine but the first; they end with this one, however that ends.

    Args:
        devices: Of this machine.
        overrides: The command line that all of them run.
    """

    def __init__(self, devices: int, overrides: list[str]):
        from lightning.fabric.plugins.environments.lightning import find_free_network_port

        # by these Lightning knows that the processes are there
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(find_free_network_port()), "NODE_RANK": "0"}
        os.environ |= {"LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": str(devices)}
        root = Path(__file__).resolve().parent.parent
        python_path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.logs = [tempfile.TemporaryFile() for _ in range(1, devices)]
        self.over = False
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
        threading.Thread(target=self.watch, daemon=True).start()

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
        while not self.over and not self.ended():
            time.sleep(1)
        deadline = time.monotonic() + PATIENCE
        while not self.over and time.monotonic() < deadline:
            time.sleep(0.1)
        if not self.over:
            print(f"error: {self.ended()}; the run can be resumed", file=sys.stderr, flush=True)
            self.kill()
            os._exit(1)

    def wait(self) -> None:
        for process in self.processes:
            process.wait()

    def kill(self) -> None:
        self.over = True
        for process in self.processes:
            process.kill()
            process.wait()
            assert process.stdin
            process.stdin.close()
        for log in self.logs:
            log.close()


def follow() -> None:
    """Makes a process that :class:`Others` has started end when the first one is gone."""
    if "TORCHELASTIC_RUN_ID" in os.environ or "SLURM_PROCID" in os.environ:
        return

    def wait() -> None:
        sys.stdin.buffer.read()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def gathered(parts: list[Any]) -> list[Any]:
    """Tuples of tensors (n, …) of all processes, on the CPU, in the order of the processes; some may have none."""
    import torch

    own = tuple(torch.cat(column).cpu() for column in zip(*parts, strict=True)) if parts else None
    found: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(found, own)
    return [part for part in found if part is not None]
