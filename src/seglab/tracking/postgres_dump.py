"""A database of PostgreSQL as one file, and back, by PostgreSQL's own programs; passwords go by the environment."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from seglab.errors import TrackingError
from seglab.safety.secrets import redacted
from seglab.tracking.databases import database_remedy
from seglab.tracking.drivers import driver_remedy


def is_postgres(uri: str) -> bool:
    """Whether an address is of a database of PostgreSQL."""
    return uri.partition("://")[0].partition("+")[0] in ("postgresql", "postgres")


def dump(uri: str, file: Path) -> None:
    """Write a database as it is at one moment, whoever writes to it meanwhile; raises `TrackingError`."""
    _call(uri, ["pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={file}"], [])


def load(uri: str, file: Path) -> None:
    """Put a dump into an empty database, all of it or nothing; raises `TrackingError`."""
    words = ["pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]
    _call(uri, words, [str(file)])


def tables_of(uri: str) -> list[str]:
    """The tables of a database; raises `TrackingError` where it lets nobody in."""
    with _asking(uri) as engine:
        return sorted(inspect(engine).get_table_names())


def facts_of(uri: str) -> tuple[str, int]:
    """The revision of MLflow's tables, and how many runs they hold; raises `TrackingError`."""
    with _asking(uri) as engine, engine.connect() as connection:
        revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return str(revision), int(connection.execute(text("SELECT count(*) FROM runs")).scalar() or 0)


@contextmanager
def _asking(uri: str) -> Iterator[Engine]:
    """An engine whose errors become `TrackingError`s."""
    try:
        engine = create_engine(uri)
    except ModuleNotFoundError as error:
        raise _failed(uri, str(error), driver_remedy(error)) from error
    try:
        yield engine
    except SQLAlchemyError as error:
        message = str(getattr(error, "orig", None) or error)
        raise _failed(uri, message, database_remedy(message, file=False)) from error
    finally:
        engine.dispose()


def _call(uri: str, words: list[str], rest: list[str]) -> None:
    url = make_url(uri)
    named = {"host": url.host, "port": url.port, "username": url.username, "dbname": url.database}
    where = [f"--{name}={value}" for name, value in named.items() if value is not None]
    password = {"PGPASSWORD": str(url.password)} if url.password is not None else {}
    try:
        done = subprocess.run(
            [words[0], "--no-password", *words[1:], *where, *rest],
            env={**os.environ, **password, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        remedy = "install PostgreSQL's client (Debian: apt install postgresql-client)"
        raise _failed(uri, f"no program {words[0]}", remedy) from error
    if done.returncode:
        message = " ".join(done.stderr.split()) or f"{words[0]} left with {done.returncode}"
        remedy = database_remedy(message, file=False)
        if "version mismatch" in message:
            remedy = "install the client of the server's version, or a later one"
        raise _failed(uri, message, remedy)


def _failed(uri: str, message: str, remedy: str) -> TrackingError:
    return TrackingError(
        "a database that cannot be copied",
        code="backup-failed",
        where=redacted(uri),
        found=message,
        expected="a database of PostgreSQL that answers, and its programs pg_dump and pg_restore",
        remedy=remedy,
    )
