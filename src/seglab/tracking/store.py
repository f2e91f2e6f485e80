"""Where runs are kept: the embedded store below `mlruns/`, or a server. Found, made once, and known to answer."""

from __future__ import annotations

import os
import re
import socket
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from urllib.parse import unquote, urlsplit

from sqlalchemy.exc import SQLAlchemyError

from seglab.errors import TrackingError, nearest
from seglab.run_record import StoreFile
from seglab.safety.file_names import file_name
from seglab.safety.secrets import redacted
from seglab.tracking.databases import alone_with_database
from seglab.tracking.mlflow_client import (
    MlflowClient,
    MlflowException,
    client_of,
    mlflow,
    served,
)
from seglab.tracking.reading import count_by_status, read_runs
from seglab.tracking.sqlite_address import sqlite_file, sqlite_uri
from seglab.tracking.store_failure import failure
from seglab.tracking.store_making import (
    LOCK_SECONDS,
    check_not_emptied,
    knock,
    make_sqlite,
    say_unread,
    short_patience,
    store_lock,
)
from seglab.tracking.store_place import embedded_uri

_PORTS = {"https": 443, "http": 80, "postgresql": 5432, "mysql": 3306, "mariadb": 3306, "mssql": 1433}


@dataclass(frozen=True)
class Store:
    """A tracking store that has answered.

    Attributes:
        uri: its address, with an absolute path where it is a file.
        directory: the local folder (`mlruns/`) with the embedded store, working folders of runs, and outboxes.
        client: MLflow's client of it.
    """

    uri: str
    directory: Path
    client: MlflowClient

    @property
    def served(self) -> bool:
        """True when a server keeps the artifacts, False when this process writes them to `directory`."""
        return served(self.uri)

    def work_dir(self, run_id: str) -> Path:
        """Folder of a run on this machine: state of training, outbox."""
        return self.directory / "runs" / run_id

    def artifact_location(self, experiment: str) -> str | None:
        """Where artifacts of an experiment are kept; None when the server decides."""
        # MLflow decodes an address more than once, so no character that has to be encoded.
        folder = file_name(re.sub(r"[^\w.-]", "_", experiment))
        return None if self.served else (self.directory / StoreFile.ARTIFACTS / folder).as_uri()

    @property
    def file(self) -> Path | None:
        """The database of a store that is a file; None for one that a server keeps."""
        return sqlite_file(self.uri)

    @property
    def place(self) -> str:
        """For messages: the file of the database, or else the address, without a password."""
        return redacted(self.uri) if self.file is None else str(self.file)

    def check_writable(self, run: mlflow.entities.Run | None = None) -> None:
        """See that something can be recorded, and, of a run, that its artifacts lie in this store and not in another.

        Raises:
            TrackingError: file or folder can only be read, or the store was moved or copied from elsewhere.
        """
        for path in (self.directory, *([self.file.parent, self.file] if self.file else [])):
            if not os.access(path, os.W_OK):
                raise TrackingError(
                    "a store of runs that can only be read",
                    code="store-read-only",
                    where=str(path),
                    found="a read-only file system" if os.statvfs(path).f_flag & os.ST_RDONLY else "no right to write",
                    expected="a place for the runs, their pictures and models",
                    remedy="make it writable, or start in a folder of your own; comparing and exporting still work",
                )
        if run is not None:
            self._check_place(self.client.get_experiment(run.info.experiment_id))

    def experiment_id(self, name: str) -> str:
        """Id of an experiment, which is made on first use.

        Raises:
            TrackingError: it was deleted, or its artifacts lie where this store cannot be any more.
        """
        with store_lock(self.directory):
            experiment = self.client.get_experiment_by_name(name)
            if experiment is None:
                try:
                    return self.client.create_experiment(name, artifact_location=self.artifact_location(name))
                except MlflowException as error:
                    experiment = self.client.get_experiment_by_name(name)  # made on another machine meanwhile
                    if experiment is None:
                        raise failure(self.uri, error) from error
        if experiment.lifecycle_stage != "active":
            raise TrackingError(
                "a deleted experiment",
                code="experiment-deleted",
                where="tracking.experiment",
                found=name,
                remedy=f"choose another, or: mlflow experiments restore --experiment-id {experiment.experiment_id}",
            )
        self._check_place(experiment)
        return experiment.experiment_id

    @property
    def embedded(self) -> bool:
        """True when the database lies in `directory` itself: then both are moved together."""
        return self.file is not None and self.file.parent.resolve() == self.directory.resolve()

    def _check_place(self, experiment: mlflow.entities.Experiment) -> None:
        self._check_shared_place(experiment)
        moved = self.moved_from(experiment.artifact_location)
        if moved is not None:
            raise TrackingError(
                "a store that was moved: it records the former place of its artifacts",
                code="store-moved",
                where=str(self.directory),
                found=f"artifacts of experiment {experiment.name} in {moved}",
                remedy="correct that: seglab doctor repair=true; or move the folder back, or link it: "
                f"mkdir -p {quote(str(moved.parent))} && ln -s {quote(str(self.directory))} {quote(str(moved))}",
            )

    def _check_shared_place(self, experiment: mlflow.entities.Experiment) -> None:
        """Of a database that several folders of runs use: an experiment's artifacts stay in the folder that made it."""
        parts = urlsplit(experiment.artifact_location)
        if self.served or self.embedded or parts.scheme not in ("", "file"):
            return
        place = Path(unquote(parts.path))
        there = next(folder for folder in (place, *place.parents) if folder.exists())
        runs = place.parent.parent  # below which an experiment's folder is made with its first artifact
        if runs.exists() and os.access(there, os.W_OK):
            return
        raise TrackingError(
            "an experiment whose artifacts are kept in a folder that is not here",
            code="store-moved",
            where=f"experiment {experiment.name} in tracking.uri={redacted(self.uri)}",
            found=str(place),
            expected="a folder of this machine that can be written to",
            remedy=f"tracking.experiment={experiment.name}-{socket.gethostname()} keeps artifacts of its own here; or "
            "record through a server that keeps them for all (mlflow server, then tracking.uri=http://…)",
        )

    def moved_from(self, artifact_location: str) -> Path | None:
        """The former `directory` of an embedded store that was moved without leaving a link; None when all is well."""
        parts = urlsplit(artifact_location)
        if not self.embedded or parts.scheme not in ("", "file"):
            return None
        location = Path(unquote(parts.path))
        if location.parent.name != StoreFile.ARTIFACTS or location.parent.parent.resolve() == self.directory.resolve():
            return None
        return location.parent.parent

    def run(self, run_id: str) -> mlflow.entities.Run:
        """A run by its id.

        Raises:
            TrackingError: the store has none of this id; names the store and the nearest.
        """
        try:
            return self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise failure(self.uri, error) from error
        runs = self.all_runs()
        named = [run.info.run_id for run in runs if run.info.run_name == run_id]
        hint = f"runs of that name: {', '.join(named[:5])}" if named else nearest(run_id, [r.info.run_id for r in runs])
        latest = ", ".join(f"{run.info.run_id} ({run.info.run_name})" for run in runs[:3])
        raise TrackingError(
            "no run of this id",
            code="run-missing",
            where=f"store {self.place}",
            found=run_id,
            expected=f"one of {len(runs)} runs, the latest: {latest}" if runs else "any run: the store has none",
            remedy=hint or "see all runs with: seglab ui",
        )

    def all_runs(self, filter_string: str = "") -> list[mlflow.entities.Run]:
        """The runs of all experiments, newest first."""
        try:
            return read_runs(self.client, filter_string)
        except MlflowException as error:
            raise failure(self.uri, error) from error

    def counts(self) -> dict[str, int]:
        """How many runs are FINISHED, FAILED and so on."""
        try:
            return count_by_status(self.client)
        except MlflowException as error:
            raise failure(self.uri, error) from error


