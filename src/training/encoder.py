"""The encoder of a finished run, for a network that goes on from it (``model=encoder_classifier encoder=DIR``).

The new run keeps a copy of the little that it needs, in ``encoder/``, and stands without the old one from then on.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from omegaconf import DictConfig

from src.errors import UserError
from src.runs import result


def files(run: Path, config: DictConfig) -> tuple[Path, Path]:
    """The two files that an encoder is rebuilt from: the run's configuration and its tested weights."""
    return run / ".hydra" / "config.yaml", run / "checkpoints" / f"{config.test_weights}.ckpt"


# What decides which samples are in the test split.
SPLIT = ("samples", "split_seed", "test", "validation")


def check(run: Path, data: DictConfig, trust: bool) -> None:
    """Raises a UserError if no finished run of an autoencoder is there, or one that has seen test samples of ``data``.

    It reads no weights, and so needs no torch.
    """
    if not (run / "result.json").is_file():
        raise UserError(f"encoder={run}: no run is there; give the folder that a run of model=autoencoder printed")
    status = result.read(run)["status"]
    config = result.configuration(run, trust)
    if not config.task._target_.endswith(".Reconstruction"):
        raise UserError(f"encoder={run}: is a run of {config.model._target_}, which is no autoencoder")
    if status not in ("finished", "stopped early") or not all(path.is_file() for path in files(run, config)):
        raise UserError(f"encoder={run}: the run is {status}, or its weights are missing; give a finished one")
    for key in SPLIT:
        if config.data._target_ == data._target_ and (there := config.data.get(key)) != (here := data.get(key)):
            raise UserError(
                f"encoder={run}: has data.{key}={there}, and this run data.{key}={here}; split differently, it may have "
                "learnt from this run's test samples"
            )


def keep(run: Path, folder: Path) -> None:
    """Copies what an encoder is rebuilt from into ``folder/encoder``, at the same places; no second result.json."""
    for path in files(run, result.stored(run)):
        copy = folder / "encoder" / path.relative_to(run)
        copy.parent.mkdir(parents=True)
        shutil.copy(path, copy)
