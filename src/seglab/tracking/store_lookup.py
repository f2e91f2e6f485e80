"""Opening a store to look something up, and asking it before anything that takes long."""

from __future__ import annotations

from pathlib import Path

from seglab.tracking.sqlite_address import sqlite_file
from seglab.tracking.store import Store, open_store
from seglab.tracking.store_place import check_there, embedded_uri


def open_existing(uri: str | None, directory: Path) -> Store:
    """`open_store` for what only looks something up: a store that is not there is not made.

    Raises:
        TrackingError: there is none; else as `open_store`.
    """
    check_there(uri, directory)
    return open_store(uri, directory)


def check_beforehand(uri: str | None, directory: Path, needed: str | None = None) -> None:
    """Before anything that takes long: the server or database answers, a store that is there can be written, and the
    run whose id is `needed` is in it.

    A store in a file that does not exist yet is left to `open_store`.

    Raises:
        TrackingError: as `open_store`, `Store.check_writable` and `Store.run`.
    """
    path = sqlite_file(embedded_uri(directory) if uri is None else uri)
    if needed is not None or path is None or path.exists():
        store = open_existing(uri, directory) if needed is not None else open_store(uri, directory)
        store.check_writable()
        if needed is not None:
            store.run(needed)
