"""Shared by the tests of the service as a process: heavy images, its log, its address."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

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
