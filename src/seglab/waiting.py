"""Says on stderr what is being done, once it takes longer than two seconds: silence looks like a program that hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from seglab.terminal import Terminal

SILENT_SECONDS = 2.0
_LONGEST_SILENCE = 60.0  # between two lines of one step, where no terminal shows a bar

Count = Callable[[int, int], None]
console = Terminal(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def step(what: str) -> Iterator[Count]:
    """Within, `what` is being done; the function that it gives is told how many of how many are done.

    A terminal shows a bar that goes away; elsewhere, as in a log, there is a line after two seconds, and further ones
    at intervals that grow to a minute.
    """
    shown = _Shown(what)
    shown.start()
    try:
        yield shown.count
    finally:
        shown.over.set()
        shown.join()


class _Shown(threading.Thread):
    def __init__(self, what: str):
        super().__init__(daemon=True)
        self.over = threading.Event()
        self._what, self._done, self._total = what, 0, 0
        self._began = time.monotonic()

    def count(self, done: int, total: int) -> None:
        self._done, self._total = done, total

    def run(self) -> None:
        if self.over.wait(SILENT_SECONDS):
            return
        if console.is_terminal:
            self._as_bar()
            return
        pause = SILENT_SECONDS
        while True:
            counted = f": {self._done:,} of {self._total:,}" if self._total else " …"
            console.print(f"{self._what}{counted}, {time.monotonic() - self._began:.0f} s", markup=False)
            pause = min(2 * pause, _LONGEST_SILENCE)
            if self.over.wait(pause):
                return

    def _as_bar(self) -> None:
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
            work = bar.add_task(self._what, total=self._total or None, completed=self._done)
            while not self.over.wait(0.2):
                bar.update(work, total=self._total or None, completed=self._done)
