"""What a run has to tell, on disk until the store has taken it. Training never waits for the store.

Every operation is a file of its own, `<number>.json`, with an optional folder `<number>.files` beside it. A file that
is there is whole, and it goes away when it was carried out; so a process can be killed at any time, and another can
carry on with what it left.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import filelock
from sqlalchemy.exc import SQLAlchemyError

from seglab.errors import TrackingError
from seglab.run_record import WorkFile
from seglab.runtime.atomic_files import write_json
from seglab.safety.untrusted_files import UnreadableFile, read_json
from seglab.tracking import operations
from seglab.tracking.mlflow_client import (
    CREDENTIALS,
    MlflowClient,
    MlflowException,
    client_of,
    first_line,
    locked_out,
    refused,
    say,
    served,
)
from seglab.tracking.operations import Operation
from seglab.tracking.sqlite_address import sqlite_file

REFUSED = "refused"
_RESERVE = "end.reserve"
_END_BYTES = 4096


class Outbox:
    """The operations of one run that wait on disk, in order.

    Args:
        directory: where they lie; made when missing.
        run_id: the run.
        uri: address of the store.
    """

    def __init__(self, directory: Path, run_id: str, uri: str):
        self.directory, self.run_id, self.uri = directory, run_id, uri
        directory.mkdir(parents=True, exist_ok=True)
        if not (directory / "address").exists():
            write_address(directory, run_id, uri)
        self._lock = threading.Lock()
        self._next = max([int(path.stem) for path in _records(directory)], default=-1) + 1
        self.added = threading.Event()

    @classmethod
    def found(cls, directory: Path) -> Outbox:
        """The outbox that some other process has left in a folder.

        Raises:
            OSError, Unreadable: whose it is cannot be read any more.
        """
        run_id, uri = read_address(directory)
        return cls(directory, run_id, uri)

    def add(self, operation: Operation, attach: Callable[[Path], None] | None = None) -> None:
        """Put an operation on disk; `attach` fills the folder that goes with it."""
        with self._lock:
            number = f"{self._next:08d}"
            self._next += 1
            folder = self.directory / f"{number}.files"
            try:
                if attach is not None:
                    folder.mkdir()
                    attach(folder)
                write_json(self.directory / f"{number}.json", operation, sole=True)
            except OSError as error:
                shutil.rmtree(folder, ignore_errors=True)
                raise self._unkept(error) from error
        self.added.set()

    def _unkept(self, error: OSError) -> TrackingError:
        here = self.directory.exists()
        return TrackingError(
            "records of the run cannot be kept on disk" if here else "the folder of the run was removed while it ran",
            code="run-folder-unwritable" if here else "run-folder-removed",
            where=str(self.directory),
            found=error.strerror or str(error),
            expected="room until the tracking store has taken it",
            remedy=f"make room, then go on with: seglab train resume={self.run_id}"
            if here
            else "start the run again, and leave the folder of runs in its place",
        )

    def reserve_end(self) -> None:
        """Take the room that the record of the end will need, for the time when a disk is full."""
        (self.directory / _RESERVE).write_text(" " * _END_BYTES)

    def add_end(self, operation: Operation) -> None:
        """Put the end on disk, in the room that was reserved for it: it needs no block and no inode more."""
        text = json.dumps(operation)
        reserve = self.directory / _RESERVE
        with self._lock:
            with open(reserve, "r+") as file:
                file.write(text[:_END_BYTES].ljust(_END_BYTES))
            os.replace(reserve, self.directory / f"{self._next:08d}.json")
            self._next += 1
        self.added.set()

    def waiting(self) -> list[Path]:
        """Files of the operations that wait, oldest first."""
        return _records(self.directory)

    def deliver(self, client: MlflowClient) -> None:
        """Carry out what waits, in order.

        What the store refuses is put into `refused/` with its reason, and told on stderr; the rest goes on.

        Raises:
            MlflowException, OSError: the store does not answer; what is left waits on.
        """
        for path in self.waiting():
            attachment = path.with_suffix(".files")
            try:
                operation: Operation = read_json(path)
            except (UnreadableFile, IsADirectoryError) as error:  # a disk that lost what was written to it
                self._refuse(path, error)
                continue
            try:
                try:
                    operations.apply(client, self.run_id, operation, attachment if attachment.is_dir() else None)
                finally:
                    # Notes made on the way, such as the id of a model that is half uploaded.
                    write_json(path, operation, sole=True)
            except Exception as error:
                # Whatever cannot be delivered must not hold up the rest, above all not the end of the run.
                if away(error):
                    raise
                self._refuse(path, error)
                continue
            path.unlink()
            shutil.rmtree(attachment, ignore_errors=True)

    def _refuse(self, path: Path, error: Exception) -> None:
        reason = first_line(error)
        aside = self.directory / REFUSED
        aside.mkdir(exist_ok=True)
        for one in (path, path.with_suffix(".files")):
            if one.exists():
                os.replace(one, aside / one.name)
        (aside / f"{path.stem}.reason").write_text(reason)
        say(f"a record of run {self.run_id} was refused by the tracking store and is kept in {aside}: {reason}")

    def refused(self) -> list[Path]:
        """Files of the operations that the store has refused, oldest first."""
        return _records(self.directory / REFUSED)

    def take_back_refused(self) -> None:
        """Let what was refused wait again, in its old place."""
        aside = self.directory / REFUSED
        for path in self.refused():
            for one in (path.with_suffix(".files"), path):  # the record last: it is whole when it can be seen
                if one.exists():
                    os.replace(one, self.directory / one.name)
        shutil.rmtree(aside, ignore_errors=True)

    def remove(self) -> None:
        """Remove the folder if everything in it was delivered."""
        if not self.waiting() and not (self.directory / REFUSED).exists():
            shutil.rmtree(self.directory, ignore_errors=True)


def write_address(directory: Path, run_id: str, uri: str) -> None:
    """Say in an outbox's folder which run it is of, and in which store."""
    write_json(directory / "address", {"run_id": run_id, "uri": uri})


