"""Checks of a run before torch is imported."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.config.app import explain
from src.config.compose import reference
from src.config.overrides import key
from src.config.schema import check, ignored, trains
from src.errors import UserError
from src.runs import result as results
from src.runs import trust
from src.training import distributed, encoder, vectors, weights

# What loggers need besides Lightning; each is an extra of the same name.
NEEDED = {"src.training.loggers.TensorBoard": "tensorboard", "src.training.loggers.MLflow": "mlflow"}


def checked(
    config: DictConfig, config_name: str, overrides: list[str], several: bool, stored: Path | str | None = None
) -> DictConfig:
    """Return a run's configuration without Hydra's part.

    Args:
        config: Composed configuration, Hydra's part included.
        config_name: Name of its primary file in `conf/`.
        overrides: Overrides that it was composed from.
        several: True for one of several runs that are launched together.
        stored: Folder of the run or sweep that overrides come from, if they were not all typed.

    Raises:
        UserError: The run cannot work.
    """
    choices = config.hydra.runtime.choices
    config = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    if stored := config.resume or stored:
        trust.check(config, stored, config.trust)
    try:
        check(config, reference(config_name, overrides), choices.data, choices.model)
    except OmegaConfBaseException as error:
        raise UserError(explain(error, config_name, overrides)) from error
    if config.data.get("present"):
        get_method(config.data.present)(config.data)
    if not several and (idle := ignored(config, overrides)):
        raise UserError(f"{idle[0]}: means nothing to {choices.model}, a baseline without a training loop; leave it out")
    if config.data.input not in ("tokens", "bag") and (
        no := [text for text in overrides if f"{key(text)}.".startswith("model.embedding.")]
    ):
        raise UserError(f"{no[0]}: means nothing to data={choices.data}, which has no words; leave it out")
    if "encoder" in config and not config.resume:
        encoder.check(Path(config.encoder), config.data, config.trust)
    distributed.check(config, choices.model, trains(config.model), several)
    for name, part in (config.get("logger") or {}).items():
        if part and (package := NEEDED.get(part._target_)) and importlib.util.find_spec(package) is None:
            raise UserError(f"logger={name}: needs the package {package}; pip install -e '.[{package}]'")
    weights.check(config)
    if config.vectors and not config.resume:
        vectors.check(Path(config.vectors), config, choices.model)
    if config.resume:
        if several or not trains(config.model):
            raise UserError(f"resume={config.resume}: only a single run of a network can be resumed")
        check_unfinished(Path(config.resume), config)
    return config


def check_unfinished(run: Path, config: DictConfig) -> None:
    """Raises a UserError if a run to be resumed has nothing left to do, or would change the schedule that it follows."""
    result, planned, max_epochs = results.read(run), results.configuration(run, config.trust), config.trainer.max_epochs
    if result["status"] in ("stopped early", "diverged"):
        raise UserError(f"resume={run}: the run {result['status']}, so there is nothing to go on with; start a new one")
    if result["last"] and result["last"]["epoch"] + 1 >= max_epochs:
        done = result["last"]["epoch"] + 1
        raise UserError(f"resume={run}: the run has had its {done} epochs; ask for more with trainer.max_epochs={2 * done}")
    if distributed.count(config) != (before := distributed.count(planned)):
        raise UserError(f"resume={run}: learns on {before} devices from batches of all of them; leave their number as it is")
    if config.task.get("scheduler") != planned.task.get("scheduler"):
        raise UserError(
            f"resume={run}: the schedule of its learning rate is made for {planned.trainer.max_epochs} epochs, and another "
            f"length is another experiment; leave trainer.max_epochs out, or start a new run"
        )
