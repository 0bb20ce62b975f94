"""One run: prepare, fit, test, and leave everything in its folder."""

from __future__ import annotations

import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from lightning.pytorch import seed_everything
from omegaconf import DictConfig, OmegaConf

from src.config.compose import reference
from src.config.schema import trains
from src.data.datamodule import InMemory
from src.data.series.csv import Forecast
from src.errors import UserError, sentence
from src.reporting import run_figures
from src.runs import history
from src.runs import result as results
from src.runs.files import shown
from src.runs.folder import undo
from src.runs.settings import absolute
from src.sweeps import job
from src.sweeps.stacked import fit, plan
from src.tasks import rollout
from src.tasks.classification import Classification
from src.tasks.forecasting import Forecasting
from src.tasks.task import Task
from src.training import distributed, encoder, imagenet_labels, interrupt, loggers, summary, vectors
from src.training.build import build, data_set, load_weights, quiet, settle
from src.training.evaluation import measure
from src.training.fit import device, fit_baseline, fit_network


class Interrupted(Exception):  # noqa: N818  no error
    """Ctrl-C during the fit; what is done is on disk."""


def run(config: DictConfig) -> float:
    """Runs one experiment in Hydra's output folder.

    Returns:
        The best value of ``config.monitor``; NaN for a failed job of a sweep, which goes on.
    """
    if distributed.rank(config):
        return follow(config)
    hydra: Any = HydraConfig.get()
    folder, sweep = Path(hydra.runtime.output_dir), hydra.mode == RunMode.MULTIRUN
    choices = hydra.runtime.choices
    result = results.start(
        data=choices.data,
        model=choices.model,
        protocol=choices.protocol,
        honest=config.honest and config.data.get("validation") != "test" and config.data.get("scaling") != "all",
        seed=config.seed,
        split_seed=config.data.get("split_seed"),
        monitor=config.monitor,
        documented=documented(config, list(hydra.overrides.task)),
    )
    if sweep:
        if (best := job.done(folder, config, hydra)) is not None:
            return best
        if not config.resume:
            results.write(folder, result)  # so that a crash is known for what it is
    alone = ("progress",) if sweep else ("pruning",)  # a table takes the place of one, and the other looks at other jobs
    config.callbacks = {name: part for name, part in (config.callbacks or {}).items() if name not in alone}
    keep_paths(folder / ".hydra" / "config.yaml")
    try:
        with interrupt.listening(told=not sweep):
            experiment(config, folder, result, announced=not sweep)
    except Interrupted:
        results.write(folder, result)
        if not sweep:
            print(f"interrupted; go on with: python -m src.train resume={shown(folder)}")
            raise SystemExit(130) from None
    except (Exception, SystemExit) as error:
        wrong = error
        if isinstance(error, InstantiationException):  # what a class said of its arguments
            cause = error.__cause__ or error
            wrong = cause if isinstance(cause, UserError) else UserError(sentence(cause))
        if isinstance(wrong, UserError) and not sweep and result["seconds"]["fit"] is None:
            undo(folder)
            raise wrong from error
        result |= {"status": "failed", "error": sentence(wrong, named=not isinstance(wrong, UserError))}
        results.write(folder, result)
        logging.getLogger(__name__).exception("the run failed")
        if not sweep:
            raise
    finally:
        loggers.finish(config, folder, result)
    if not sweep:
        summary.show(result, folder)
    if result["status"] in ("failed", "diverged") and (not sweep or config.on_error == "stop"):
        raise SystemExit(1)
    return result["best"][config.monitor] if result["best"] else float("nan")


def keep_paths(stored: Path) -> None:
    """Makes the paths of a stored configuration absolute, so that the run can be rebuilt from any folder."""
    if stored.is_file():
        config: Any = OmegaConf.load(stored)
        absolute(config)
        OmegaConf.save(config, stored)


def documented(config: DictConfig, overrides: list[str]) -> dict[str, float] | None:
    """The source's figures for this pairing, unless the run predicts something else or sees only a part of it."""
    same = ("day_of_week", "scaling", "validation", "batch_size", "eval_batch_size")
    usual = reference("train", [text for text in overrides if not text.startswith("debug=")])
    keys = [text.lstrip("+~").partition("=")[0] for text in overrides]
    changed = [
        key
        for key in keys
        if key.startswith("data.")
        and key.removeprefix("data.") not in same
        and OmegaConf.select(config, key) != OmegaConf.select(usual, key)
    ]
    if not config.documented or changed or any(text.startswith("debug=") for text in overrides):
        return None
    return {name: value for name, value in config.documented.items() if value is not None} or None


