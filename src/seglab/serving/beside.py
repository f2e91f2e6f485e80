"""A thread for large images beside the one that does errands, which goes on answering small ones."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from seglab.serving.queueing import Abandoned

_LOOK_SECONDS = 0.004  # between two looks whether a small image waits
_Made = TypeVar("_Made")


class Beside:
    """The thread. What it decodes, resizes and encodes holds up nobody; between two calls of the network it waits while
    a small image is answered."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "large")
        self._calm = threading.Event()
        self._calm.set()

    def run(self, call: Callable[[Callable[[], None]], _Made], between: Callable[[], None]) -> _Made:
        """What a call makes there.

        Args:
            call: is given what it is to call between two steps.
            between: called here again and again in the meantime; may answer others, or raise `Abandoned`.

        Raises:
            Abandoned: `between` raised it. The call ends with its step, and before the next one begins.
            Exception: whatever the call raised.
        """
        unwanted = threading.Event()

        def pause() -> None:
            self._calm.wait()
            if unwanted.is_set():
                raise Abandoned

        made = self._pool.submit(call, pause)
        try:
            while not wait([made], _LOOK_SECONDS).done:
                self._calm.clear()
                try:
                    between()
                finally:
                    self._calm.set()
        except BaseException:
            unwanted.set()
            made.cancel()  # where a former one is still at its last step
            raise
        return made.result()
