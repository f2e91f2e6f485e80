"""A body as a file, for readers that take the path of one; where the system can, in memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from seglab.serving.problems import Problem

_MEMORY = "/dev/shm"


@contextmanager
def file_of(content: bytes) -> Iterator[Path]:
    """A path that holds the content until the end; raises `Problem` where there is no room for it.

    The file has no name in any folder, so nothing of it stays where the process is killed. The path is one of this
    process alone.
    """
    with _written(content) as file:
        yield Path(f"/dev/fd/{file.fileno()}")


def _written(content: bytes) -> IO[bytes]:
    error: OSError | None = None
    for place in (_MEMORY, None):
        if place is not None and not os.access(place, os.W_OK):
            continue
        try:
            file = tempfile.TemporaryFile(dir=place)  # noqa: SIM115
            try:
                file.write(content)
                file.seek(0)
            except OSError:
                file.close()
                raise
            return file
        except OSError as failure:
            error = failure
    raise Problem(
        503,
        "no-room",
        "no room for a request",
        (error.strerror if error else None) or "",
        headers={"Retry-After": "10"},
    ) from error