def follow(config: DictConfig) -> float:
    """Learns beside the first process of a run over several devices, which does all else."""
    config.logger = None
    with tempfile.TemporaryDirectory() as scratch:
        distributed.follow(scratch)
        data, task, accelerator = prepare(config, Path(config.resume or scratch), {})
        if "train" in data.splits:
            fit_network(task, data, config, Path(scratch), accelerator)
    return float("nan")


def prepare(config: DictConfig, folder: Path, result: dict[str, Any]) -> tuple[InMemory, Task, str]:
    """Data, the task with fresh weights, and where it learns; ``result`` gets what is known of them."""
    quiet()
    settle(config)
    accelerator = "cpu"  # where scikit-learn computes
    if trains(config.model):
        accelerator = device(config.trainer.accelerator)
        distributed.enough(accelerator, config.trainer.devices)
    seed_everything(config.seed, workers=True, verbose=False)
    data = data_set(config)
    if "weights" in config and config.resume:
        config.weights = "none"  # the checkpoint has what became of them
    if "encoder" in config and not config.resume:  # a resumed run has its copy
        encoder.keep(Path(config.encoder), folder)
    task = build(config, data, folder)
    if config.vectors:  # a resumed run has them in its weights
        known = results.read(folder)["coverage"] if config.resume else None
        result["coverage"] = known or vectors.fill(task.network, data.spec.words, Path(config.vectors))
    result |= {"device": accelerator, "threads": torch.get_num_threads(), "fingerprint": data.fingerprint()}
    result["higher_is_better"] = task.higher_is_better
    return data, task, accelerator


def experiment(config: DictConfig, folder: Path, result: dict[str, Any], announced: bool) -> None:
    """Fills ``result`` and the folder; only when all else is there does ``result.json`` say how the run ended."""
    clock = time.perf_counter()
    data, task, accelerator = prepare(config, folder, result)
    network = trains(config.model)
    if network:
        result["parameters"] = summary.describe(task, data, folder)
    # until its end a run counts as interrupted, and a resumed one keeps what was known of it
    results.write(folder, (results.read(folder) if config.resume else result) | {"status": "interrupted"})
    if announced:
        summary.announce(result, data)

    begun = time.perf_counter()
    result["seconds"]["setup"] = begun - clock
    if "train" not in data.splits:  # pictures without classes: nothing to learn from
        imagenet_labels.name(task, data, folder, accelerator, announced)
        result["seconds"] |= {"test": time.perf_counter() - begun, "total": time.perf_counter() - clock}
        result["status"] = "finished"
        results.write(folder, result)
        return
    if network and plan.jobs:
        result["status"], seconds = fit.fit(task, data, config, folder, accelerator, result)
        late = seconds - (time.perf_counter() - begun)  # the run's share of a stack's seconds, whichever job has spent them
        begun, clock = begun - late, clock - late
    elif network:
        result["status"] = fit_network(task, data, config, folder, accelerator)
    else:
        result["status"] = fit_baseline(task, data, config, folder)
        result["parameters"] = summary.describe(task, data, folder)
    if task.pruned:
        result["pruned"] = True
    result["seconds"]["fit"] = time.perf_counter() - begun
    epochs = history.load(folder)
    result |= results.epochs(epochs, config.monitor, bool(results.higher_is_better(result, config.monitor)))
    if result["status"] == "interrupted":
        result["seconds"]["total"] = time.perf_counter() - clock
        raise Interrupted

    begun = time.perf_counter()
    if result["best"]:
        load_weights(task, folder / "checkpoints" / f"{config.test_weights}.ckpt")
        table, result["test"] = measure(task, data.batches("test"), accelerator, config.trainer.limit_test_batches)
        if isinstance(task, Forecasting) and isinstance(data, Forecast):
            widths = rollout.intervals(task, data)
            widths.to_csv(folder / "interval.csv")
            forecast, more = rollout.over_test(task, data, widths)
            forecast.to_csv(folder / "forecast.csv", float_format="%.7g")
            result["test"] |= more
            run_figures.draw_forecast(folder / "plots" / "forecast.png", forecast, data)
        table.to_csv(folder / "predictions.csv", float_format="%.7g")
        if isinstance(task, Classification):
            run_figures.per_class(table, task).to_csv(folder / "per_class.csv", float_format="%.7g")
        run_figures.draw(folder, epochs, table, result, task, data)
    result["seconds"]["test"] = time.perf_counter() - begun
    result["seconds"]["total"] = time.perf_counter() - clock
    results.write(folder, result)
