"""One process at a time, and a message instead of waiting for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from seglab.errors import TrackingError


@contextmanager
def waited_for(file: Path, seconds: float, what: str) -> Iterator[None]:
    """Alone with a lock file; waits for its turn so long, then raises a `TrackingError` that says `what`."""
    try:
        lock = filelock.FileLock(file, timeout=seconds)
        lock.acquire()
    except filelock.Timeout as error:
        raise TrackingError(
            what,
            code="lock-busy",
            where=str(file),
            found=f"no end of it in {seconds:.0f} s",
            remedy="wait for that process, or end it; then start this one again",
        ) from error
    except OSError as error:
        raise TrackingError(
            "a lock that cannot be made",
            code="lock-failed",
            where=str(file),
            found=error.strerror or str(error),
            expected="a folder with free space, in which locks work",
            remedy="make room there, and see that the folder can be written to",
        ) from error
    try:
        yield
    finally:
        lock.release()