def read_address(directory: Path) -> tuple[str, str]:
    """Id of the run and address of the store that an outbox's folder is of.

    Raises:
        OSError, Unreadable: nothing says so, or what says so was damaged.
    """
    address = read_json(directory / "address")
    run_id, uri = address.get("run_id"), address.get("uri")
    if not isinstance(run_id, str) or not isinstance(uri, str):
        raise UnreadableFile("no run and store named in it")
    return run_id, uri


def _records(directory: Path) -> list[Path]:
    """The records in a folder, in their order; what somebody else has put there is none."""
    return sorted(path for path in directory.glob("*.json") if path.stem.isdecimal())


@dataclass(frozen=True)
class Delivery:
    """What became of the outbox of one run.

    Attributes:
        run_id: the run.
        records: number of records that were delivered.
        left: number of records that still wait.
        reason: why they wait, empty when none does.
        refused: number of records that the store has refused, now or before; they are kept.
        kept_in: the folder where those are, each with its reason beside it.
    """

    run_id: str
    records: int
    left: int
    reason: str
    refused: int
    kept_in: Path


def lock_of(work_dir: Path) -> filelock.BaseFileLock:
    """Held by the process that delivers the outbox of a run; the system frees it when that process dies."""
    return filelock.FileLock(work_dir / "outbox.lock", timeout=0)


def deliver_all(directory: Path, *, refused_too: bool = False) -> list[Delivery]:
    """Deliver the outboxes of all runs below `directory` (`mlruns/`) that no living process takes care of.

    Args:
        directory: the local folder of runs.
        refused_too: try once more what the store has refused before.
    """
    deliveries = []
    for folder in sorted(directory.glob(f"runs/*/{WorkFile.OUTBOX}")):
        reason = ""
        try:
            outbox = Outbox.found(folder)
        except (UnreadableFile, OSError) as error:
            if left := len(_records(folder)):
                reason = f"{folder / 'address'}, which names their store, cannot be read: {error}; "
                reason += "seglab doctor delivers those of a run that its store still takes for running"
                deliveries.append(Delivery(folder.parent.name, 0, left, reason, 0, folder / REFUSED))
            continue
        before = len(outbox.waiting())
        refused_before = len(outbox.refused())
        try:
            with lock_of(folder.parent):
                client = _existing(outbox.uri)
                if refused_too:
                    outbox.take_back_refused()
                outbox.deliver(client)
                outbox.remove()
        except filelock.Timeout:
            reason = "its run is alive and delivers itself"
        except (MlflowException, SQLAlchemyError, OSError) as error:
            reason = first_line(error) + (f"; {CREDENTIALS}" if locked_out(error) else "")
        except TrackingError as error:
            reason = f"{error.what}: {error.found}; {error.remedy}"
        left, refused_now = len(outbox.waiting()), len(outbox.refused())
        if before or left or refused_before or refused_now:
            delivered = before + refused_before - left - refused_now
            aside = outbox.directory / REFUSED
            deliveries.append(Delivery(outbox.run_id, delivered, left, reason, refused_now, aside))
    return deliveries


def _existing(uri: str) -> MlflowClient:
    """A client of a store that is there; MLflow would make a missing database, in which no run is known, and change
    one of an older version."""
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        raise OSError(f"the store {uri} is gone")
    if not served(uri):
        from seglab.tracking.schema_version import check_revision

        check_revision(uri)
    return client_of(uri)


def away(error: Exception) -> bool:
    """True when trying again later may help."""
    return isinstance(error, (MlflowException, OSError)) and not refused(error)
