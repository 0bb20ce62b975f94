"""What happens around a run or a sweep of ``src.train``: checks before, folders that no other run has, a summary after."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from src import devices, encoder, multirun, replicas, results, search, vectors, weights
from src.cli import compose, explain, jobs, reference, refuse, sentence
from src.errors import UserError
from src.schema import check, ignored, trains

# A resumed run keeps its experiment; only how long and on what it goes on may change.
RESUMABLE = ("resume=", "trainer.", "accelerator=", "threads=", "callbacks.progress=")

# What loggers need besides Lightning; each is an extra of the same name.
NEEDED = {"src.logger.TensorBoard": "tensorboard", "src.logger.MLflow": "mlflow"}

# What this process may undo: folders that it made (with the new ones around each), and the small files of runs that it goes
# on with, as they were.
_made: dict[Path, list[Path]] = {}
_before: dict[Path, dict[Path, bytes]] = {}


class Launch(Callback):
    """Hydra's callback for ``src.train`` (``conf/hydra/default.yaml``).

    Hydra turns an exception in a callback into a warning and goes on, so each ends the process itself.
    """

    def on_run_start(self, config: DictConfig, config_name: str = "train", **_: Any) -> None:
        if devices.rank(config):  # the first process checks, and has the folder
            config.hydra.run.dir, config.hydra.output_subdir = ".", None
            config.hydra.job_logging.root.handlers = []
            return
        try:
            experiment = checked(config, config_name, list(config.hydra.overrides.task), sweep=False)
            folder = keep(Path(experiment.resume)) if experiment.resume else claim(Path(config.hydra.run.dir))
        except Exception as error:
            refuse(sentence(error, named=not isinstance(error, UserError)))
        config.hydra.run.dir = str(folder)

    def on_multirun_start(self, config: DictConfig, config_name: str = "train", **_: Any) -> None:
        try:
            notes: set[str] = set()
            params = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
            given = [*params, *config.hydra.overrides.task]
            if search.searches(config):
                replicas.plan([], config.hydra)
                total, each = search.planned(config, given)
                multirun.confirmed(total, bool(config.sweep.confirm))
            else:
                search.listed(given)
                total = multirun.count(given)
                multirun.confirmed(total, bool(config.sweep.confirm))
                sweep = jobs(given)
                replicas.plan(sweep, config.hydra)
                each = differing(sweep)
            multirun.check_launcher(config)
            multirun.check_folder(config)
            for overrides in each:
                try:
                    experiment = checked(composed(config_name, overrides), config_name, overrides, sweep=True)
                except UserError as error:
                    raise UserError(f"job {' '.join(overrides)}: {error}") from error
                notes |= set(ignored(experiment, overrides))
            if search.searches(config) and config.hydra.sweeper.sampler:
                search.check_sampler(config)
            folder = Path(config.hydra.sweep.dir)
            folder = folder if multirun.goes_on(config) else claim(folder)
            multirun.begin(folder, total)
        except Exception as error:
            refuse(sentence(error, named=not isinstance(error, UserError | HydraException)))
        for note in sorted(notes):
            print(f"{note}: ignored by the baselines of this sweep, which have no training loop")
        config.hydra.sweep.dir = str(folder)
        with open_dict(config):
            # the jobs compose their configuration anew, from these overrides
            config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{folder.absolute()}'")


def differing(sweep: list[list[str]]) -> list[list[str]]:
    """The jobs of a sweep less those that differ from an earlier one by a good seed alone, which needs no check."""
    kept: dict[tuple[str, ...], list[str]] = {}
    for overrides in sweep:
        good = re.compile(r"seed=\d{1,9}")
        kept.setdefault(tuple(text for text in overrides if not good.fullmatch(text)), overrides)
    return list(kept.values())


def composed(config_name: str, overrides: list[str]) -> DictConfig:
    """Composes one job of a sweep; what Hydra says against it becomes a UserError."""
    try:
        return compose(config_name, overrides, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, config_name, overrides)) from error


def checked(config: DictConfig, config_name: str, overrides: list[str], sweep: bool) -> DictConfig:
    """Returns a job's configuration without Hydra's, or raises a UserError if it cannot work."""
    choices = config.hydra.runtime.choices
    config = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    try:
        check(config, reference(config_name, overrides), choices.data, choices.model)
    except OmegaConfBaseException as error:
        raise UserError(explain(error, config_name, overrides)) from error
    replicas.check(config, choices.model)
    if config.data.get("present"):
        get_method(config.data.present)(config.data)
    if not sweep and (idle := ignored(config, overrides)):
        raise UserError(f"{idle[0]}: means nothing to {choices.model}, a baseline without a training loop; leave it out")
    if config.data.input not in ("tokens", "bag") and (
        no := [key for key in overrides if key.startswith(("model.embedding.", "model.embedding="))]
    ):
        raise UserError(f"{no[0]}: means nothing to data={choices.data}, which has no words; leave it out")
    if "encoder" in config and not config.resume:
        encoder.check(Path(config.encoder), config.data)
    devices.check(config, choices.model, trains(config.model), sweep)
    for name, part in (config.get("logger") or {}).items():
        if part and (package := NEEDED.get(part._target_)) and importlib.util.find_spec(package) is None:
            raise UserError(f"logger={name}: needs the package {package}; pip install -e '.[{package}]'")
    weights.check(config)
    if config.vectors and not config.resume:
        vectors.check(Path(config.vectors), config, choices.model)
    if config.resume:
        if sweep or not trains(config.model):
            raise UserError(f"resume={config.resume}: only a single run of a network can be resumed")
        check_unfinished(Path(config.resume), config)
    return config


def check_unfinished(run: Path, config: DictConfig) -> None:
    """Raises a UserError if a run to be resumed has nothing left to do, or would change the schedule that it follows."""
    result, planned, max_epochs = results.read(run), results.configuration(run), config.trainer.max_epochs
    if result["status"] in ("stopped early", "diverged"):
        raise UserError(f"resume={run}: the run {result['status']}, so there is nothing to go on with; start a new one")
    if result["last"] and result["last"]["epoch"] + 1 >= max_epochs:
        done = result["last"]["epoch"] + 1
        raise UserError(f"resume={run}: the run has had its {done} epochs; ask for more with trainer.max_epochs={2 * done}")
    if devices.count(config) != (before := devices.count(planned)):
        raise UserError(f"resume={run}: learns on {before} devices from batches of all of them; leave their number as it is")
    if config.task.get("scheduler") != planned.task.get("scheduler"):
        raise UserError(
            f"resume={run}: the schedule of its learning rate is made for {planned.trainer.max_epochs} epochs, and another "
            f"length is another experiment; leave trainer.max_epochs out, or start a new run"
        )


def claim(folder: Path) -> Path:
    """Makes ``folder``, or the first free ``folder_2, folder_3, …``, so that two runs in one second never share one."""
    if folder.resolve() in {Path.cwd(), *Path.cwd().parents}:
        raise UserError(f"hydra.run.dir={folder}: a run needs a folder of its own; name one that does not exist yet")
    for number in range(1, 10_000):
        free = folder if number == 1 else folder.with_name(f"{folder.name}_{number}")
        try:
            around = [parent for parent in free.resolve().parents if not parent.exists()]
            free.mkdir(parents=True)
            _made[free.resolve()] = around
            return free
        except FileExistsError:
            continue
        except OSError as error:
            raise UserError(f"{free}: cannot make this folder for the run ({error.strerror})") from error
    raise UserError(f"{folder}: ten thousand runs of this name exist; remove some, or set hydra.run.dir")


def keep(folder: Path) -> Path:
    """Remembers the files of a run that is about to go on, for ``undo``; returns ``folder``."""
    files = [*(folder / ".hydra").glob("*.yaml"), *(folder / name for name in ("result.json", "metrics.csv", "model.txt"))]
    _before[folder.resolve()] = {path: path.read_bytes() for path in files if path.is_file()}
    return folder


def undo(folder: Path) -> None:
    """Takes back what a refused run left: the folder made for it, or what was rewritten in the run it went on with."""
    if folder.resolve() in _before:
        for path, content in _before[folder.resolve()].items():
            path.write_bytes(content)
    elif folder.resolve() in _made:
        shutil.rmtree(folder)
        with contextlib.suppress(OSError):  # another process has put its runs there
            for parent in _made[folder.resolve()]:
                parent.rmdir()


def resumed(arguments: list[str]) -> list[str]:
    """Replaces ``resume=DIR`` by the overrides of the run in DIR and what is given beside it.

    Raises:
        UserError: There is no run to go on with, or the arguments would make it another experiment.
    """
    given = [text for text in arguments if not text.startswith("-")]
    resume = next((text for text in reversed(given) if text.lstrip("+").startswith("resume=")), "resume=null")
    folder = resume.partition("=")[2].strip("'\"")
    if folder == "null":
        return arguments
    stored = Path(folder) / ".hydra" / "overrides.yaml"
    if not folder or not stored.is_file() or not (Path(folder) / "checkpoints" / "last.ckpt").is_file():
        raise UserError(f"resume={folder}: no run with a checkpoint is there; give the folder that a run printed")
    try:
        old = [str(text) for text in OmegaConf.load(stored)]
    except Exception as error:
        raise UserError(f"{stored}: cannot be read ({sentence(error)})") from error
    for text in given:
        if text not in old and not text.lstrip("+~").startswith(RESUMABLE):
            raise UserError(
                f"{text}: a resumed run stays the experiment it was; only {', '.join(RESUMABLE[1:])} may be given"
            )
    new = {text.lstrip("+~").partition("=")[0] for text in given}
    kept = [text for text in old if text.lstrip("+~").partition("=")[0] not in {*new, "resume"}]
    return [*kept, *(text for text in arguments if text != resume), f"resume='{os.path.abspath(folder)}'"]