def open_store(uri: str | None, directory: Path) -> Store:
    """Find the store, make it if it is a SQLite file that does not exist yet, and see that it answers.

    Args:
        uri: an MLflow address (`http://host:5000`, `sqlite:///…`, `postgresql://…`, or one of a plug-in of MLflow's,
            such as `azureml://…`); None for the embedded store, `mlflow.db` in `directory`.
        directory: the local folder of runs, normally `mlruns/`; made when missing.

    Raises:
        TrackingError: within about ten seconds, when the store cannot be reached or is of a kind that MLflow gave up.
    """
    if directory.is_symlink() and not directory.exists():
        raise TrackingError(
            "the folder of runs is a link to a place that is not there",
            code="store-link-broken",
            where=str(directory),
            found=os.readlink(directory),
            expected="the folder with the runs; a new one there could hide them",
            remedy="restore that disk or folder; or, to begin anew, remove the link",
        )
    directory = directory.resolve()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrackingError(
            "the folder of runs cannot be made",
            code="store-not-made",
            where=str(directory),
            found="a file of that name" if directory.is_file() else error.strerror,
            remedy="move that file away" if directory.is_file() else "check permissions",
        ) from error
    if uri is None:
        uri = embedded_uri(directory)
        say_unread(uri)
    parts = urlsplit(uri)
    if parts.scheme in ("", "file") and not served(uri):
        raise TrackingError(
            "a folder as tracking store, which MLflow no longer writes to",
            code="store-as-folder",
            where="tracking.uri",
            found=uri,
            expected="null, sqlite:///<file>, postgresql://… or http://…",
            remedy="tracking.uri=null for the store in mlruns/",
        )
    path = sqlite_file(uri)
    if path is not None:
        uri = sqlite_uri(path)
        check_not_emptied(path, directory)
        make_sqlite(path, directory)
    elif parts.hostname:
        port = parts.port or _PORTS.get(parts.scheme.partition("+")[0])
        if port is not None:
            knock(uri, parts.hostname, port)
    with short_patience():
        try:
            # Who makes the tables of an empty database leaves it half made for seconds.
            turn = nullcontext() if served(uri) or path else alone_with_database(uri, directory, LOCK_SECONDS)
            with turn:
                if not served(uri):
                    from seglab.tracking.schema_version import check_revision

                    check_revision(uri)
                client = client_of(uri)
                client.search_experiments(max_results=1)
        except (MlflowException, SQLAlchemyError, ModuleNotFoundError) as error:
            raise failure(uri, error) from error
    return Store(uri, directory, client)
