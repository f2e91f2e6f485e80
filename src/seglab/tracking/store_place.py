"""Where a store of runs lies, and whether one is there; all of it without MLflow, which takes seconds to load."""

from __future__ import annotations

import os
from pathlib import Path

from seglab.errors import TrackingError
from seglab.run_record import StoreFile
from seglab.safety.secrets import redacted
from seglab.tracking.sqlite_address import sqlite_file, sqlite_uri


def embedded_uri(directory: Path) -> str:
    """The address of the store in a folder of runs."""
    return sqlite_uri(directory.absolute() / StoreFile.DATABASE)


def check_there(uri: str | None, directory: Path) -> None:
    """Before something is looked up: a store that is a file exists. Nothing is made; a server is not asked.

    A folder that has lost its database, or is a broken link, is left to `open_store`, which says more.

    Raises:
        TrackingError: there is no store.
    """
    path = sqlite_file(embedded_uri(directory) if uri is None else uri)
    if path is None or path.exists() or directory.is_symlink() or (directory / StoreFile.ARTIFACTS).is_dir():
        return
    unread = os.environ.get("MLFLOW_TRACKING_URI", "")
    named = f"; MLFLOW_TRACKING_URI is not followed: tracking.uri={redacted(unread)}" if unread and uri is None else ""
    raise TrackingError(
        "no store of runs",
        code="store-missing",
        where=str(path.parent),
        found=f"no {path.name}",
        expected=f"{path.name}, which the first training run makes",
        remedy=f"train first (seglab train), go to the folder that holds mlruns/, or give tracking.uri=…{named}",
    )


def check_findable(reference: str | None, uri: str | None, directory: Path) -> None:
    """`check_there` for a model that is named by its run or in the registry, and not by a folder."""
    if reference is None or Path(reference).exists() or ("/" in reference and not reference.startswith("models:/")):
        return
    check_there(uri, directory)
