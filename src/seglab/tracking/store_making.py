"""Making a store and reaching one: its SQLite file, a server that listens, one process at a time."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from seglab.errors import TrackingError
from seglab.run_record import StoreFile
from seglab.runtime.atomic_files import replacing
from seglab.safety.secrets import redacted
from seglab.tracking.health import runs_with_artifacts
from seglab.tracking.locks import waited_for
from seglab.tracking.mlflow_client import (
    MlflowException,
    first_line,
    say,
)
from seglab.tracking.sqlite_address import sqlite_file, sqlite_uri

_CONNECT_SECONDS = 4.0

_ANSWER_SECONDS = 6

LOCK_SECONDS = 120.0

# What the variable named when this process began, until it is told that nothing follows it.
_UNREAD = [given for given in (os.environ.get("MLFLOW_TRACKING_URI"),) if given]


@contextmanager
def short_patience() -> Iterator[None]:
    """A server that accepts and then says nothing is no server; MLflow reads these settings at each request."""
    short = {"MLFLOW_HTTP_REQUEST_TIMEOUT": str(_ANSWER_SECONDS), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    before = {key: os.environ[key] for key in short}
    os.environ.update(short)
    try:
        yield
    finally:
        os.environ.update(before)


def check_not_emptied(path: Path, directory: Path) -> None:
    """No new store comes in the place of one that had runs, emptied or gone: they would seem never to have been."""
    lost = not path.exists() or path.stat().st_size == 0
    if lost and path.parent == directory and runs_with_artifacts(directory):
        raise TrackingError(
            "a store of runs that has lost its contents",
            code="store-emptied",
            where=str(path),
            found=f"{'an empty file' if path.exists() else 'no such file'}, and artifacts of "
            f"{len(runs_with_artifacts(directory))} runs beside it",
            expected="the database that knows them",
            remedy="restore the database from a copy; or, to begin with an empty one, move the whole folder away; or, "
            "if these are runs of another store, keep the new one elsewhere: tracking.uri=sqlite:///<file>",
        )


def say_unread(uri: str) -> None:
    """MLflow's own commands follow this variable; who sets it may think that ours do. MLflow sets it, too."""
    other = _UNREAD.pop() if _UNREAD else uri
    if other == uri or sqlite_file(other) == sqlite_file(uri):
        return
    use = redacted(other)
    say(f"MLFLOW_TRACKING_URI is set and not followed: the store is {uri}; to use that one say tracking.uri={use}")


def make_sqlite(path: Path, directory: Path) -> None:
    """Create the database under a temporary name and rename it: it is whole as soon as it can be seen."""
    if path.exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with store_lock(directory):
        if path.exists():
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path, sole=True) as part:
                part.unlink(missing_ok=True)  # half of one, of a start that was killed
                made = SqlAlchemyStore(sqlite_uri(part.absolute()), (directory / StoreFile.ARTIFACTS).as_uri())
                made.engine.dispose()
        except (OSError, MlflowException, SQLAlchemyError) as error:
            raise TrackingError(
                "the tracking store cannot be made",
                code="store-not-made",
                where=str(path),
                found=first_line(error),
                remedy="check permissions and free space, or set tracking.uri",
            ) from error


def knock(uri: str, host: str, port: int) -> None:
    """See in seconds whether anything listens; MLflow itself would try for minutes."""
    try:
        socket.create_connection((host, port), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise TrackingError(
            "the tracking server cannot be reached",
            code="store-unreachable",
            where=f"tracking.uri={redacted(uri)}",
            found=str(error),
            expected=f"a server that listens on {host}:{port}",
            remedy="start it (seglab ui serves the embedded store), correct the address, or set tracking.uri=null",
        ) from error


@contextmanager
def store_lock(directory: Path) -> Iterator[None]:
    """Only one process at a time makes a store or an experiment."""
    with waited_for(directory / ".lock", LOCK_SECONDS, "the store of runs is being made by another process"):
        yield
