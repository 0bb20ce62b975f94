"""``model.replicas=20``: a sweep over 20 seeds, trained together (:mod:`src.sweeps.stacked.fit`). Imports no torch."""

from __future__ import annotations

import re
from pathlib import Path

from omegaconf import DictConfig

from src.config.schema import trains
from src.errors import UserError

# What the runs of one stack may differ in.
FREE = re.compile(r"\+{0,2}(seed|task\.optimizer\.[a-z]\w*|task\.(l1|gradient_clip)|model\.(\w+\.)*\w*dropout)")
# Options of Hydra that show something and run nothing.
SHOW = {"-h", "--help", "--hydra-help", "--version", "-c", "--cfg", "-i", "--info", "-sc", "--shell-completion"}

# The jobs of the running sweep, each its overrides, if they are to learn together; none otherwise.
jobs: list[list[str]] = []
# How the runs of a stack ended, and the seconds of each, until their jobs come to ask.
fitted: dict[Path, tuple[str, float]] = {}
_asked = 1


def expanded(arguments: list[str]) -> list[str]:
    """Replaces ``model.replicas=N`` by a sweep over N seeds from ``seed`` on, and remembers N for ``plan``.

    Raises:
        UserError: The arguments say something else of seeds or folders.
    """
    global _asked
    _asked = 1
    jobs.clear()
    fitted.clear()
    values = {key: value for key, _, value in (text.partition("=") for text in arguments)}
    number, seed = values.get("model.replicas", "1"), values.get("seed", "0")
    # anything but a number from 2 on is for the schema to judge
    if not number.isdecimal() or int(number) < 2 or SHOW & {text.partition("=")[0] for text in arguments}:
        return arguments
    if not seed.isdecimal():
        raise UserError(f"seed={seed}: with model.replicas={number} it is the first of {number} seeds; give one number")
    if "resume" in values:
        raise UserError("model.replicas: what is to be gone on with goes on one by one; leave it out beside resume=")
    if "hydra.run.dir" in values:
        raise UserError("hydra.run.dir: model.replicas leaves a folder of runs, as a sweep does; set hydra.sweep.dir")
    _asked = int(number)
    rest = [text for text in arguments if text.partition("=")[0] not in ("model.replicas", "seed")]
    sweeps = {"-m", "--multirun"} & set(arguments)
    return [*([] if sweeps else ["-m"]), *rest, f"seed=range({seed},{int(seed) + _asked})"]


def check(config: DictConfig, model: str) -> None:
    """Raises a UserError if a configuration asks for replicas that there cannot be."""
    asked = max(_asked, config.model.get("replicas", 1))
    if asked == 1:
        return
    if not trains(config.model):
        raise UserError(f"model.replicas={asked}: {model} is a baseline, which no seed changes; leave it out")
    if "replicas" not in config.model:
        raise UserError(
            f"model.replicas={asked}: {model} is too large to be stacked; repeat it by -m seed=range(0,{asked}) instead"
        )
    if config.trainer.get("devices") != 1:
        raise UserError(f"model.replicas={asked}: learn on one device; leave trainer.devices out")
    if _asked == 1:
        raise UserError(f"model.replicas={asked}: give it once on the command line, as a number")


def plan(sweep: list[list[str]], hydra: DictConfig) -> None:
    """Remembers a sweep's jobs, if their replicas are to learn together.

    Raises:
        UserError: The jobs would not run one after another in this process.
    """
    if _asked == 1:
        return
    for part, own in (("launcher", "BasicLauncher"), ("sweeper", "BasicSweeper")):
        if not str(hydra[part]._target_).endswith(own):
            raise UserError(f"model.replicas={_asked}: learn together in one process; leave hydra/{part} out")
    jobs[:] = sweep


def stack(number: int) -> list[int]:
    """The jobs that may learn together with job ``number``, itself among them: they differ in nothing but ``FREE``."""

    def rest(overrides: list[str]) -> list[str]:
        return sorted(text for text in overrides if not FREE.fullmatch(text.partition("=")[0]))

    return [other for other, overrides in enumerate(jobs) if rest(overrides) == rest(jobs[number])]
