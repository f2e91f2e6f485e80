"""Shared by the tests of the service as a process: heavy images, its log, its address."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

RNG = np.random.default_rng(3)


def png(height: int, width: int, channels: int = 3) -> bytes:
    room = io.BytesIO()
    shape = (height, width, channels)[: 2 + (channels > 1)]
    Image.fromarray(RNG.integers(0, 256, shape, np.uint8)).save(room, "PNG", compress_level=1)
    return room.getvalue()


SMALL, SLOW = png(30, 40), png(900, 1000)


def until(seen: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.01)


def head(content: bytes) -> bytes:
    return (
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % len(content)
    ) + content


# In every process of a service: what it loads and opens from its beginning on, as it does so.
_SEEING = """
import os, sys
place = os.open(os.path.join(os.path.dirname(__file__), "seen"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def see(event, words):
    if event in ("import", "open"):
        os.write(place, f"{os.getpid()} {event} {words[0]}\\n".encode())
sys.addaudithook(see)
"""


class Seen:
    """What the processes of a service load and open, which is begun with `environment`.

    Args:
        place: an empty folder.
    """

    def __init__(self, place: Path):
        (place / "sitecustomize.py").write_text(_SEEING)
        self._file = place / "seen"
        self.environment = {"PYTHONPATH": os.pathsep.join([str(place), *filter(None, sys.path)])}

    def so_far(self, event: str) -> list[str]:
        """Names of modules that were not there before (`import`), or paths (`open`), in turn."""
        rows = (line.split(" ", 2) for line in self._file.read_text(errors="replace").splitlines())
        return [row[2] for row in rows if len(row) == 3 and row[1] == event]
