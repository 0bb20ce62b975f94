"""One job of a sweep: reuse, resume or run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from src.runs import result as results
from src.runs import settings
from src.sweeps.launch import _launched, crashed
from src.sweeps.stacked import plan
from src.training import interrupt


def done(folder: Path, config: DictConfig, hydra: Any) -> float | None:
    """Settles a job with what an earlier launch of its sweep has left of it.

    Returns:
        The best value of a job that has come to its end; its new ``folder`` is gone. None if it is to run: in ``folder``,
        where an interrupted run now is that ``config.resume`` then names, and of a failed one nothing is left.
    """
    if interrupt.asked() and folder not in plan.fitted:
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
