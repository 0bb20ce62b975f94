"""Prepared data, a task, and its weights, from a configuration."""

import contextlib
import functools
import json
import logging
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import hydra
import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from src.baselines.estimator import Estimator
from src.config.compose import leaves, options, reference
from src.config.schema import check_values, trains
from src.data.datamodule import InMemory
from src.data.download import states
from src.errors import UserError, cause_of, sentence
from src.networks.inputs import inside, wrapped
from src.runs import moved
from src.runs import result as results
from src.runs.trust import check_objects
from src.tasks.task import Task

# Keys of the configuration that describe a part (see src.config.schema) and are no argument of its class.
DESCRIPTIONS = {"input", "kinds", "clips", "present", "accepts", "tasks", "replicas", "needs", "shards", "unlabelled"}


def quiet() -> None:
    """Silence messages of Lightning that need no action: banners, tips, its pytrees, an existing checkpoint folder."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*isinstance\\(treespec, LeafSpec\\).*", category=FutureWarning)
    warnings.filterwarnings("ignore", message="Found .* in eval mode at the start of training")  # a frozen encoder
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")


def settle(config: DictConfig) -> None:
    """Set what the last bits of every metric depend on: torch's threads, denormal numbers and choice of algorithms."""
    if config.threads:
        torch.set_num_threads(config.threads)
    # gradients that vanish over hundreds of steps become denormal numbers, with which a CPU computes far slower
    torch.set_flush_denormal(True)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else CUDA has no deterministic algorithms
    torch.use_deterministic_algorithms(bool(config.trainer.get("deterministic")))


@contextlib.contextmanager
def settled(config: DictConfig) -> Iterator[None]:
    """Reproduce the last bits of a run's metrics inside the context; torch is as it was before afterwards."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    flushes = bool((torch.full((1,), 1e-39) * 1.0 == 0).all())  # torch has no other way to tell
    settle(config)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(flushes)
        torch.use_deterministic_algorithms(deterministic)


def instantiate(part: DictConfig, **more: Any) -> Any:
    """Call Hydra's ``instantiate`` without the keys that only describe, and with plain lists and dictionaries."""
    arguments = cast(dict[str, Any], OmegaConf.to_container(part, resolve=True))
    chosen = {key: value for key, value in arguments.items() if key not in DESCRIPTIONS}
    return hydra.utils.instantiate(chosen, _convert_="all", **more)


def new_data_set(config: DictConfig) -> InMemory:
    """Read and prepare the data of a configuration."""
    data: InMemory = instantiate(config.data)
    data.setup()
    return data


def data_set(config: DictConfig) -> InMemory:
    """Return the prepared data of a configuration; consecutive runs of one process on the same data share them."""
    plain = cast(dict[str, Any], OmegaConf.to_container(config.data, resolve=True))
    return _data_set(json.dumps(plain, sort_keys=True), states(leaves(plain)))


@functools.lru_cache(maxsize=1)  # one data set in memory at a time
def _data_set(data: str, files: tuple[Any, ...]) -> InMemory:  # `files` only tells whether they have changed
    return new_data_set(OmegaConf.create({"data": json.loads(data)}))


def build(config: DictConfig, data: InMemory, folder: Path | None = None) -> Task:
    """Return the task around its network or baseline, with fresh weights drawn from ``config.seed``.

    Args:
        config: Configuration of the run.
        data: Prepared data.
        folder: Folder of the run, which has a copy of the encoder that the network begins with, if it does.

    Raises:
        UserError: The configuration does not fit the classes that it names, or the data.
    """
    more = {"encoder": trained_encoder(config, data, folder)} if folder and "encoder" in config else {}
    torch.manual_seed(config.seed)
    try:
        if config.model.get("season") == "auto":  # the data set has found it
            config = cast(DictConfig, OmegaConf.merge(config, {"model": {"season": getattr(data, "season", 1)}}))
        model = instantiate(config.model)
        trained = trains(config.model)
        network = wrapped(model(spec=inside(data.spec), **more), data.spec) if trained else Estimator(model, data.spec)
        task = instantiate(config.task)(network=network, spec=data.spec, seed=config.seed, feed=data.feed)
        if trained:
            (optimizer,), _ = task.configure_optimizers()  # its class refuses bad arguments now, and not after the start
            if isinstance(optimizer, torch.optim.LBFGS):
                raise UserError("task.optimizer._target_=torch.optim.LBFGS: needs a closure; take any other of torch.optim")
    except Exception as error:
        raise cause_of(error, "model or task") from error
    monitored = config.monitor.rpartition("/")[2]
    if monitored not in {"loss", *task.metrics}:
        raise UserError(
            f"monitor={config.monitor}: {monitored} is always 1 with {len(data.spec.classes)} classes; "
            f"monitor another metric"
        )
    if monitored not in task.higher_is_better:
        raise UserError(
            f"monitor={config.monitor}: {type(task.metrics[monitored]).__name__} does not say whether higher values are "
            f"better; monitor another metric, or set higher_is_better in the metric's class"
        )
    return task


