"""MLflow itself, quiet and with patience measured in seconds. Everything here imports it from this module."""

from __future__ import annotations

import logging
import os
import warnings
from typing import Any

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
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SADeprecationWarning

from seglab.secrecy import redacted

logging.getLogger("alembic").setLevel(logging.WARNING)
logging.getLogger("mlflow").setLevel(logging.ERROR)
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", category=SADeprecationWarning, module="mlflow")

# Answers that will be the same tomorrow. Everything else may be a store that is away for a while.
_REFUSALS = frozenset(
    {
        "BAD_REQUEST",
        "INVALID_PARAMETER_VALUE",
        "INVALID_STATE",
        "PERMISSION_DENIED",
        "RESOURCE_ALREADY_EXISTS",
        "RESOURCE_DOES_NOT_EXIST",
        "UNAUTHENTICATED",
    }
)

__all__ = ["MlflowClient", "MlflowException", "client_of", "first_line", "mlflow", "refused", "served"]


def client_of(uri: str) -> MlflowClient:
    """A client of the store at this address."""
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def first_line(error: BaseException) -> str:
    """What an error says, in one line without passwords; its kind when it says nothing."""
    return redacted((str(error).strip().splitlines() or [type(error).__name__])[0][:300])


def served(uri: str) -> bool:
    """True for the address of a server of MLflow's, False for that of a database."""
    return uri.startswith(("http://", "https://", "databricks"))


def refused(error: BaseException) -> bool:
    """True when the store has understood and will not do it; False when trying again later may help."""
    if isinstance(error, MlflowException):
        return error.error_code in _REFUSALS
    response: Any = getattr(error, "response", None)
    if response is not None:  # of an upload, which does not speak MLflow's own protocol
        return 400 <= response.status_code < 500 and response.status_code not in (408, 429)
    return isinstance(error, FileNotFoundError)
