"""The one exception whose text a user reads, and how errors become one sentence."""

from __future__ import annotations

import difflib
import sys
from typing import NoReturn


class UserError(Exception):
    """Something only the user can put right: one sentence that says what is wrong, where, and what to do."""


def refuse(error: Exception | str) -> NoReturn:
    """Prints the sentence on stderr and exits with status 2."""
    print(f"error: {error}", file=sys.stderr)
    raise SystemExit(2)


def sentence(error: BaseException, named: bool = False) -> str:
    """The first line of an error, without what only a debugger needs; ``named`` puts its class before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return f"{type(error).__name__}: {text}" if named else text


def nearest(name: str, known: list[str]) -> str:
    """``did you mean …?``, or all the names where there are few and none is near."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    shown = known if len(known) <= 20 else sorted({key.split(".")[0] for key in known})
    return f"there are {', '.join(shown)}"
