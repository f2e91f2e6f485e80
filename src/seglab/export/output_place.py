"""The place of an export: filled beside it and moved there whole, one export at a time.

The folder that is filled is locked by its process, however that ends, so that what a killed export left is known from
what another one is at, and is cleared away the next time.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from seglab.errors import DataError
from seglab.export.export_targets import ExportRefused
from seglab.export.room import no_room_left
from seglab.tracking.interruption import Terminated, stop_requested

MARK = ".seglab-export"


@contextmanager
def making(out: Path, tell: Callable[[str], None]) -> Iterator[Path]:
    """A folder to fill, which becomes `out` at the end; after an error nothing is left.

    Args:
        out: no such folder, or an empty one.
        tell: called with what is cleared away.

    Raises:
        DataError: no room, no permission, or another export that is at the same place.
        ExportRefused: what was raised within.
        Terminated: SIGTERM arrived, whatever a converter has made of that.
    """
    partial, lock = None, -1
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial, lock = _begun(out, tell)
        yield partial
        (partial / MARK).unlink()
        partial.chmod(0o755)
        if out.exists():
            out.rmdir()  # an empty one, unless somebody has written to it meanwhile
        partial.rename(out)
    except (OSError, ExportRefused) as error:
        if stop_requested():
            raise Terminated from error
        if full := no_room_left(error, out.parent):
            raise DataError(
                "no room on the disk for an export; nothing of it is left",
                code="no-room",
                where=str(full.filename),
                found=full.strerror,
                expected="room for the model in every format that is asked for, and for temporary files",
                remedy="free some space, or choose another folder; TMPDIR=… says where temporary files go",
            ) from error
        if isinstance(error, ExportRefused):
            raise
        raise DataError(
            "an export that cannot be written; nothing of it is left",
            code="file-unwritable",
            where=str(error.filename or out),
            found=error.strerror or str(error),
            expected="permission, and nobody else who exports to the same folder",
            remedy="choose another folder",
        ) from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
        if lock >= 0:
            os.close(lock)


def _begun(out: Path, tell: Callable[[str], None]) -> tuple[Path, int]:
    """A new folder beside `out`, and the lock on it; clears away what killed exports to `out` left."""
    above = os.open(out.parent, os.O_RDONLY)
    try:
        _locked(above, wait=True)  # until this is over, nobody else looks or begins
        for found in sorted(out.parent.iterdir()):
            if re.fullmatch(rf"\.{re.escape(out.name)}\.\w{{8}}", found.name) and (found / MARK).is_file():
                _clear(found, out, tell)
        partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        try:
            lock = os.open(partial, os.O_RDONLY)
            _locked(lock)
            (partial / MARK).touch()
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        return partial, lock
    finally:
        os.close(above)


def _clear(found: Path, out: Path, tell: Callable[[str], None]) -> None:
    lock = os.open(found, os.O_RDONLY)
    try:
        if not _locked(lock):
            raise DataError(
                "another export to the same folder is under way",
                code="export-running",
                where=str(out),
                found=f"{found.name}, which a process is filling",
                expected="one export at a time",
                remedy="wait for it, or choose another folder",
            )
        tell(f"clearing {found.name} away, which an export that was killed has left")
        shutil.rmtree(found, ignore_errors=True)
    finally:
        os.close(lock)


def _locked(handle: int, *, wait: bool = False) -> bool:
    """Whether this process has the lock now; where a file system knows none, everybody has."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        return wait
    return True
