"""The command line of a run that is resumed."""

from __future__ import annotations

import os
from pathlib import Path

from omegaconf import OmegaConf

from src.config import overrides
from src.errors import UserError, sentence
from src.runs import moved, trust

# A resumed run keeps its experiment; only how long and on what it goes on may change.
RESUMABLE = ("resume", "trainer.", "accelerator", "threads", "callbacks.progress", "trust")


def resumed(arguments: list[str]) -> list[str]:
    """Replaces ``resume=DIR`` by the overrides of the run in DIR and what is given beside it.

    Raises:
        UserError: There is no run to go on with, or the arguments would make it another experiment.
    """
    given = overrides.given(arguments)
    folder = overrides.keyed(given).get("resume", "null")
    if folder == "null":
        return arguments
    stored = Path(folder) / ".hydra" / "overrides.yaml"
    if not folder or not stored.is_file() or not (Path(folder) / "checkpoints" / "last.ckpt").is_file():
        raise UserError(f"resume={folder}: no run with a checkpoint is there; give the folder that a run printed")
    try:
        old = {moved.current_override(str(text)): overrides.key(str(text)) for text in OmegaConf.load(stored)}
    except Exception as error:
        raise UserError(f"{stored}: cannot be read ({sentence(error)})") from error
    new = {text: overrides.key(text) for text in given}
    kept = [text for text, key in old.items() if key not in {*new.values(), "resume", "trust"}]
    trust.check_overrides(kept, stored, overrides.keyed(given).get("trust") == "true")
    for text, key in new.items():
        if text not in old and not key.startswith(RESUMABLE):
            raise UserError(
                f"{text}: a resumed run stays the experiment it was; only {', '.join(RESUMABLE[1:])} may be given"
            )
    beside = [text for text in arguments if new.get(text) != "resume"]
    return [*kept, *beside, overrides.written("resume", os.path.abspath(folder))]
