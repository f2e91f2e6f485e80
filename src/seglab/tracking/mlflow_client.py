"""MLflow itself, quiet and with patience measured in seconds. Everything here imports it from this module."""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from typing import Any
from urllib.parse import urlsplit

# MLflow reads these when it is imported. By default it reports its use over the network, prints an address at the end
# of every run, and tries a server that is gone for several minutes.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

import mlflow
import mlflow.entities
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException
from sqlalchemy.exc import DataError, IntegrityError, SADeprecationWarning

from seglab.safety.secrets import redacted
from seglab.safety.shown_text import shown

logging.getLogger("alembic").setLevel(logging.WARNING)
logging.getLogger("mlflow").setLevel(logging.ERROR)
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # shows a traceback of what it raises anyway
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", category=SADeprecationWarning, module="mlflow")

# Answers about the record itself, which will be the same tomorrow. Everything else may pass: a store that is away, a
# password that has run out, a proxy that knows nothing of MLflow.
_REFUSALS = frozenset(
    {
        "BAD_REQUEST",
        "INVALID_PARAMETER_VALUE",
        "INVALID_STATE",
        "RESOURCE_ALREADY_EXISTS",
        "RESOURCE_DOES_NOT_EXIST",
    }
)
# Of an upload, whose answers have no code of MLflow's: too large, or of a kind that is not taken.
_UPLOAD_REFUSALS = frozenset({411, 413, 414, 415, 422, 431})
_DATABASES = frozenset({"", "file", "mssql", "mysql", "postgresql", "sqlite"})
_LOCKED_OUT = frozenset({"CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED", "UNAUTHENTICATED"})
_LOCKED_OUT_STATUS = frozenset({401, 403, 407})
CREDENTIALS = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"

__all__ = [
    "CREDENTIALS",
    "MlflowClient",
    "MlflowException",
    "client_of",
    "first_line",
    "locked_out",
    "mlflow",
    "refused",
    "say",
    "served",
]


def client_of(uri: str) -> MlflowClient:
    """A client of the store at this address."""
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def first_line(error: BaseException) -> str:
    """What an error says, in one line without passwords; its kind when it says nothing."""
    return redacted((str(error).strip().splitlines() or [type(error).__name__])[0][:300])


def served(uri: str) -> bool:
    """True for the address of a server or plug-in of MLflow's (`azureml://…`, `databricks`), which keeps the artifacts
    too and knows its own tables; False for that of a database."""
    return uri == "databricks" or urlsplit(uri).scheme.partition("+")[0] not in _DATABASES


def refused(error: BaseException) -> bool:
    """True when the store has understood and will not do it; False when trying again later may help."""
    if isinstance(error, MlflowException):
        if error.error_code == "BAD_REQUEST" and not isinstance(error, RestException):
            # A proxy's own 400, or an error of the database: only of the record if it is about the record's values.
            return isinstance(error.__cause__, (DataError, IntegrityError))
        return error.error_code in _REFUSALS
    response: Any = getattr(error, "response", None)
    if response is not None:
        return response.status_code in _UPLOAD_REFUSALS or _code(response) in _REFUSALS
    return isinstance(error, FileNotFoundError)


def locked_out(error: BaseException) -> bool:
    """True when a server asks for a name, password or token, or says that these may not do it."""
    if isinstance(error, MlflowException):
        return error.error_code in _LOCKED_OUT
    return getattr(getattr(error, "response", None), "status_code", None) in _LOCKED_OUT_STATUS


def say(text: str) -> None:
    """One line for the user, apart from what the program answers."""
    print(f"tracking: {shown(redacted(text))}", file=sys.stderr, flush=True)


def _code(response: Any) -> str:
    """The code of MLflow's in the answer to an upload; empty when another program has answered."""
    try:
        body = json.loads(response.text)
    except (ValueError, RecursionError):
        return ""
    return str(body.get("error_code", "")) if isinstance(body, dict) else ""
