"""A run from the command line: its folder before the run, and what is printed after it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich import get_console

from src.errors import UserError, own_traceback, refuse, sentence
from src.runs.files import shown
from src.runs.folder import claim, keep, settle, undo
from src.training import distributed
from src.training.interrupt import stop_after_epoch
from src.training.preflight import checked


class Launch(Callback):
    """Hydra's callback for one run of ``src.train`` (``conf/hydra/default.yaml``).

    Hydra turns an exception in a callback into a warning and continues, so the callback ends the process itself.
    """

    def on_run_start(self, config: DictConfig, config_name: str = "train", **_: Any) -> None:
        if distributed.rank(config):  # the first process checks the configuration and owns the folder
            config.hydra.run.dir, config.hydra.output_subdir = ".", None
            config.hydra.job_logging.root.handlers = []
            return
        try:
            experiment = checked(config, config_name, list(config.hydra.overrides.task), several=False)
            folder = keep(Path(experiment.resume)) if experiment.resume else claim(Path(config.hydra.run.dir))
        except Exception as error:
            refuse(sentence(error, named=not isinstance(error, UserError)))
        config.hydra.run.dir = str(folder)


def launch(config: DictConfig) -> float:
    """Run one experiment in Hydra's output folder, and print how it ended.

    Returns:
        The best value of ``config.monitor``; NaN where there is none.

    Raises:
        UserError: The run is refused before its training; its folder is as it was before.
        SystemExit: The run failed or diverged (status 1), or was interrupted (130).
    """
    with get_console().status("loading torch and Lightning"):  # only after the configuration is checked
        from src.reporting import summary
        from src.training import run

    if distributed.rank(config):
        run.follow(config)
        return float("nan")
    hydra: Any = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    config.callbacks = {name: part for name, part in (config.callbacks or {}).items() if name != "pruning"}
    result = run.new_result(config, hydra.runtime.choices, list(hydra.overrides.task))
    try:
        with stop_after_epoch():
            run.run(config, folder, result)
    except run.Interrupted:
        settle(folder)
        print(f"interrupted; resume it with: python -m src.train resume={shown(folder)}")
        raise SystemExit(130) from None
    except UserError:
        (settle if result["status"] == "failed" else undo)(folder)  # a run that is refused has recorded nothing
        raise
    except Exception as error:
        settle(folder)
        print(own_traceback(error), file=sys.stderr)
        print(f"run folder: {shown(folder)}; train.log there has the whole traceback", file=sys.stderr)
        raise SystemExit(1) from None
    settle(folder)
    summary.show(result, folder)
    if result["status"] in ("failed", "diverged"):
        raise SystemExit(1)
    return result["best"][config.monitor] if result["best"] else float("nan")
