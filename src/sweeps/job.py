"""One job of a sweep: reuse, resume or run."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from src.runs import result as results
from src.runs import settings
from src.sweeps.launch import _launched, crashed
from src.sweeps.stacked import fit as stacked
from src.sweeps.stacked import plan
from src.training import interrupt, run


def launch(config: DictConfig) -> float:
    """Run one job of a sweep in Hydra's output folder, unless an earlier launch has finished it.

    Returns:
        The best value of ``config.monitor``; NaN where there is none, and for a failed job.
    """
    hydra: Any = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    if (best := done(folder, config, hydra)) is not None:
        return best
    result = run.new_result(config, hydra.runtime.choices, list(hydra.overrides.task))
    if not config.resume:
        results.write(folder, result)  # so that a crash is recognised as this job's
    config.callbacks = {name: part for name, part in (config.callbacks or {}).items() if name != "progress"}
    fit = functools.partial(stacked.fit, result=result) if plan.jobs else None
    try:
        with interrupt.stop_after_epoch(announce=False):
            run.run(config, folder, result, fit, announce=False)
    except run.Interrupted:
        pass
    except (Exception, SystemExit) as error:
        if result["status"] != "failed":
            run.record_failure(folder, result, error)
    if result["status"] in ("failed", "diverged") and config.on_error == "stop":
        raise SystemExit(1)
    return result["best"][config.monitor] if result["best"] else float("nan")


def done(folder: Path, config: DictConfig, hydra: Any) -> float | None:
    """Settles a job with what an earlier launch of its sweep has left of it.

    Returns:
        The best value of a job that has come to its end; its new ``folder`` is gone. None if it is to run: in ``folder``,
        where an interrupted run now is that ``config.resume`` then names, and of a failed one nothing is left.
    """
    if interrupt.requested() and folder not in plan.fitted:
        shutil.rmtree(folder)
        if _launched:
            raise KeyboardInterrupt
        return float("nan")  # in a process of its own, which must not end
    if results.number(folder) == hydra.job.num:
        return None
    others = sorted(path for path in folder.parent.iterdir() if path != folder and path.is_dir())
    choices = {name: hydra.runtime.choices[name] for name in ("data", "model", "protocol")}
    earlier = settings.find(others, config, list(hydra.overrides.task), **choices)
    if earlier is None:
        return None
    result = results.read(earlier)
    if result["status"] in settings.DONE or earlier.resolve() in crashed:
        shutil.rmtree(folder)
        return result["best"][config.monitor] if result["best"] else float("nan")
    if result["status"] == "interrupted" and (earlier / "checkpoints" / "last.ckpt").is_file():
        shutil.rmtree(folder)
        earlier.rename(folder)
        config.resume = str(folder)
    else:
        shutil.rmtree(earlier)
    return None
