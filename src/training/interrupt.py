"""Ctrl-C: the first asks to stop after the current epoch, the second stops at once."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class StopRequest:
    """A handler of SIGINT that notes the first signal and raises KeyboardInterrupt at the second.

    Attributes:
        requested: True after the first signal.
    """

    def __init__(self, announce: bool):
        self.requested, self.announce, self.first = False, announce, 0.0

    def __call__(self, *_: Any) -> None:
        if not self.requested:
            self.requested, self.first = True, time.monotonic()
            if self.announce:
                print("\nstopping after this epoch; press Ctrl-C again to stop at once", file=sys.stderr, flush=True)
        elif time.monotonic() - self.first > 2:  # one Ctrl-C may arrive twice, from the terminal and from a parent process
            raise KeyboardInterrupt


def requested() -> bool:
    """Return True if a signal has asked the running :func:`stop_after_epoch` to stop."""
    handler = signal.getsignal(signal.SIGINT)
    return isinstance(handler, StopRequest) and handler.requested


@contextmanager
def stop_after_epoch(announce: bool = True) -> Iterator[None]:
    """Handle the first Ctrl-C as a request to stop after the epoch, and print so if ``announce``.

    Inside another such block, or in another thread than the main one, it changes nothing.
    """
    before = signal.getsignal(signal.SIGINT)
    if isinstance(before, StopRequest) or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, StopRequest(announce))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
