"""The log of the service: lines of JSON on standard error, one for each request, which no client waits for."""

from __future__ import annotations

import json
import select
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from seglab.safety.shown_text import shown


class _Log:
    """Lines that whoever reads them took too late, so that they were left out; the next one tells how many."""

    def __init__(self) -> None:
        self.lock, self.lost = threading.Lock(), 0


_log = _Log()


def log_line(**fields: Any) -> None:
    """A line for one request, or a change of the model; neither bodies nor keys are among what is told."""
    with _log.lock:
        if not _room():
            _log.lost += 1
            return
        lost, _log.lost = ({"lost": _log.lost} if _log.lost else {}), 0
        line = json.dumps({"time": round(time.time(), 3), **fields, **lost}, ensure_ascii=True)
        with suppress(OSError):  # whoever read it has ended; requests are answered all the same
            sys.stderr.write(shown(line) + "\n")  # at once: lines of several threads do not mix
            sys.stderr.flush()


def _room() -> bool:
    """Whether a line can be written at once; else all clients would wait for whoever reads the log."""
    try:
        return bool(select.select([], [sys.stderr.fileno()], [], 0)[1])
    except (OSError, ValueError):  # no file of the system
        return True
