"""A body as a file, for readers that take the path of one; where the system can, in memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seglab.serving.problems import Problem

_MEMORY = "/dev/shm"


@contextmanager
def file_of(content: bytes) -> Iterator[Path]:
    """A path that holds the content until the end; raises `Problem` where there is no room for it."""
    path = _written(content)
    try:
        yield path
    finally:
        path.unlink()


def _written(content: bytes) -> Path:
    error: OSError | None = None
    for place in (_MEMORY, None):
        if place is not None and not os.access(place, os.W_OK):
            continue
        try:
            with tempfile.NamedTemporaryFile(prefix="seglab-serve-", dir=place, delete=False) as file:
                try:
                    file.write(content)
                    file.flush()
                except OSError:
                    os.unlink(file.name)
                    raise
            return Path(file.name)
        except OSError as failure:
            error = failure
    raise Problem(
        503,
        "no-room",
        "no room for a request",
        (error.strerror if error else None) or "",
        headers={"Retry-After": "10"},
    ) from error
