"""The one exception whose text a user reads, and how errors become one sentence."""

import difflib
import sys
import sysconfig
import traceback
from pathlib import Path
from typing import NoReturn, cast

from hydra.errors import InstantiationException


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


def nearest(name: str, names: list[str]) -> str:
    """Return ``did you mean …?``, or a list to choose from if no name is near."""
    by_lower = {key.lower(): key for key in names}
    if near := difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6):
        return f"did you mean {by_lower[near[0]]}?"
    shown = names if len(names) <= 20 else sorted({key.split(".")[0] for key in names})
    return f"choose one of: {', '.join(shown)}"


def own_traceback(error: Exception) -> str:
    """Return a traceback without the frames of installed packages, except the last one: the user's code comes first.

    The frames of Labbook that lead to the user's code are left out too; if the error is Labbook's own, they stay.
    """
    frames = traceback.extract_tb(error.__traceback__)
    rooms = [str(Path(__file__).parent / room) for room in ("training", "tasks", "reporting")]
    own = [frame for frame in frames if not installed(frame.filename)]
    theirs = [frame for frame in own if not frame.filename.startswith(tuple(rooms))] or own
    if frames and frames[-1] not in theirs:
        theirs.append(frames[-1])
    lines = traceback.format_list(theirs) + traceback.format_exception_only(error)
    return "Traceback (most recent call last):\n" + "".join(lines).rstrip()


def cause_of(error: Exception, key: str) -> Exception:
    """Return the error to show in place of one that was raised while classes of a configuration were called.

    A call that does not fit the signature, or a value that a library's class refuses, is the configuration's fault and
    becomes a UserError. An error in the project's own code or the user's, ours to mend or theirs, is returned as it is.

    Args:
        error: The error as it was caught; Hydra wraps what a class raises.
        key: Part of the configuration to name.
    """
    cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
    kinds = TypeError | ValueError | ImportError | InstantiationException
    lightnings = type(cause).__name__ == "MisconfigurationException"
    if isinstance(cause, UserError) or not (isinstance(cause, kinds) or lightnings):
        return cast(Exception, cause)
    callers = {str(Path(__file__).parent / name) for name in ("training/build.py", "tasks/task.py")}
    files = {frame.filename for frame in traceback.extract_tb(cause.__traceback__)} - callers
    if not all(map(installed, files)):
        return cast(Exception, cause)
    return UserError(f"{key}: {sentence(error if isinstance(cause, ImportError) else cause)}")


def installed(file: str) -> bool:
    """Return whether a file is Python's or an installed package's, and not Labbook's or the user's."""
    standard = file.startswith(("<", sysconfig.get_path("stdlib")))
    return standard or bool({"site-packages", "dist-packages"} & {*Path(file).parts})
