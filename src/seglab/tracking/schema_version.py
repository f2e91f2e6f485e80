"""Is a database of the same age as this MLflow, which by itself would bring an older one to its own unasked?"""

from __future__ import annotations

import sqlite3
import sys
from importlib.metadata import version
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from mlflow.store.db import utils as databases
from sqlalchemy import Engine, create_engine, inspect

from seglab.errors import TrackingError
from seglab.safety.secrets import redacted
from seglab.tracking.mlflow_client import mlflow
from seglab.tracking.sqlite_address import sqlite_file

_RUNS_TABLE = "runs"  # MLflow has had it since its first database
_BOOKKEEPING = "alembic_"
_BUSY_SECONDS = 20.0  # as MLflow itself waits for another process that writes


def check_revision(uri: str) -> None:
    """See that MLflow will open a database as it is; nothing is written to it.

    MLflow refuses a database of another revision unless that lacks a table of its own, as those of most older versions
    do: then it takes it for a new one and changes it for good, without a copy. So such a one stops here. An empty
    database passes.

    Args:
        uri: `sqlite:///<file that exists>`, `postgresql://…` and the like; no server of MLflow's.

    Raises:
        TrackingError: the database is of another MLflow, or of another program.
        sqlalchemy.exc.SQLAlchemyError: it cannot be read.
    """
    engine = _engine(uri)
    try:
        tables = {name for name in inspect(engine).get_table_names() if not name.startswith(_BOOKKEEPING)}
        if not tables or tables >= set(databases.Base.metadata.tables):
            return
        if _RUNS_TABLE not in tables:
            raise TrackingError(
                "a database of another program",
                code="store-other-program",
                where=f"tracking.uri={redacted(uri)}",
                found=f"tables {', '.join(sorted(tables)[:5])}",
                expected="MLflow's, or none",
                remedy="give the tracking store a database of its own",
            )
        with engine.connect() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()
    raise other_revision(uri, found)


def other_revision(uri: str, found: str | None) -> TrackingError:
    """What to say of a database of MLflow's at another revision than this MLflow's, and what to do about it."""
    scripts = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    head, here = scripts.get_current_head(), f"MLflow {version('mlflow')}"
    older = found is None or any(found == script.revision for script in scripts.walk_revisions())
    address = redacted(uri)
    if older:
        what, code, file = "a store of runs that an older MLflow made", "store-older", sqlite_file(uri)
        copy = f"cp '{file}' '{file}.backup'" if file else "back the database up"
        remedy = f"end what writes to it, {copy}, then: {sys.executable} -m mlflow db upgrade '{address}'"
    else:
        what, code = "a store of runs that a newer MLflow made", "store-newer"
        remedy = f"use the MLflow that made it, or a later one; this is {version('mlflow')}"
    return TrackingError(
        what,
        code=code,
        where=f"tracking.uri={address}",
        found=f"revision {found or 'none'}",
        expected=f"revision {head}, which {here} reads; it was left as it is",
        remedy=remedy,
    )


def revision_of(uri: str) -> str | None:
    """The revision that a database says it has."""
    engine = _engine(uri)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def _engine(uri: str) -> Engine:
    """A SQLite file must be there: looking for it does not make it. It may be written to in so far as that undoes what
    a killed process has left half done; without that nobody could read it."""
    file = sqlite_file(uri)
    if file is None:
        return create_engine(uri)
    address = f"{file.as_uri()}?mode=rw"
    return create_engine("sqlite://", creator=lambda: sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS))
