"""What happens around a run or a sweep of ``src.train``: checks before, folders that no other run has, a summary after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from src.errors import UserError, refuse, sentence
from src.runs.folder import claim, keep
from src.training import distributed
from src.training.preflight import checked


class Launch(Callback):
    """Hydra's callback for ``src.train`` (``conf/hydra/default.yaml``).

    Hydra turns an exception in a callback into a warning and goes on, so each ends the process itself.
    """

    def on_run_start(self, config: DictConfig, config_name: str = "train", **_: Any) -> None:
        if distributed.rank(config):  # the first process checks, and has the folder
            config.hydra.run.dir, config.hydra.output_subdir = ".", None
            config.hydra.job_logging.root.handlers = []
            return
        try:
            experiment = checked(config, config_name, list(config.hydra.overrides.task), sweep=False)
            folder = keep(Path(experiment.resume)) if experiment.resume else claim(Path(config.hydra.run.dir))
        except Exception as error:
            refuse(sentence(error, named=not isinstance(error, UserError)))
        config.hydra.run.dir = str(folder)
