"""SIGTERM as an exception, so that a run that it stops ends like one that was interrupted by hand."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM stopped the process. Commands leave with `exit_code`."""

    exit_code = 128 + signal.SIGTERM


_requested = threading.Event()


def stop_requested() -> bool:
    """Whether `Terminated` was raised; libraries in C++ that call Python make another error of it."""
    return _requested.is_set()


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Within this context SIGTERM raises `Terminated` in the main thread; outside of it nothing changes.

    Python lets only the main thread handle signals; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        _requested.set()
        raise Terminated

    _requested.clear()
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
