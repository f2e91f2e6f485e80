"""What MLflow or a database said, as a message with a remedy."""

from __future__ import annotations

from sqlalchemy.exc import SQLAlchemyError

from seglab.errors import TrackingError, no_room
from seglab.safety.secrets import redacted
from seglab.tracking.databases import database_remedy
from seglab.tracking.drivers import driver_remedy
from seglab.tracking.mlflow_client import (
    CREDENTIALS,
    MlflowException,
    first_line,
    locked_out,
    served,
)
from seglab.tracking.sqlite_address import sqlite_file


def failure(uri: str, error: Exception) -> TrackingError:
    """What MLflow or the database said, with what to do about it."""
    text = first_line(error)
    if "out-of-date database schema" in text and not served(uri):
        from seglab.tracking.schema_version import other_revision, revision_of

        return other_revision(uri, revision_of(uri))
    if no_room(error) or (not served(uri) and isinstance(error, OSError)):
        return TrackingError(
            "no room for what is to be recorded" if no_room(error) else "the store of runs cannot be written to",
            code="no-room" if no_room(error) else "store-unwritable",
            where=f"tracking.uri={redacted(uri)}",
            found=text,
            expected="free space and free inodes" if no_room(error) else "a place that can be read and written",
            remedy="make room there, then start again" if no_room(error) else "restore the place, then start again",
        )
    remedy = "start the server, set tracking.uri to one that runs, or tracking.uri=null for the store in mlruns/"
    if isinstance(error, ModuleNotFoundError):
        remedy = driver_remedy(error)
    elif "unsupported URI" in text:
        remedy = "install MLflow's plug-in for such addresses (azureml://…: pip install azureml-mlflow), or "
        remedy += "say one of http://…, sqlite:///…, postgresql://…, mysql://…, or null for the store in mlruns/"
    elif "load plugin: sqlalchemy" in text:
        remedy = "say one of http://…, sqlite:///…, postgresql://…, mysql://…, or null for the store in mlruns/"
    elif "readonly database" in text:
        remedy = "make it writable once: a process that was killed has left something to be undone"
    elif not served(uri) and isinstance(error, (SQLAlchemyError, MlflowException)):
        remedy = database_remedy(text, file=sqlite_file(uri) is not None)
    elif locked_out(error):
        remedy = CREDENTIALS
    return TrackingError(
        "the tracking store does not work",
        code="store-broken",
        where=f"tracking.uri={redacted(uri)}",
        found=text,
        expected="an answer",
        remedy=remedy,
    )
