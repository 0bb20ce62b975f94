"""Paths as a user types them, and files that are written whole or not at all."""

import os
import shlex
from pathlib import Path

from src.errors import UserError


def shown(folder: Path) -> str:
    """Return a folder as a user would type it, in the shell's quotes where it needs them."""
    return shlex.quote(os.path.relpath(folder) if folder.is_relative_to(Path.cwd()) else str(folder))


def check(path: Path, key: str = "output") -> None:
    """Raise a UserError, which names the key, if no file can be written there."""
    if path.is_dir() or not path.resolve().parent.is_dir():
        raise UserError(f"{key}={path}: must be a file in a folder that exists")


def write(text: str, output: Path) -> None:
    """Write a text file, such as ``table.to_csv()``, whole or not at all."""
    draft = output.with_name(output.name + ".tmp")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, output)
