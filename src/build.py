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

from src import results
from src.baselines import Estimator
from src.cli import sentence
from src.data.memory import InMemory
from src.errors import UserError
from src.schema import trains
from src.tasks.task import Task

# Keys of conf/data and conf/model that describe (see src.schema) and are no argument of the class.
DESCRIPTIONS = {"input", "kinds", "clips", "present", "accepts", "tasks"}

_prepared: dict[str, InMemory] = {}


def quiet() -> None:
    """Silences what Lightning says for its own sake: banners, tips, its pytrees, and that a resumed run's folder exists."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*isinstance\\(treespec, LeafSpec\\).*", category=FutureWarning)
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")


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


def build(config: DictConfig, data: InMemory) -> Task:
    """The task around its network or baseline, with fresh weights drawn from ``config.seed``."""
    torch.manual_seed(config.seed)
    model = instantiate(config.model)
    try:
        network = model(spec=data.spec) if trains(config.model) else Estimator(model, data.spec)
        task = instantiate(config.task)(network=network, spec=data.spec, seed=config.seed)
        if trains(config.model):
            (optimizer,), _ = task.configure_optimizers()  # to hear now what its class says of its arguments
            if isinstance(optimizer, torch.optim.LBFGS):
                raise UserError("task.optimizer._target_=torch.optim.LBFGS: needs a closure; take any other of torch.optim")
    except (TypeError, ValueError) as error:
        raise UserError(f"model or task: {error}") from error
    return task


def load_weights(task: Task, checkpoint: Path) -> None:
    """Loads a checkpoint's weights, which cannot run code.

    Raises:
        UserError: The file is missing, damaged, or of another network.
    """
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
        task.load_state_dict(state)
    except FileNotFoundError:
        raise UserError(f"{checkpoint}: there is no such checkpoint; the run has not come that far") from None
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{checkpoint}: cannot be loaded; it is damaged, or of another network") from error


def load_run(folder: Path) -> tuple[DictConfig, InMemory, Task]:
    """Rebuilds configuration, data and tested weights of a run from its folder alone.

    Raises:
        UserError: The folder holds no complete run, or its data have changed since.
    """
    result = results.read(folder)
    path = folder / ".hydra" / "config.yaml"
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; without it a run cannot be rebuilt")
    try:
        config = OmegaConf.load(path)
    except Exception as error:
        raise UserError(f"{path}: cannot be read ({sentence(error)})") from error
    if not isinstance(config, DictConfig) or not {"data", "model", "task", "threads"} <= set(config):
        raise UserError(f"{path}: is not the configuration of a run")
    if config.threads:
        torch.set_num_threads(config.threads)  # the order of a sum, and so its last bit, depends on it
    data = data_set(config)
    if result["fingerprint"] not in (None, data.fingerprint()):
        raise UserError(f"run={folder}: its data have changed since, so its figures cannot be reproduced")
    task = build(config, data)
    load_weights(task, folder / "checkpoints" / f"{config.test_weights}.ckpt")
    return config, data, task.eval()
