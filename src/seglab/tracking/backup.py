"""A copy of the store of runs and its artifacts, as they are at one moment, while runs go on.

The database comes first and the files after it: what the database knows is among the files, and a file that came later
does no harm. A backup is a folder:

    backup.json                     what it is of, when, by which version
    SHA256SUMS                      of every other file, for `sha256sum -c SHA256SUMS`
    mlflow.db or mlflow.dump        the database
    artifacts/ runs/ promotions.jsonl
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from seglab.errors import TrackingError
from seglab.run_record import StoreFile
from seglab.runtime.atomic_files import folder, telling_unwritable, write_bytes, write_json
from seglab.runtime.file_digest import sha256_of
from seglab.safety.secrets import redacted
from seglab.tracking.backup_files import CARD, DUMP, SUMS, Progress, copied, files_below, sums_content
from seglab.tracking.sqlite_address import sqlite_file, sqlite_uri

FORMAT = 1
WORK = "runs"
"""Folder of what runs keep on this machine: states of training, records that wait."""
_BUSY_SECONDS = 60.0
_NO_CONTENT = (".part", ".lock")


@dataclass(frozen=True)
class Backup:
    """What a backup holds.

    Attributes:
        format: of the folder.
        database: `sqlite` or `postgresql`.
        revision: of MLflow's tables.
        runs: how many the database holds.
        files, bytes: of all that `SHA256SUMS` lists.
        made: when, in UTC.
        seglab: the version that made it.
    """

    format: int
    database: str
    revision: str
    runs: int
    files: int
    bytes: int
    made: str
    seglab: str


def make_backup(out: Path, directory: Path, uri: str | None, artifacts: Path | None, progress: Progress) -> Backup:
    """Copy a store.

    Args:
        out: the folder to make; none of that name, or an empty one.
        directory: the local folder of runs, normally `mlruns/`.
        uri: the address of the database; None for the embedded one, `mlflow.db` in `directory`.
        artifacts: folder that the artifacts lie in; None for the one in `directory`.
        progress: called with how many files of how many are copied.

    Raises:
        TrackingError: `out` is not empty, there is no such store, it cannot be read, or the disk is full; nothing
            half-made is left.
    """
    uri = sqlite_uri((directory / StoreFile.DATABASE).absolute()) if uri is None else uri
    artifacts = directory / StoreFile.ARTIFACTS if artifacts is None else artifacts
    _check(out, uri, artifacts)
    sources = [(StoreFile.ARTIFACTS, artifacts), (WORK, directory / WORK)]
    inside = next((name for name, place in sources if out.resolve().is_relative_to(place.resolve())), None)
    if inside:
        raise _exists(out, f"a folder of {inside}, which would be copied into itself", "a folder elsewhere")
    sums: dict[str, str] = {}
    size = 0
    with (
        telling_unwritable(out, "free some space, or choose another folder: out=…"),
        folder(out, replace=False) as part,
    ):
        name, revision, runs = _database(uri, part)
        sums[name], size = sha256_of(part / name), (part / name).stat().st_size
        waiting = [(kind, place, file) for kind, place in sources for file in files_below(place, _passing)]
        if (directory / StoreFile.PROMOTIONS).is_file():
            sums[StoreFile.PROMOTIONS] = copied(directory / StoreFile.PROMOTIONS, part / StoreFile.PROMOTIONS)
        for number, (kind, place, file) in enumerate(waiting, 1):
            named = f"{kind}/{file}"
            with contextlib.suppress(FileNotFoundError):  # removed while this went on
                sums[named] = copied(place / file, part / named)
                size += (part / named).stat().st_size
            progress(number, len(waiting))
        kind = "sqlite" if name == StoreFile.DATABASE else "postgresql"
        made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        backup = Backup(FORMAT, kind, revision, runs, len(sums), size, made, version("seglab"))
        write_json(part / CARD, asdict(backup), indent=1)
        sums[CARD] = sha256_of(part / CARD)
        write_bytes(part / SUMS, sums_content(sums))
    return backup


def _check(out: Path, uri: str, artifacts: Path) -> None:
    from seglab.tracking.postgres_dump import is_postgres

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise _exists(
            out, "a file" if out.is_file() else "a folder that is not empty", "a folder that is not there yet"
        )
    file = sqlite_file(uri)
    if file is None and not is_postgres(uri):
        raise TrackingError(
            "a backup of a store whose database is out of reach here",
            code="backup-of-server",
            where=f"tracking.uri={redacted(uri)}",
            found="a server" if uri.startswith("http") else "another kind of database",
            expected="the database that the server keeps its runs in: postgresql+psycopg://… or sqlite:///…",
            remedy="run this where that database is reached, with artifacts=<its folder of artifacts>; or take "
            "the runs of a study through the server: seglab runs export <folder> study=<name>",
        )
    if file is not None and not file.is_file():
        raise TrackingError(
            "no store of runs",
            code="store-missing",
            where=str(file.parent),
            found=f"no {file.name}",
            expected="the database of the runs",
            remedy="go to the folder that holds mlruns/, or name it: runs=… or tracking.uri=…",
        )
    if not artifacts.is_dir() and file is None:
        raise TrackingError(
            "a backup without the artifacts",
            code="backup-without-artifacts",
            where="artifacts",
            found=f"no folder {artifacts}",
            expected="the folder that holds the artifacts of the runs in this database",
            remedy="artifacts=<folder>; MLflow's server calls it --artifacts-destination",
        )


def _exists(out: Path, found: str, expected: str) -> TrackingError:
    return TrackingError(
        "a backup is not written over what is there",
        code="backup-exists",
        where=f"out={out}",
        found=found,
        expected=expected,
        remedy=f"name another, such as out=backup-{time.strftime('%Y%m%d-%H%M%S')}",
    )


def _database(uri: str, part: Path) -> tuple[str, str, int]:
    """Write the database into the backup: the name of the file, the revision, the number of runs."""
    source = sqlite_file(uri)
    if source is None:
        from seglab.tracking.postgres_dump import dump, facts_of

        dump(uri, part / DUMP)
        return DUMP, *facts_of(uri)
    name = StoreFile.DATABASE
    try:
        with (
            contextlib.closing(
                sqlite3.connect(f"{source.as_uri()}?mode=rw", uri=True, timeout=_BUSY_SECONDS)
            ) as database,
            contextlib.closing(sqlite3.connect(part / name)) as copy,
        ):
            database.backup(copy)  # in one step: whoever writes waits
            copy.execute("PRAGMA journal_mode=DELETE")
            result = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
            if result != "ok":
                raise sqlite3.DatabaseError(result)
            revision = copy.execute("SELECT version_num FROM alembic_version").fetchone()[0]
            runs = copy.execute("SELECT count(*) FROM runs").fetchone()[0]
    except sqlite3.Error as error:
        if "full" in str(error):
            raise OSError(28, "No space left on device", str(part / name)) from error
        raise TrackingError(
            "a database that cannot be copied",
            code="backup-failed",
            where=str(source),
            found=str(error),
            expected="a database of MLflow that can be read",
            remedy="end what writes to it; seglab doctor reports its health",
        ) from error
    return name, str(revision), int(runs)


def _passing(name: str) -> bool:
    """Whether a file is about to become another, or belongs to a process."""
    return name.endswith(_NO_CONTENT)
