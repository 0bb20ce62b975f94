"""Ctrl-C: the first asks to stop after the current epoch, the second stops at once."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_asked, _listening = threading.Event(), threading.Event()


def asked() -> bool:
    """Whether somebody has asked to stop."""
    return _asked.is_set()


@contextmanager
def listening(told: bool = True) -> Iterator[None]:
    """Takes the first Ctrl-C for a wish, and says so if ``told``.

    Inside another such block, or beside the main thread, it changes nothing.
    """
    if _listening.is_set() or threading.current_thread() is not threading.main_thread():
        yield
        return

    heard = 0.0

    def hear(*_: Any) -> None:
        nonlocal heard
        if not _asked.is_set():
            heard = time.monotonic()
            _asked.set()
            if told:
                print("\nstopping after this epoch; Ctrl-C again stops at once", file=sys.stderr, flush=True)
        elif time.monotonic() - heard > 2:  # the same Ctrl-C may come twice, from the terminal and from a parent process
            raise KeyboardInterrupt

    _asked.clear()
    _listening.set()
    before = signal.signal(signal.SIGINT, hear)
    try:
        yield
    finally:
        _listening.clear()
        signal.signal(signal.SIGINT, before)
