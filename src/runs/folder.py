"""The folder of a run: claimed before the run, and restored if the run is refused."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from src.errors import UserError

# What this process may undo: folders that it made (with the new ones around each), and the small files of runs that it goes
# on with, as they were.
_made: dict[Path, list[Path]] = {}


_before: dict[Path, dict[Path, bytes]] = {}


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
