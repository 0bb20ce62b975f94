"""One run: prepare, fit, test, and record everything in its folder."""

import logging
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import seed_everything
from omegaconf import DictConfig, OmegaConf

from src.config import keys
from src.config.compose import leaves, reference
from src.config.overrides import key as key_of
from src.config.schema import trains
from src.data.datamodule import InMemory
from src.errors import UserError, cause_of, sentence
from src.reporting import run_figures, summary
from src.runs import history
from src.runs import result as results
from src.runs.settings import absolute
from src.runs.trust import check_objects
from src.tasks.task import Task
from src.training import initial_weights, loggers
from src.training.build import build, data_set, load_weights, quiet, settle
from src.training.fit import device, fit_baseline, fit_network

# Trains a task on data by epochs: (task, data, config, folder, accelerator) -> the run's status, and the seconds of the fit.
Fit = Callable[[Task, InMemory, DictConfig, Path, str], tuple[str, float]]


class Interrupted(Exception):  # noqa: N818  no error
    """Ctrl-C during the fit; the finished epochs are on disk."""


def new_result(config: DictConfig, choices: Any, overrides: list[str]) -> dict[str, Any]:
    """Return the ``result.json`` of a run that has not begun.

    Args:
        config: Configuration of the run.
        choices: Names of the chosen ``data``, ``model`` and ``protocol``.
        overrides: Overrides that the configuration was composed from.
    """
    return results.start(
        **{name: choices[name] for name in ("data", "model", "protocol")},
        honest=config.honest and config.data.get("validation") != "test" and config.data.get("scaling") != "all",
        seed=config.seed,
        split_seed=config.data.get("split_seed"),
        fold=config.data.get("fold"),
        monitor=config.monitor,
        documented=documented(config, overrides),
    )


def run(config: DictConfig, folder: Path, result: dict[str, Any], fit: Fit | None = None, announce: bool = True) -> None:
    """Run one experiment in ``folder``, and fill ``result`` and the folder.

    Args:
        config: Configuration of the run.
        folder: Folder of the run; it exists.
        result: From :func:`new_result`.
        fit: Trains the network; None trains it alone, by Lightning's Trainer. A baseline has none.
        announce: Print what runs before it is trained.

    Raises:
        Interrupted: Ctrl-C ended the fit; the run can be resumed.
        UserError: The run is refused before its training; nothing is recorded, and the caller decides on the folder.
        Exception: Any other error; ``result.json`` and ``train.log`` have recorded it.
    """
    keep_paths(folder / ".hydra" / "config.yaml")
    try:
        experiment(config, folder, result, fit or alone, announce)
    except Interrupted:
        results.write(folder, result)
        raise
    except (Exception, SystemExit) as error:
        wrong = cause_of(error, "data, trainer or callbacks") if isinstance(error, Exception) else error
        if isinstance(wrong, UserError) and result["seconds"]["fit"] is None:
            raise wrong from error
        record_failure(folder, result, wrong)
        raise
    finally:
        loggers.finish(config, folder, result)


def record_failure(folder: Path, result: dict[str, Any], error: BaseException) -> None:
    """Record an error in ``result.json``, and its traceback in ``train.log``; call it while the error is handled."""
    result |= {"status": "failed", "error": sentence(error, named=not isinstance(error, UserError))}
    results.write(folder, result)
    logging.getLogger(__name__).exception("the run failed")


def alone(task: Task, data: InMemory, config: DictConfig, folder: Path, accelerator: str) -> tuple[str, float]:
    """Train one network by Lightning's Trainer, or fit one baseline."""
    begun = time.perf_counter()
    fitted = fit_network if trains(config.model) else fit_baseline
    return fitted(task, data, config, folder, accelerator), time.perf_counter() - begun


def keep_paths(stored: Path) -> None:
    """Make the paths of a stored configuration absolute, so that the run can be rebuilt from any folder."""
    if stored.is_file():
        config: Any = OmegaConf.load(stored)
        absolute(config)
        OmegaConf.save(config, stored)


def documented(config: DictConfig, overrides: list[str]) -> dict[str, float] | None:
    """Return the source's figures for this pairing; None if the run is another experiment than the documented one.

    What differs from the pairing's own configuration may only be the seed, what changes no figure, and what the figures
    themselves depend on (as those of nyse on ``data.day_of_week``).
    """
    if not config.documented:
        return None
    usual = reference("train", [text for text in overrides if key_of(text) in ("data", "model", "protocol")])
    own, plain = (leaves(OmegaConf.to_container(one)) for one in (config, usual))
    resolved, expected = (leaves(OmegaConf.to_container(one, resolve=True)) for one in (config, usual))
    free = {"seed", *re.findall(r"\$\{([\w.]+)\}", str(OmegaConf.to_container(config.documented)))}
    for key in own.keys() | plain.keys():
        same = own.get(key) == plain.get(key) or resolved.get(key) == expected.get(key)
        idle = keys.of(key).loop and not trains(config.model)  # no baseline reads it
        if not same and not idle and key not in free and keys.of(key).changes in ("repeat", "experiment"):
            return None
    return {name: value for name, value in config.documented.items() if value is not None} or None