def trained_encoder(config: DictConfig, data: InMemory, folder: Path) -> nn.Module:
    """Return the trained encoder that a network begins with, from the copy in the run's own folder.

    Raises:
        UserError: Its weights are damaged, or it was made for another shape of inputs.
    """
    its, prefix = results.configuration(folder / "encoder", config.trust), "network.encoder."
    check_objects(its, folder / "encoder", config.trust)
    checkpoint = folder / "encoder" / "checkpoints" / f"{its.test_weights}.ckpt"
    with loading(f"encoder={config.encoder}: its {checkpoint.name}"):
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
        weights = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        shapes = tuple(weights["shape"].tolist()), tuple(data.spec.shape)
        if shapes[0] != shapes[1]:
            raise UserError(f"encoder={config.encoder}: reads inputs of shape {shapes[0]}, and these data have {shapes[1]}")
        encoder = instantiate(its.model)(spec=data.spec).encoder
        encoder.load_state_dict(weights)
    return encoder


@contextlib.contextmanager
def loading(weights: str) -> Iterator[None]:
    """Raise a UserError for an error inside the context: these weights cannot be used."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{weights} cannot be loaded; it is damaged, or of another network") from error


def load_weights(task: Task, checkpoint: Path) -> int | None:
    """Load the weights of a checkpoint, as data only: no code in it is run. Return its epoch, which a baseline has not.

    Raises:
        UserError: The file is missing, damaged, or of another network.
    """
    if not checkpoint.is_file():
        raise UserError(f"{checkpoint}: there is no such checkpoint; the run was stopped before it")
    with loading(f"{checkpoint}:"):
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
        state = content["state_dict"]
        if (stored := state.get("network._extra_state")) is not None:  # a baseline, in skops' format
            renamed = moved.current_skops(stored.numpy().tobytes())
            state["network._extra_state"] = torch.frombuffer(bytearray(renamed), dtype=torch.uint8)
        task.load_state_dict(state)
        return cast(int | None, content.get("epoch"))


def opened(folder: Path, trust: bool = False) -> tuple[DictConfig, InMemory, Task]:
    """Load a run for the rest of this process, with torch set as it was in the run; see :func:`load_run`."""
    quiet()
    config, data, task = load_run(folder, trust)
    settle(config)
    return config, data, task


def load_run(folder: Path, trust: bool = False) -> tuple[DictConfig, InMemory, Task]:
    """Rebuild configuration, data and tested weights of a run from its folder alone.

    Two calls share nothing, and torch's threads are left as they are. To reproduce logged metrics to the last bit, measure
    inside :func:`settled`.

    Args:
        folder: Folder of the run.
        trust: Admit classes of other packages, and print them (see :mod:`src.runs.trust`).

    Raises:
        UserError: The folder holds no complete run, its configuration cannot be used, or its data have changed since.
    """
    result, file = results.read(folder), folder / ".hydra" / "config.yaml"
    config = results.configuration(folder, trust)
    check_objects(config, file, trust)
    choices = [f"{group}={result[group]}" for group in ("data", "model", "protocol") if result[group] in options(group)]
    try:
        check_values(config, reference("train", choices))
    except (UserError, OmegaConfBaseException) as error:
        raise UserError(f"{file}: {sentence(error)}") from error
    if result["status"] == "finished" and not result["best"]:
        raise UserError(f"run={folder}: has classified images and trained nothing; run python -m src.train for other images")
    if "weights" in config:
        config.weights = "none"  # the checkpoint has the weights
    with settled(config):
        try:
            data = new_data_set(config)
        except Exception as error:
            cause = cause_of(error, f"{file}: data")
            unknown = re.search(r"unexpected keyword argument '(\w+)'", str(cause))
            if unknown and unknown[1] in config.data:  # passed on by the class to the one that it extends
                raise UserError(f"{file}: data.{unknown[1]}: {config.data._target_} has no such argument") from error
            raise cause from error
        if result["fingerprint"] not in (None, data.fingerprint()):
            raise UserError(f"run={folder}: its data have changed since, so its metrics cannot be reproduced")
        task = build(config, data, folder)
        load_weights(task, folder / "checkpoints" / f"{config.test_weights}.ckpt")
    return config, data, task.eval()
