"""One thread that computes, and a queue of bounded length before it.

A large image goes to the network in several calls. Between two of them the work is asked whether it is still wanted,
and a small image that waits is served first.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any


class QueueFull(Exception):
    """No place left."""


class Abandoned(Exception):
    """Nobody waits for the answer any more."""


@dataclass
class Work:
    """What is to be computed.

    Attributes:
        call: given this, computes; calls `between` where it can be interrupted, and may set the answer before its end.
        small: may be served in the middle of a large one.
        answer: what comes of it.
        wanted: False once nobody waits for it.
        began: seconds on the monotonic clock, 0 while it waits.
    """

    call: Callable[[Work], Any]
    small: bool = True
    answer: Future[Any] = field(default_factory=Future)
    wanted: bool = True
    put: float = field(default_factory=time.perf_counter)
    began: float = 0.0
    between: Callable[[], None] = lambda: None


class InferenceThread:
    """The thread and its queue.

    Args:
        places: that wait, beside the one that is computed.
    """

    def __init__(self, places: int):
        self.places = places
        self.mean_seconds = 0.1
        self._waiting: deque[Work] = deque()
        self._busy = 0
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="inference", daemon=True)
        self._thread.start()

    def put(self, work: Work) -> Future[Any]:
        """Queue it; raises `QueueFull`. Its answer may be a result or what it raised, `Abandoned` where not wanted."""
        with self._changed:
            if len(self._waiting) >= self.places or self._closed:
                raise QueueFull
            self._waiting.append(work)
            self._changed.notify()
        return work.answer

    def leave(self, work: Work) -> None:
        """Nobody waits for it any more: its place is free at once, or it ends between two calls of the network."""
        work.wanted = False
        with self._changed:
            if work in self._waiting:
                self._waiting.remove(work)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def busy(self) -> int:
        """How many are being computed."""
        return self._busy

    def seconds_to_wait(self) -> int:
        """Until a place is likely to be free."""
        return max(1, round(self.mean_seconds * (len(self._waiting) + 1) / 2))

    def close(self) -> None:
        """End the thread once it has done what it is at."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _loop(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if not self._waiting:
                    return
                work = self._waiting.popleft()
            self._run(work, inside=False)

    def _run(self, work: Work, inside: bool) -> None:
        def between() -> None:
            if not work.wanted:
                raise Abandoned
            while not inside and (small := self._next_small()):
                self._run(small, inside=True)

        work.between, work.began = between, time.perf_counter()
        self._busy += 1
        try:
            if not work.wanted:
                raise Abandoned
            answer = work.call(work)
        except BaseException as error:
            if not work.answer.done():
                work.answer.set_exception(error)
        else:
            if not work.answer.done():
                work.answer.set_result(answer)
        finally:
            self._busy -= 1
        taken = time.perf_counter() - work.began
        self.mean_seconds += 0.1 * (taken - self.mean_seconds)

    def _next_small(self) -> Work | None:
        with self._changed:
            for work in self._waiting:
                if work.small:
                    self._waiting.remove(work)
                    return work
        return None
