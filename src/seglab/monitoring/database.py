"""The database that rows are kept in: a file of SQLite, or PostgreSQL where an address is given."""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from json import JSONDecodeError
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from seglab.errors import ConfigError, DataError
from seglab.monitoring.schema import VERSION, VERSION_TABLE, migrations, statements
from seglab.safety.secrets import redacted

DEFAULT = "monitoring/rows.db"
_ADDRESS = re.compile(r"[a-z][a-z0-9+]*://")
_PATIENCE = 5.0  # seconds that another process may write, or that a database server may take to let one in
_LOCK = 0x5E61AB  # number of the lock of PostgreSQL that the tables are made under


Changes = Sequence[tuple[str, Sequence[Mapping[str, Any]]]]
Ask = Callable[[str], list[Sequence[Any]]]


class Database(Protocol):
    """What is asked of it; statements name their values as `:name`.

    Attributes:
        identity: its own word for a column that counts rows.
        whole: and for the whole part of a number that is not below 0.
        version: of the rows that are there.
    """

    identity: str
    whole: str
    version: int

    def write(self, changes: Changes) -> None:
        """Do each statement for each of its rows, all of them or none."""

    def alone(self, change: Callable[[Ask], None]) -> None:
        """Do a change, all of it or nothing, while no other process does one so; what it is given does a statement."""

    def ask(self, statement: str, **values: Any) -> list[Sequence[Any]]:
        """The rows of an answer."""

    def close(self) -> None:
        """End the connection."""


def opened(place: str, *, write: bool = False) -> Database:
    """The database of a place.

    Args:
        place: a file, or an address of PostgreSQL as SQLAlchemy spells it.
        write: make it, with its folder, where it is not there.

    Raises:
        ConfigError: there is none to read; a driver that is missing.
        DataError: of a later version.
        Exception: whatever else the database says.
    """
    database: Database = _OfAddress(place) if _ADDRESS.match(place) else _file(Path(place), write)
    try:
        if write:
            database.alone(partial(_prepare, identity=database.identity))
        database.version = _version(database, place)
    except BaseException:
        database.close()
        raise
    return database


def _prepare(ask: Ask, identity: str) -> None:
    """Make the tables that are missing, and turn those of a former version into the present ones."""
    for statement in statements(identity):
        ask(statement)
    ((found,),) = ask(f"SELECT max(version) FROM {VERSION_TABLE}")
    if found is None:
        ask(f"INSERT INTO {VERSION_TABLE} (version) VALUES ({VERSION})")
    elif found < VERSION:
        for statement in migrations(found):
            ask(statement)
        ask(f"UPDATE {VERSION_TABLE} SET version = {VERSION}")


@contextmanager
def reading(place: str) -> Iterator[Database]:
    """The database of a place, to be asked.

    Raises:
        ConfigError: there is none; a driver that is missing.
        DataError: of a later version, or none that can be read: another file, no table of rows, nobody who answers.
    """
    try:
        with closing(opened(place)) as database:
            yield database
    except _families() as error:
        raise DataError(
            "rows that cannot be read",
            code="rows-unreadable",
            where=redacted(place),
            found=redacted(f"{type(error).__name__}: {error}".splitlines()[0])[:200],
            expected="the database that a service writes",
            remedy="give the one that seglab serve names: rows=…",
        ) from error


def _families() -> tuple[type[Exception], ...]:
    """What databases raise, and what JSON in a row does; of SQLAlchemy only where it was loaded."""
    alchemy = sys.modules.get("sqlalchemy.exc")
    return (sqlite3.Error, JSONDecodeError) + ((alchemy.SQLAlchemyError,) if alchemy else ())


def _version(database: Database, place: str) -> int:
    ((found,),) = database.ask(f"SELECT max(version) FROM {VERSION_TABLE}")
    if found is None or found > VERSION:
        raise DataError(
            "rows of a later seglab",
            code="rows-version",
            where=redacted(place),
            found=f"version {found}",
            expected=f"version {VERSION}",
            remedy="use the seglab that wrote them, or give another file: rows=…",
        )
    return int(found)


