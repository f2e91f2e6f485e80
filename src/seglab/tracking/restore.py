"""A backup put in place: into an empty folder of runs, or an empty database and an empty folder of artifacts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seglab.errors import TrackingError
from seglab.run_record import StoreFile
from seglab.runtime.atomic_files import put, telling_unwritable
from seglab.runtime.file_digest import sha256_of
from seglab.safety.secrets import redacted
from seglab.safety.untrusted_files import UnreadableFile, read_json
from seglab.tracking.backup import FORMAT, WORK, Backup
from seglab.tracking.backup_files import CARD, DUMP, Progress, damaged, read_sums, take

# The database last: a store is seen when it is whole.
_FILES = (StoreFile.PROMOTIONS, StoreFile.DATABASE)
_STAGE = ".restored.part"


def restore(backup: Path, directory: Path, uri: str | None, artifacts: Path | None, progress: Progress) -> Backup:
    """Put a backup in place, every digest checked before; addresses in an embedded store are made to fit its new place.

    Args:
        backup: the folder that `make_backup` made.
        directory: the folder of runs to fill; made when missing.
        uri: of the empty database of PostgreSQL, for a backup of one; None for one of SQLite.
        artifacts: the folder for artifacts; None for the one in `directory`.
        progress: called with how many files of how many are checked and copied.

    Raises:
        TrackingError: no backup or a damaged one, a target that holds something, no room; then nothing is put in place.
    """
    card = read_card(backup)
    sums = read_sums(backup)
    if sums.get(CARD) != sha256_of(backup / CARD):
        raise damaged(backup / CARD, "another digest than is listed", str(sums.get(CARD)))
    _check_kind(backup, card, uri)
    artifacts = directory / StoreFile.ARTIFACTS if artifacts is None else artifacts
    for goal in (artifacts, directory / WORK, *(directory / name for name in _FILES)):
        _check_empty(goal)
    if uri is not None:
        _check_empty_database(uri)
    from seglab.tracking.store_making import store_lock

    with telling_unwritable(directory, "free some space, or choose another folder: runs=…"):
        directory.mkdir(parents=True, exist_ok=True)
        with store_lock(directory), _staged(artifacts) as for_artifacts, _staged(directory) as others:
            for number, (name, digest) in enumerate(sums.items(), 1):
                top, _, rest = name.partition("/")
                if name != CARD:
                    take(backup, name, digest, for_artifacts / rest if top == StoreFile.ARTIFACTS else others / name)
                progress(number, len(sums))
            if uri is not None:
                from seglab.tracking.postgres_dump import load

                load(uri, others / DUMP)
            for made in for_artifacts.iterdir():
                put(made, artifacts / made.name)
            for name in (WORK, *_FILES):
                if (others / name).exists():
                    put(others / name, directory / name)
    if uri is None:
        _readdress(directory)
    return card


def read_card(backup: Path) -> Backup:
    """What a backup says of itself; raises `TrackingError` where there is none, or one of a later version."""
    if not (backup / CARD).is_file():
        raise TrackingError(
            "no backup",
            code="backup-missing",
            where=f"from={backup}",
            found="a folder without backup.json" if backup.is_dir() else "no such folder",
            expected="a folder that seglab backup made",
            remedy="name that folder; one that a killed backup left ends in .part, and is none",
        )
    try:
        fields = read_json(backup / CARD)
        card = Backup(**fields)
        texts, numbers = (card.database, card.revision, card.made), (card.format, card.runs, card.files, card.bytes)
        if not (all(isinstance(one, str) for one in texts) and all(type(one) is int for one in numbers)):
            raise TypeError("a value of another kind")
    except (UnreadableFile, TypeError) as error:
        raise damaged(backup / CARD, str(error), "what seglab backup writes") from error
    if card.format != FORMAT:
        raise damaged(backup / CARD, f"format {card.format}", f"format {FORMAT}; a later seglab may read it")
    return card


def _check_kind(backup: Path, card: Backup, uri: str | None) -> None:
    from seglab.tracking.postgres_dump import is_postgres

    wanted = "sqlite" if uri is None else "postgresql" if is_postgres(uri) else "another kind"
    if wanted != card.database:
        raise TrackingError(
            "a backup of another kind of database",
            code="backup-other-database",
            where=f"from={backup}",
            found=card.database,
            expected="a backup of SQLite for a folder of runs, one of PostgreSQL for tracking.uri=postgresql+psycopg://…",
            remedy="say tracking.uri=postgresql+psycopg://<user>@<host>/<an empty database>"
            if card.database == "postgresql"
            else "leave tracking.uri away, and name a new folder: runs=…",
        )


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A folder within one, which may be a volume, to fill before anything is put in place."""
    part = folder / _STAGE
    shutil.rmtree(part, ignore_errors=True)  # of a restore that was killed
    try:
        part.mkdir(parents=True)
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _check_empty(goal: Path) -> None:
    if not goal.exists() or (goal.is_dir() and all(one.name == _STAGE for one in goal.iterdir())):
        return
    raise _occupied(str(goal), "a folder that is not empty" if goal.is_dir() else "a file", "runs=<a new folder>")


def _check_empty_database(uri: str) -> None:
    from seglab.tracking.postgres_dump import tables_of

    tables = tables_of(uri)
    if tables:
        raise _occupied(
            redacted(uri), f"tables {', '.join(tables[:3])} and so on", "make a new database: createdb <name>"
        )


def _occupied(where: str, found: str, remedy: str) -> TrackingError:
    return TrackingError(
        "a backup is not put over runs that are there",
        code="restore-occupied",
        where=where,
        found=found,
        expected="nothing",
        remedy=remedy,
    )


def _readdress(directory: Path) -> None:
    """Let the store look for artifacts where it is now; the copy of the database that this keeps is the backup's."""
    from seglab.tracking.repair_paths import relocate
    from seglab.tracking.store import open_store

    kept = relocate(open_store(None, directory))
    if kept is not None:
        kept.unlink(missing_ok=True)
