"""Stores as an older MLflow left them, made by MLflow's own migration scripts up to a revision of that time."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from pathlib import Path

import sqlalchemy
from alembic import command
from alembic.config import Config
from mlflow.store.tracking.dbmodels.initial_models import Base as FirstTables

from seglab.tracking.mlflow_client import mlflow

SCRIPTS = Path(mlflow.__file__).parent / "store" / "db_migrations"
# Of MLflow 1.0, of the first 2.x, and of the last 2.x, before models had tables of their own.
FIRST, MIDDLE, LATE = "451aebb31d03", "97727af70f4d", "0584bdc529eb"
RUN = "0123456789abcdef0123456789abcdef"


def make_old_store(directory: Path, revision: str = LATE) -> Path:
    """A database of that revision with one finished run; returns its file, `mlflow.db` in `directory`."""
    file = directory / "mlflow.db"
    directory.mkdir(parents=True, exist_ok=True)
    engine = sqlalchemy.create_engine(f"sqlite:///{file}")
    FirstTables.metadata.create_all(engine)
    settings = Config()
    settings.set_main_option("script_location", str(SCRIPTS))
    with engine.begin() as connection:
        settings.attributes["connection"] = connection
        command.upgrade(settings, revision)
    engine.dispose()
    home = (directory / "artifacts" / "seglab").as_uri()
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute(
            "insert into experiments (experiment_id, name, artifact_location, lifecycle_stage)"
            " values (1, ?, ?, 'active')",
            ("seglab", home),
        )
        database.execute(
            "insert into runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,"
            " end_time, source_version, lifecycle_stage, artifact_uri, experiment_id) values"
            " (?, 'Old', 'LOCAL', '', '', 'me', 'FINISHED', 1, 2, '', 'active', ?, 1)",
            (RUN, f"{home}/{RUN}/artifacts"),
        )
        database.execute("insert into tags (key, value, run_uuid) values ('mlflow.runName', 'Old', ?)", (RUN,))
    return file


def digest(file: Path) -> str:
    """Of every byte of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