def _file(path: Path, write: bool) -> Database:
    if write:
        path.parent.mkdir(parents=True, exist_ok=True)
    elif not path.is_file():
        raise ConfigError(
            "no rows of a service here",
            code="rows-missing",
            where=str(path),
            found="no such file",
            expected="the file that a service writes",
            remedy="seglab serve … rows=<file> writes one; the default is " + DEFAULT,
        )
    return _OfFile(path, write)


class _OfFile:
    identity, whole, version = "INTEGER PRIMARY KEY", "CAST({} AS INTEGER)", VERSION

    def __init__(self, path: Path, write: bool):
        address = f"file:{quote(str(path.absolute()))}?mode={'rwc' if write else 'ro'}"
        self._connection = sqlite3.connect(
            address, uri=True, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
        )
        if write:
            with closing(self._connection.cursor()) as cursor:
                cursor.execute("PRAGMA journal_mode=WAL")
                cursor.execute("PRAGMA synchronous=NORMAL")

    def write(self, changes: Changes) -> None:
        with self._alone() as cursor:
            for statement, rows in changes:
                cursor.executemany(statement, rows)

    def alone(self, change: Callable[[Ask], None]) -> None:
        with self._alone() as cursor:
            change(lambda statement: cursor.execute(statement).fetchall())

    @contextmanager
    def _alone(self) -> Iterator[sqlite3.Cursor]:
        with closing(self._connection.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
                cursor.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    cursor.execute("ROLLBACK")
                raise

    def ask(self, statement: str, **values: Any) -> list[Sequence[Any]]:
        with closing(self._connection.execute(statement, values)) as cursor:
            return cursor.fetchall()

    def close(self) -> None:
        self._connection.close()


class _OfAddress:
    version = VERSION

    def __init__(self, address: str):
        import sqlalchemy

        self._text = sqlalchemy.text
        self.identity, self.whole = "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY", "FLOOR({})"  # a cast rounds
        if address.startswith("sqlite"):
            self.identity, self.whole = _OfFile.identity, _OfFile.whole
        try:
            self._engine = sqlalchemy.create_engine(address, pool_pre_ping=True, connect_args=_bounded(address))
        except ModuleNotFoundError as error:
            raise ConfigError(
                "a database whose driver is not installed",
                code="database-driver",
                where=redacted(address),
                found=f"no module {error.name}",
                remedy="pip install 'psycopg[binary]', and begin the address with postgresql+psycopg://",
            ) from error

    def write(self, changes: Changes) -> None:
        with self._engine.begin() as connection:
            for statement, rows in changes:
                connection.execute(self._text(statement), [dict(row) for row in rows])

    def alone(self, change: Callable[[Ask], None]) -> None:
        with self._engine.begin() as connection:
            if self._engine.dialect.name == "postgresql":  # where two that make the same table fail
                connection.execute(self._text(f"SELECT pg_advisory_xact_lock({_LOCK})"))

            def ask(statement: str) -> list[Sequence[Any]]:
                found = connection.execute(self._text(statement))
                return [tuple(row) for row in found] if found.returns_rows else []

            change(ask)

    def ask(self, statement: str, **values: Any) -> list[Sequence[Any]]:
        with self._engine.connect() as connection:
            return [tuple(row) for row in connection.execute(self._text(statement), values)]

    def close(self) -> None:
        self._engine.dispose()


def _bounded(address: str) -> dict[str, Any]:
    """So that a server which has gone away is known to be: seconds until a connection, and until what is on its way
    is acknowledged."""
    if not address.startswith(("postgresql:", "postgresql+psycopg")):
        return {}
    return {"connect_timeout": int(_PATIENCE), "tcp_user_timeout": int(_PATIENCE * 1000)}