def follow(config: DictConfig) -> None:
    """Train in one of the other processes of a run over several devices; the first process does everything else."""
    config.logger = None
    with tempfile.TemporaryDirectory() as scratch:
        data, task, accelerator = prepare(config, Path(config.resume or scratch), {})
        if "train" in data.splits:
            fit_network(task, data, config, Path(scratch), accelerator)


def prepare(config: DictConfig, folder: Path, result: dict[str, Any]) -> tuple[InMemory, Task, str]:
    """Return the data, the task with fresh weights, and the accelerator; describe them in ``result``."""
    quiet()
    if config.resume:
        check_objects(config, config.resume, config.trust)
    settle(config)
    accelerator = "cpu"  # where scikit-learn computes
    if trains(config.model):
        accelerator = device(config.trainer.accelerator, config.trainer.devices)
        if accelerator == "cpu" and config.trainer.precision == "16-mixed":
            raise UserError("trainer.precision=16-mixed: a CPU has no such products; use bf16-mixed, or accelerator=cuda")
    seed_everything(config.seed, workers=True, verbose=False)
    data = data_set(config)
    if "weights" in config and config.resume:
        config.weights = "none"  # the checkpoint has the weights
    initial_weights.copy_encoder(config, folder)
    task = build(config, data, folder)
    if (coverage := initial_weights.apply(config, task.network, data.spec.words, folder)) is not None:
        result["coverage"] = coverage
    result |= {"device": accelerator, "threads": torch.get_num_threads(), "fingerprint": data.fingerprint()}
    result |= task.recorded() | {"rows": {name: len(split.rows) for name, split in data.splits.items()}}
    return data, task, accelerator


def experiment(config: DictConfig, folder: Path, result: dict[str, Any], fit: Fit, announce: bool) -> None:
    """Fill ``result`` and the folder; ``result.json`` says how the run ended only after everything else is there."""
    clock = time.perf_counter()
    data, task, accelerator = prepare(config, folder, result)
    network = trains(config.model)
    if network:
        result["parameters"] = summary.describe(task, data, folder)
    # until its end a run counts as interrupted, and a resumed one keeps what its result.json already says
    results.write(folder, (results.read(folder) if config.resume else result) | {"status": "interrupted"})
    if announce:
        summary.announce(result, data)
    result["seconds"]["setup"] = time.perf_counter() - clock
    if "train" in data.splits:
        result["status"], result["seconds"]["fit"] = fit(task, data, config, folder, accelerator)
        if not network:
            result["parameters"] = summary.describe(task, data, folder)
        result |= {"pruned": True} if task.pruned else {}
        higher = bool(results.higher_is_better(result, config.monitor))
        result |= results.epochs(history.load(folder), config.monitor, higher)
        total(result)
        if result["status"] == "interrupted":
            raise Interrupted
    begun = time.perf_counter()
    if "train" not in data.splits:  # images without classes: nothing to train on
        from src.reporting.images import labels  # only for images

        labels.label(task, data, folder, accelerator, announce)
        result["status"] = "finished"
    elif result["best"]:
        test(config, folder, result, data, task, accelerator)
    result["seconds"]["test"] = time.perf_counter() - begun
    total(result)
    results.write(folder, result)


def total(result: dict[str, Any]) -> None:
    """Set the run's total seconds to the sum of its parts."""
    parts = (result["seconds"][name] for name in ("setup", "fit", "test"))
    result["seconds"]["total"] = sum(part or 0.0 for part in parts)


def test(config: DictConfig, folder: Path, result: dict[str, Any], data: InMemory, task: Task, accelerator: str) -> None:
    """Measure the chosen weights on the test split; write predictions, tables and plots."""
    epoch = load_weights(task, folder / "checkpoints" / f"{config.test_weights}.ckpt")
    if config.test_weights == "best" and epoch is not None:  # what is tested is the best epoch, whatever has saved it
        result |= results.epochs(history.load(folder), config.monitor, False, epoch)
    table, result["test"] = task.evaluate(data.batches("test"), accelerator, config.trainer.limit_test_batches)
    metrics, tables = task.after_test(data, table)
    result["test"] |= metrics
    result |= task.recorded()
    for name, content in ({"predictions": table} | tables).items():
        content.to_csv(folder / f"{name}.csv")
    run_figures.draw(folder, history.load(folder), {"predictions": table} | tables, result, task, data)
