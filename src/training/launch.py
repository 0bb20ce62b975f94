"""A run from the command line: resumed, checked before torch is imported, given a folder, and run."""

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich import get_console

from src.config import keys
from src.config import overrides as command_line
from src.config.compose import explain, reference
from src.config.schema import check, ignored, trains
from src.errors import UserError, own_traceback, refuse, sentence
from src.runs import moved, trust
from src.runs import result as results
from src.runs.files import shown
from src.runs.folder import claim, keep, settle, undo
from src.tasks import options
from src.training import distributed, initial_weights
from src.training.interrupt import stop_after_epoch


def resumed(arguments: list[str]) -> list[str]:
    """Replace ``resume=DIR`` by the overrides of the run in DIR and those given beside it.

    Raises:
        UserError: There is no run to resume, or the arguments would make it another experiment.
    """
    if os.environ.get("LOCAL_RANK", "0") != "0":  # Lightning started this process with the first one's arguments
        return arguments
    given = command_line.given(arguments)
    folder = command_line.keyed(given).get("resume", "null")
    if folder == "null":
        return arguments
    stored = Path(folder) / ".hydra" / "overrides.yaml"
    if not folder or not stored.is_file() or not (Path(folder) / "checkpoints" / "last.ckpt").is_file():
        raise UserError(f"resume={folder}: no run with a checkpoint is there; give the folder that a run printed")
    try:
        old = {moved.current_override(str(text)): command_line.key(str(text)) for text in OmegaConf.load(stored)}
    except Exception as error:
        raise UserError(f"{stored}: cannot be read ({sentence(error)})") from error
    new = {text: command_line.key(text) for text in given}
    kept = [text for text, key in old.items() if key not in {*new.values(), "resume", "trust"}]
    trust.check_overrides(kept, stored, command_line.keyed(given).get("trust") == "true")
    resumable = [key for key, meaning in keys.KEYS.items() if meaning.resume and not key.startswith("trainer.")]
    for text, key in new.items():
        if text not in old and not keys.of(key).resume:
            raise UserError(f"{text}: a resumed run keeps its experiment; only trainer.*, {', '.join(resumable)} may change")
    beside = [text for text in arguments if new.get(text) != "resume"]
    return [*kept, *beside, command_line.written("resume", os.path.abspath(folder))]


def checked(
    config: DictConfig, config_name: str, overrides: list[str], several: bool, stored: Path | str | None = None
) -> DictConfig:
    """Return a run's configuration without Hydra's part.

    Args:
        config: Composed configuration, Hydra's part included.
        config_name: Name of its primary file in `conf/`.
        overrides: Overrides that it was composed from.
        several: True for one of several runs that are launched together.
        stored: Folder that overrides come from, if they were not all typed.

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
        no := [text for text in overrides if f"{command_line.key(text)}.".startswith("model.embedding.")]
    ):
        raise UserError(f"{no[0]}: means nothing to data={choices.data}, which has no words; leave it out")
    distributed.check(config, choices.model, trains(config.model), several)
    for name, part in (config.get("logger") or {}).items():
        if part and (package := part.get("needs")) and importlib.util.find_spec(package) is None:
            raise UserError(f"logger={name}: needs the package {package}; pip install -e '.[{package}]'")
    initial_weights.check(config, choices.model)
    if not stored:
        options.check(config, [] if several else overrides)
    if config.resume:
        if several or not trains(config.model):
            raise UserError(f"resume={config.resume}: only a single run of a network can be resumed")
        check_unfinished(Path(config.resume), config)
    return config


def check_unfinished(run: Path, config: DictConfig) -> None:
    """Raise a UserError if a run to be resumed has nothing left to do, or would change its learning-rate schedule."""
    result, planned, max_epochs = results.read(run), results.configuration(run, config.trust), config.trainer.max_epochs
    if result["status"] in ("stopped early", "diverged"):
        raise UserError(f"resume={run}: the run {result['status']}, so nothing is left to resume; start a new run")
    if result["last"] and result["last"]["epoch"] + 1 >= max_epochs:
        done = result["last"]["epoch"] + 1
        raise UserError(f"resume={run}: the run has had its {done} epochs; ask for more with trainer.max_epochs={2 * done}")
    if distributed.count(config) != (before := distributed.count(planned)):
        raise UserError(f"resume={run}: was trained on {before} devices; resume it on the same number")
    if config.task.get("scheduler") != planned.task.get("scheduler"):
        raise UserError(
            f"resume={run}: its learning-rate schedule is made for {planned.trainer.max_epochs} epochs; leave "
            f"trainer.max_epochs out, or start a new run"
        )


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
