"""One job of a sweep: reuse what an earlier launch has left of it, resume that, or run it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from src.runs import result as results
from src.runs import settings
from src.sweeps import supervisor
from src.training import interrupt

STOPPED = ".stopped"  # file in the folder of a sweep: Ctrl-C has reached one of its workers
# Status and seconds of a training that is done, or the error that ended it.
Outcome = tuple[str, float] | Exception


class Decision(NamedTuple):
    """The decision on a job.

    Attributes:
        action: ``skip`` after Ctrl-C, ``reuse`` the result in ``earlier``, ``resume`` it, or ``run`` the job anew.
        earlier: Folder that an earlier launch of the sweep has left of the job, if any.
    """

    action: Literal["skip", "reuse", "resume", "run"]
    earlier: Path | None = None


def decide(folder: Path, config: DictConfig, hydra: Any) -> Decision:
    """Decide what to do with a job, from the folders of its sweep; nothing is changed.

    Args:
        folder: Folder of the job.
        config: Configuration of the job.
        hydra: Hydra's part of the configuration.
    """
    if interrupt.requested() or (folder.parent / STOPPED).exists():
        return Decision("skip")
    if results.number(folder) == hydra.job.num:  # the sweep is not resumed
        return Decision("run")
    others = sorted(path for path in folder.parent.iterdir() if path != folder and path.is_dir())
    choices = {name: hydra.runtime.choices[name] for name in ("data", "model", "protocol")}
    earlier = settings.find(others, config, list(hydra.overrides.task), **choices)
    if earlier is None:
        return Decision("run")
    status = results.read(earlier)["status"]
    if status in settings.DONE or earlier.resolve() in supervisor.crashed():
        return Decision("reuse", earlier)
    whole = status == "interrupted" and (earlier / "checkpoints" / "last.ckpt").is_file()
    return Decision("resume" if whole else "run", earlier)


def prepare(decision: Decision, folder: Path, config: DictConfig) -> None:
    """Prepare the folder of a job as decided; ``config.resume`` then names the run to resume."""
    if decision.action != "run":
        shutil.rmtree(folder)
    if decision.action == "resume" and decision.earlier:
        decision.earlier.rename(folder)
        config.resume = str(folder)
    if decision.action == "run" and decision.earlier:
        shutil.rmtree(decision.earlier)


def launch(config: DictConfig, outcomes: Mapping[Path, Outcome] | None = None) -> float:
    """Run one job of a sweep in Hydra's output folder, unless an earlier launch has finished it.

    Args:
        config: Configuration of the job.
        outcomes: Trainings that are done, by the folders of their jobs.

    Returns:
        The best value of ``config.monitor``; NaN where there is none, and for a failed job.
    """
    from src.training import run

    hydra: Any = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    outcome = (outcomes or {}).get(folder)
    if outcome is None:
        decision = decide(folder, config, hydra)
        prepare(decision, folder, config)
        if decision.action == "skip" and interrupt.requested():
            raise KeyboardInterrupt
        if decision.action == "skip":
            return float("nan")  # in a worker, which must not end
        if decision.action == "reuse" and decision.earlier:
            return best(results.read(decision.earlier), config)

    def trained(*_: Any) -> tuple[str, float]:
        if isinstance(outcome, Exception):
            raise outcome
        assert outcome is not None
        return outcome

    result = run.new_result(config, hydra.runtime.choices, list(hydra.overrides.task))
    if not config.resume:
        results.write(folder, result)  # so that a crash is recognised as this job's
    config.callbacks = {name: part for name, part in (config.callbacks or {}).items() if name != "progress"}
    try:
        with interrupt.stop_after_epoch(announce=False):
            run.run(config, folder, result, None if outcome is None else trained, announce=False)
    except run.Interrupted:
        (folder.parent / STOPPED).touch()
    except (Exception, SystemExit) as error:
        if result["status"] != "failed":
            run.record_failure(folder, result, error)
    if result["status"] in ("failed", "diverged") and config.on_error == "stop":
        raise SystemExit(1)
    return best(result, config)


def best(result: dict[str, Any], config: DictConfig) -> float:
    """Return the best value of the monitored metric in a result; NaN where there is none."""
    return result["best"][config.monitor] if result["best"] else float("nan")
