"""Databases that a server keeps: their tables are made by one process at a time, and what they say is understood."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, text

from seglab.errors import TrackingError
from seglab.safety.secrets import redacted
from seglab.tracking.locks import waited_for

# Any number that no other program is likely to take; the lock holds within one database.
_LOCK = 7_236_452_201
_TAKE = {
    "postgresql": f"SELECT pg_try_advisory_lock({_LOCK})",
    "mysql": f"SELECT GET_LOCK(CONCAT('seglab-{_LOCK}-', DATABASE()), 0)",
    "mariadb": f"SELECT GET_LOCK(CONCAT('seglab-{_LOCK}-', DATABASE()), 0)",
}
_POLL_SECONDS = 0.2
# What databases say of who may come in; none of it is about what they hold.
_ENTRY = re.compile(
    r"authentication|password|access denied|no pg_hba|unknown database"
    r"|(role|user|database) \".*\" (does not exist|is not permitted)"
)
_BUSY = ("too many", "connection slots", "is locked", "starting up", "shutting down", "timeout", "timed out")


@contextmanager
def alone_with_database(uri: str, directory: Path, seconds: float) -> Iterator[None]:
    """Alone among all processes that make the tables of a database, wherever they run; the lock dies with the process.

    Args:
        uri: of a database that a server keeps.
        directory: the local folder of runs; its lock file serves where the kind of database has none of its own.
        seconds: to wait for the others.

    Raises:
        TrackingError: they take longer.
        sqlalchemy.exc.SQLAlchemyError: the database cannot be reached, or lets nobody in.
    """
    engine = create_engine(uri)
    what = "the tables of the tracking store are being made by another process"
    take = _TAKE.get(engine.dialect.name)
    try:
        if take is None:
            with waited_for(directory / ".lock", seconds, what):
                yield
            return
        with engine.connect() as connection:
            end = time.monotonic() + seconds
            while not connection.execute(text(take)).scalar():
                if time.monotonic() > end:
                    raise TrackingError(
                        what,
                        code="lock-busy",
                        where=f"tracking.uri={redacted(uri)}",
                        found=f"no end of it in {seconds:.0f} s",
                        remedy="wait for that process, or end it; then start this one again",
                    )
                time.sleep(_POLL_SECONDS)
            yield
    finally:
        engine.dispose()  # with the connection goes the lock


def database_remedy(message: str, *, file: bool) -> str:
    """What to do about an error of a database; nothing that costs data unless its file is no database any more.

    Args:
        message: of the database.
        file: whether it is a file, and not kept by a server.
    """
    lower = message.lower()
    if file:
        if "not a database" in lower or "malformed" in lower or "no such table" in lower or "no such column" in lower:
            return "restore the database from a copy, or move it away to begin with an empty one"
        if "is locked" in lower:
            return "another process is writing to it: wait for that, or end it, then start again"
        return "see that the file can be read and written and that its disk has room; its contents may be well"
    if any(words in lower for words in _BUSY):
        return "the database is busy: start again in a minute; what it holds is not in question"
    if _ENTRY.search(lower):
        return (
            "correct user, password and database name in tracking.uri (in a password, @ / : # are written %40 %2F %3A "
            "%23), or let its administrator make them; what it holds is not in question"
        )
    if "permission denied" in lower or "privilege" in lower:
        return "ask its administrator for the right to make and change tables; what it holds is not in question"
    return "see that the database server works, then start again; what it holds is not in question"
