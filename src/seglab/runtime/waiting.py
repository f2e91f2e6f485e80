"""What is said while somebody waits: after two seconds without a word, what is being done.

For work of many steps, whose last word would soon be old; a step that begins is told by
`seglab.runtime.terminal.tell`. It goes to standard error, so that what a command prints can be piped. On a terminal it
is one line that is written over and leaves no trace; elsewhere, such as in the log of a job, a line that comes less and
less often.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TextIO

from seglab.safety.secrets import redacted
from seglab.safety.shown_text import shown

SILENCE_SECONDS = 2.0
_AGAIN_SECONDS = 0.5  # on a terminal
_ERASED = "\r\x1b[K"

Count = Callable[[int, int], None]


@contextmanager
def step(what: str) -> Iterator[Count]:
    """Within, `what` is being done; the function that it gives takes how many of how many are done."""
    with Waiting() as waiting:
        waiting.tell(what)
        yield lambda done, total: waiting.tell(f"{what}: {done:,} of {total:,}")


class Waiting:
    """A context within which silences are broken. `tell` costs nothing: a thread looks from time to time.

    Args:
        stream: to write to; standard error when None.
        silence: seconds without a word that are borne; two when None.
    """

    def __init__(self, stream: TextIO | None = None, silence: float | None = None):
        silence = SILENCE_SECONDS if silence is None else silence
        self._own = None if stream else _standard_error()
        self._stream = stream or self._own or sys.stderr
        self._terminal = self._stream.isatty()
        self._silence, self._pause = silence, silence
        self._doing, self._drawn = "", False
        self._logged = ("", 0.0)  # the last line of a log, and when it was first written
        self._heard = time.monotonic()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="waiting", daemon=True)

    def __enter__(self) -> Waiting:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self.clear()
        if self._own:
            self._own.close()

    def tell(self, doing: str) -> None:
        """What is being done from now on, such as `reading the model`."""
        self._doing = doing

    def clear(self) -> None:
        """Take the line away, before something else is printed; that is heard, and the silence begins anew."""
        with self._lock:
            if self._drawn:
                self._stream.write(_ERASED)
                self._stream.flush()
            self._drawn, self._heard, self._pause = False, time.monotonic(), self._silence

    def _watch(self) -> None:
        while not self._over.wait(min(0.1, self._silence / 4)):
            with self._lock:
                if self._doing and time.monotonic() - self._heard >= self._pause:
                    self._say(shown(redacted(self._doing)).replace("\n", " "))

    def _say(self, text: str) -> None:
        self._heard = time.monotonic()
        if self._terminal:
            self._pause, self._drawn = _AGAIN_SECONDS, True
            width = shutil.get_terminal_size().columns - 3  # a line that wraps could not be taken away
            self._stream.write(f"{_ERASED}… {text[:width]}")
        else:
            self._pause = min(2 * self._pause, 60.0)
            last, began = self._logged
            again = text == last  # no line twice: how long it takes is news
            self._logged = (text, began if again else self._heard)
            self._stream.write(f"… {text}{f', {self._heard - began:.0f} s later' if again else ''}\n")
        self._stream.flush()


def _standard_error() -> TextIO | None:
    """Another way to where standard error leads now: while TensorFlow loads, what it writes there is put away."""
    try:
        return os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8", errors="replace")
    except (AttributeError, OSError, ValueError, io.UnsupportedOperation):
        return None
