"""The folder of a run: claimed before the run, and restored if the run is refused.

What is needed to restore it lies in the folder itself, in ``.undo/``, until the run has ended.
"""

import contextlib
import json
import shutil
from pathlib import Path

from src.errors import UserError

UNDO, CREATED = ".undo", "created.json"
REWRITTEN = ("result.json", "metrics.csv", "model.txt", ".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml")


def make(folder: Path) -> tuple[Path, list[Path]]:
    """Make ``folder``, or the first free of ``folder_2, folder_3, …``, so that two runs in one second never share one.

    Returns:
        The folder, and the parents that were made with it, innermost first.
    """
    if folder.resolve() in {Path.cwd(), *Path.cwd().parents}:
        raise UserError(f"hydra.run.dir={folder}: a run needs a folder of its own; name one that does not exist yet")
    for number in range(1, 10_000):
        free = folder if number == 1 else folder.with_name(f"{folder.name}_{number}")
        try:
            parents = [parent for parent in free.resolve().parents if not parent.exists()]
            free.mkdir(parents=True)
            return free, parents
        except FileExistsError:
            continue
        except OSError as error:
            raise UserError(f"{free}: cannot make this folder for the run ({error.strerror})") from error
    raise UserError(f"{folder}: ten thousand runs of this name exist; remove some, or set hydra.run.dir")


def claim(folder: Path) -> Path:
    """Make a folder for a new run, see :func:`make`."""
    free, parents = make(folder)
    (free / UNDO).mkdir()
    (free / UNDO / CREATED).write_text(json.dumps([str(parent) for parent in parents]))
    return free


def keep(folder: Path) -> Path:
    """Copy the small files of a run that is about to be resumed, for :func:`undo`; return ``folder``."""
    settle(folder)
    for name in REWRITTEN:
        if (folder / name).is_file():
            copy = folder / UNDO / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / name, copy)
    return folder


def settle(folder: Path) -> None:
    """Give up undoing: the run has recorded how it ended."""
    shutil.rmtree(folder / UNDO, ignore_errors=True)


def undo(folder: Path) -> None:
    """Remove the folder of a refused run with the parents made for it, or restore the files of a run it resumed."""
    if not (folder / UNDO / CREATED).is_file():
        shutil.copytree(folder / UNDO, folder, dirs_exist_ok=True)
        return settle(folder)
    parents = json.loads((folder / UNDO / CREATED).read_text())
    shutil.rmtree(folder)
    with contextlib.suppress(OSError):  # another process has put its runs there
        for parent in map(Path, parents):
            parent.rmdir()
