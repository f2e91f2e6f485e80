"""Python's collector of reference cycles, sent to rest while many objects are made that all stay."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


def rest_at_exit() -> None:
    """When this process ends, leave its cycles to the system, which takes all of its memory at once.

    With MLflow or TensorFlow loaded, Python's last walks over everything take one to two seconds, for nothing.
    """
    atexit.register(_rest)


def _rest() -> None:
    gc.disable()
    gc.freeze()


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """No cycle is looked for within.

    The more objects stay, the more of them the collector walks, again and again, without finding one to free: a fifth
    of the time to load MLflow, and more than half of reading a thousand runs from a database.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
