"""A store that was moved or copied, made to know where it is: the addresses in its database are absolute."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path
from shlex import quote

from mlflow.entities import ViewType

from seglab.errors import TrackingError
from seglab.run_record import StoreFile, WorkFile
from seglab.safety.untrusted_files import UnreadableFile
from seglab.tracking.outbox import read_address, write_address
from seglab.tracking.sqlite_address import sqlite_file
from seglab.tracking.store import Store

# Every column of MLflow's database that holds the address of an artifact.
ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def former_places(store: Store) -> list[Path]:
    """The folders, other than its own, in which an embedded store looks for its artifacts."""
    experiments = store.client.search_experiments(view_type=ViewType.ALL)
    return sorted({former for one in experiments if (former := store.moved_from(one.artifact_location)) is not None})


def relocate(store: Store) -> Path | None:
    """Let a moved store look for artifacts where it is now.

    All addresses are rewritten in one transaction, after a copy of the database was put beside it. Records that wait in
    outboxes are readdressed, too. Of a copied store the other one is not touched.

    Returns:
        The copy of the database; None when there was nothing to do.

    Raises:
        TrackingError: the artifacts were not moved along, or the store cannot be written to.
    """
    formers = former_places(store)
    if not formers or store.file is None:
        return None
    store.check_writable()
    artifacts = store.directory / StoreFile.ARTIFACTS
    if not artifacts.is_dir():
        raise TrackingError(
            "a store that was moved without its artifacts",
            code="store-moved",
            where=str(store.directory),
            found=f"no {artifacts.name}/; they were in {formers[0]}",
            remedy="copy them here first: "
            f"cp -r {quote(str(formers[0] / artifacts.name))} {quote(str(store.directory))}",
        )
    kept = store.file.with_name(f"{store.file.name}.{time.strftime('%Y%m%d-%H%M%S')}.backup")
    try:
        with contextlib.closing(sqlite3.connect(store.file)) as database:
            with contextlib.closing(sqlite3.connect(kept)) as copy:
                database.backup(copy)
            with database:
                for former in formers:
                    _readdress(database, former, store.directory)
    except sqlite3.Error as error:
        raise TrackingError(
            "the addresses in the store cannot be rewritten",
            code="store-addresses",
            where=str(store.file),
            found=str(error),
            expected="a database that nobody else writes to, and room for a copy of it",
            remedy="end the runs of this store, free some space, and try again",
        ) from error
    for address in store.directory.glob(f"runs/*/{WorkFile.OUTBOX}/address"):
        _readdress_outbox(address, formers, store)
    return kept


def _readdress(database: sqlite3.Connection, former: Path, here: Path) -> None:
    # MLflow keeps addresses with a scheme and, where it was given a path, without.
    for before, now in ((former.as_uri(), here.as_uri()), (str(former), str(here))):
        for table, column in ADDRESSES:
            database.execute(
                f"update {table} set {column} = ? || substr({column}, ?) where substr({column}, 1, ?) = ?",
                (now, len(before) + 1, len(before) + 1, before + "/"),
            )


def _readdress_outbox(address: Path, formers: list[Path], store: Store) -> None:
    assert store.file is not None
    with contextlib.suppress(OSError, UnreadableFile):  # seglab sync tells of one that was damaged
        run_id, uri = read_address(address.parent)
        if sqlite_file(uri) in {former / store.file.name for former in formers}:
            write_address(address.parent, run_id, store.uri)
