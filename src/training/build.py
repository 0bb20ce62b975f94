"""From a configuration to prepared data, a task, and its weights."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import Any, cast

import hydra
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from src.baselines.estimator import Estimator
from src.config.schema import trains
from src.data.datamodule import InMemory
from src.errors import UserError
from src.runs import moved
from src.runs import result as results
from src.runs.trust import check_objects
from src.tasks.task import Task

# Keys of conf/data and conf/model that describe (see src.config.schema) and are no argument of the class.
DESCRIPTIONS = {"input", "kinds", "clips", "present", "accepts", "tasks", "replicas"}

_prepared: dict[str, InMemory] = {}


def quiet() -> None:
    """Silences what Lightning says for its own sake: banners, tips, its pytrees, and that a resumed run's folder exists."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*isinstance\\(treespec, LeafSpec\\).*", category=FutureWarning)
    warnings.filterwarnings("ignore", message="Found .* in eval mode at the start of training")  # a frozen encoder is
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")


def settle(config: DictConfig) -> None:
    """Sets what the last bits of every figure depend on: torch's threads, and how it treats the smallest numbers."""
    if config.threads:
        torch.set_num_threads(config.threads)
    # gradients that fade over hundreds of steps reach numbers below 1e-38, with which a CPU computes far longer
    torch.set_flush_denormal(True)


def instantiate(part: DictConfig, **more: Any) -> Any:
    """Hydra's ``instantiate`` without the keys that only describe, and with plain lists and dictionaries."""
    arguments = cast(dict[str, Any], OmegaConf.to_container(part, resolve=True))
    chosen = {key: value for key, value in arguments.items() if key not in DESCRIPTIONS}
    return hydra.utils.instantiate(chosen, _convert_="all", **more)


def data_set(config: DictConfig) -> InMemory:
    """The prepared data of a configuration; one process reads and prepares the same data once."""
    key = json.dumps(OmegaConf.to_container(config.data, resolve=True), sort_keys=True)
    if key not in _prepared:
        _prepared.clear()  # one data set in memory at a time
        data = instantiate(config.data)
        data.setup()
        _prepared[key] = data
    return _prepared[key]


def build(config: DictConfig, data: InMemory, folder: Path | None = None) -> Task:
    """The task around its network or baseline, with fresh weights drawn from ``config.seed``.

    Args:
        config: Of the run.
        data: Prepared.
        folder: Of the run, where there is a copy of the encoder that it goes on from, if it does.
    """
    more = {"encoder": trained_encoder(config, data, folder)} if folder and "encoder" in config else {}
    torch.manual_seed(config.seed)
    model = instantiate(config.model)
    try:
        network = model(spec=data.spec, **more) if trains(config.model) else Estimator(model, data.spec)
        task = instantiate(config.task)(network=network, spec=data.spec, seed=config.seed, feed=data.feed)
        if trains(config.model):
            (optimizer,), _ = task.configure_optimizers()  # to hear now what its class says of its arguments
            if isinstance(optimizer, torch.optim.LBFGS):
                raise UserError("task.optimizer._target_=torch.optim.LBFGS: needs a closure; take any other of torch.optim")
    except (TypeError, ValueError) as error:
        raise UserError(f"model or task: {error}") from error
    if (monitored := config.monitor.rpartition("/")[2]) not in {"loss", *task.metrics}:
        few = f"{len(data.spec.classes)} classes"
        raise UserError(f"monitor={config.monitor}: with {few} {monitored} tells nothing; monitor another metric")
    if monitored not in task.higher_is_better:
        raise UserError(
            f"monitor={config.monitor}: {type(task.metrics[monitored]).__name__} does not say whether higher values are "
            f"better; monitor another metric, or set higher_is_better in the metric's class"
        )
    return task


def trained_encoder(config: DictConfig, data: InMemory, folder: Path) -> nn.Module:
    """The encoder that a run goes on from, out of the copy in the run's own folder.

    Raises:
        UserError: Its weights are damaged, or it was made for another shape of inputs.
    """
    its, prefix = results.configuration(folder / "encoder", config.trust), "network.encoder."
    check_objects(its, folder / "encoder", config.trust)
    checkpoint = folder / "encoder" / "checkpoints" / f"{its.test_weights}.ckpt"
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
        weights = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        shapes = tuple(weights["shape"].tolist()), tuple(data.spec.shape)
        if shapes[0] != shapes[1]:
            raise UserError(f"encoder={config.encoder}: reads inputs of shape {shapes[0]}, and these data have {shapes[1]}")
        encoder = instantiate(its.model)(spec=data.spec).encoder
        encoder.load_state_dict(weights)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"encoder={config.encoder}: its {checkpoint.name} cannot be loaded; it is damaged, or of another network"
        ) from error
    return encoder


def load_weights(task: Task, checkpoint: Path) -> None:
    """Loads a checkpoint's weights, which cannot run code.

    Raises:
        UserError: The file is missing, damaged, or of another network.
    """
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
        if (stored := state.get("network._extra_state")) is not None:  # a baseline, in skops' format
            renamed = moved.current_skops(stored.numpy().tobytes())
            state["network._extra_state"] = torch.frombuffer(bytearray(renamed), dtype=torch.uint8)
        task.load_state_dict(state)
    except FileNotFoundError:
        raise UserError(f"{checkpoint}: there is no such checkpoint; the run has not come that far") from None
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{checkpoint}: cannot be loaded; it is damaged, or of another network") from error


def load_run(folder: Path, trust: bool = False) -> tuple[DictConfig, InMemory, Task]:
    """Rebuilds configuration, data and tested weights of a run from its folder alone.

    Args:
        folder: Folder of the run.
        trust: Admit classes of other packages, and print them (see :mod:`src.runs.trust`).

    Raises:
        UserError: The folder holds no complete run, or its data have changed since.
    """
    result = results.read(folder)
    config = results.configuration(folder, trust)
    check_objects(config, folder, trust)
    if result["status"] == "finished" and not result["best"]:
        raise UserError(f"run={folder}: has named pictures and learnt nothing; start python -m src.train anew for others")
    if "weights" in config:
        config.weights = "none"  # the checkpoint has what became of them
    settle(config)
    data = data_set(config)
    if result["fingerprint"] not in (None, data.fingerprint()):
        raise UserError(f"run={folder}: its data have changed since, so its figures cannot be reproduced")
    task = build(config, data, folder)
    load_weights(task, folder / "checkpoints" / f"{config.test_weights}.ckpt")
    return config, data, task.eval()
