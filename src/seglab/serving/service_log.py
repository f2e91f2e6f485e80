"""The log of the service: lines on standard error, those of requests in JSON, for which nobody waits.

What the service says, what libraries log and warn of comes through here: a write that has no room would hold up all
clients.
"""

from __future__ import annotations

import json
import logging
import os
import select
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from seglab.safety.shown_text import shown


class _Log:
    """Lines that were left out, as whoever reads them was too late or a disk full; the next in JSON tells how many."""

    def __init__(self) -> None:
        # One lock that its owner may take again: while a line is made, something may be collected that logs.
        self.lock, self.lost = threading.RLock(), 0
        self.torn = False  # whether the last one lacks its end


_log = _Log()


def log_line(**fields: Any) -> None:
    """A line for one request, or a change of the model; neither bodies nor keys are among what is told."""
    with _log.lock:
        lost = {"lost": _log.lost} if _log.lost else {}
        line = json.dumps({"time": round(time.time(), 3), **fields, **lost}, ensure_ascii=True)
        if _written(line):
            _log.lost = 0
        else:
            _log.lost += 1


def write_line(text: str) -> None:
    """Each line of a text that is no JSON, such as the trace of an error."""
    with _log.lock:
        _log.lost += sum(not _written(line) for line in text.splitlines())


class _Handler(logging.Handler):
    def createLock(self) -> None:
        self.lock = None  # a second lock could be taken in the other order

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception:  # of arguments that do not fit: whoever logs has no part in it
            text = f"{record.levelname}: {record.msg!r}"
        write_line(text)


def take_logging() -> None:
    """What libraries log, such as uvicorn of a request that is none, comes here too; Streamlit, once it is set up,
    has given some of them handlers that wait."""
    logging.basicConfig(format="%(levelname)s: %(message)s", handlers=[_Handler()], force=True)
    logging.captureWarnings(True)
    for one in logging.root.manager.loggerDict.values():
        if isinstance(one, logging.Logger) and one.handlers:
            one.handlers, one.propagate = [], True


def _written(line: str) -> bool:
    """Whether a line could be written at once; of a long one perhaps its beginning was."""
    content = b"\n" * _log.torn + (shown(line) + "\n").encode(errors="backslashreplace")
    try:
        place = sys.stderr.fileno()
    except (OSError, ValueError):  # no file of the system
        sys.stderr.write(content.decode())
        return True
    done = 0
    with suppress(OSError):  # a disk is full, or whoever read it has ended; requests are answered all the same
        while done < len(content) and select.select([], [place], [], 0)[1]:  # room for as much, at least
            done += os.write(place, content[done : done + select.PIPE_BUF])
    _log.torn = done < len(content) if done else _log.torn
    return done == len(content)
