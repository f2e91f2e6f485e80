"""One run in the store, from its first tag to its honest end."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import filelock
import numpy as np
import psutil

from seglab.config.sections import TrackingSettings
from seglab.errors import ConfigError, TrackingError
from seglab.metric_names import metric_name
from seglab.run_record import Artifact, RunRecord, Tag, WorkFile
from seglab.safety.csv_text import csv_text
from seglab.tracking import operations
from seglab.tracking.courier import Courier
from seglab.tracking.heartbeat import Heartbeat, beat, identity, mark_stale_runs
from seglab.tracking.interruption import sigterm_raises
from seglab.tracking.mlflow_client import MlflowException, say
from seglab.tracking.model_folder import write_model_folder
from seglab.tracking.outbox import Outbox, lock_of
from seglab.tracking.resumption import check_resumable, known_steps, recorded
from seglab.tracking.store import Store, open_store
from seglab.tracking.store_failure import failure
from seglab.tracking.system import SystemMetrics

# How long a run that has ended goes on trying to reach a store that does not answer, and how long one that SIGTERM
# stopped may take at all; schedulers kill after half a minute.
_PATIENCE_SECONDS = 10.0
_STOPPED_SECONDS = 10.0


class Tracker:
    """Tells the store about one run; a context manager that gives the run its end.

    The run begins when the context is entered, and what cannot work stops there. Afterwards everything goes through an
    outbox on disk and a thread that delivers it, so neither a slow nor a missing store holds up the training. On
    leaving, the run is FINISHED, FAILED with `traceback.txt`, or KILLED after Ctrl-C or SIGTERM.

    Args:
        settings: the `tracking` section of the config.
        directory: the local folder of runs, normally `mlruns/`.
        run_name: `<Arch>_<Loss>_<Opt>`, or what the user says.
        params: nested settings, logged as dotted keys once; on resume they must be what they were.
        tags: facts about the run.
        resume: id of a run that did not finish, to go on with it.

    Attributes:
        run_id: the run's id, from entering on.
        artifact_uri: where the store keeps its artifacts.
        work_dir: a folder of this run on this machine, for the state of training.
        recorded: of a run that goes on, the paths of the artifacts and the names of the data sets that the store has.
        store: where it is recorded.
    """

    def __init__(
        self,
        settings: TrackingSettings,
        directory: Path,
        *,
        run_name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, Any],
        resume: str | None = None,
    ):
        self.settings, self.directory, self.run_name, self.resume = settings, directory, run_name, resume
        self._params, self._tags = operations.flat_params(params), {k: str(v) for k, v in tags.items()}
        self._known: set[tuple[str, int]] = set()
        self._samples = 0
        self._emitting = threading.Lock()
        self._threads: list[Heartbeat | SystemMetrics] = []
        self.store: Store
        self.run_id = self.artifact_uri = ""
        self.recorded: frozenset[str] = frozenset()
        self.work_dir: Path

    def __enter__(self) -> Tracker:
        self.store = open_store(self.settings.uri, self.directory)
        self.store.check_writable()
        mark_stale_runs(self.store)
        with contextlib.ExitStack() as stack:
            stack.enter_context(sigterm_raises())
            try:
                self._begin(stack) if self.resume is None else self._continue(self.resume, stack)
            except BaseException as error:
                # What is refused to go on stays as it was.
                if self.resume is None or not isinstance(error, (ConfigError, TrackingError)):
                    self._abandon(error)
                if isinstance(error, (MlflowException, OSError)):
                    raise failure(self.store.uri, error) from error
                raise
            try:
                self._outbox = Outbox(self.work_dir / WorkFile.OUTBOX, self.run_id, self.store.uri)
                self._outbox.reserve_end()
            except OSError as error:
                self._abandon(error)
                raise TrackingError(
                    "the folder of the run cannot be written to",
                    code="run-folder-unwritable",
                    where=str(self.work_dir),
                    found=error.strerror,
                    remedy="make room there, then start again",
                ) from error
            self._courier = Courier(self._outbox, self.store.client)
            self._courier.start()
            self._threads = [Heartbeat.of_run(self.store.client, self.run_id, self.settings.heartbeat_seconds)]
            if self.settings.system_metrics:
                self._threads.append(SystemMetrics(self.emit, self._samples))
            for thread in self._threads:
                thread.start()
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._exit:
            for thread in self._threads:
                thread.finish()
            status = self._status(error)
            try:
                self._tell_end(status, error)
            except OSError as problem:  # its folder was removed
                say(f"the end of run {self.run_id} cannot be kept on disk: {problem}")
                self._abandon(error)
            if self._courier.finish(_PATIENCE_SECONDS, _STOPPED_SECONDS if status == "KILLED" else None):
                self._outbox.remove()
            else:
                say(
                    f"run {self.run_id} is {status}; {len(self._outbox.waiting())} of its records wait in "
                    f"{self._outbox.directory} until the store answers: deliver them with seglab sync"
                )
            if refused := len(self._outbox.refused()):
                say(f"{refused} records of run {self.run_id} were refused; try them again: seglab sync refused=true")

    def _tell_end(self, status: str, error: BaseException | None) -> None:
        reason = ""
        if error is not None:
            first = (str(error).splitlines() or [""])[0]
            reason = f"{type(error).__name__}: {first}" if first else type(error).__name__
            if status == "FAILED":
                with contextlib.suppress(TrackingError):  # no room; the end itself has its own
                    self.log_text("".join(traceback.format_exception(error)), Artifact.TRACEBACK)
        self._outbox.add_end(operations.end(status, reason))

    @property
    def model_uri(self) -> str:
        """Address of the run's model bundle for `mlflow.pyfunc.load_model`."""
        return f"runs:/{self.run_id}/{operations.MODEL_NAME}"

    def emit(self, values: Mapping[str, float], step: int) -> None:
        """Record metrics of one step, all in one call to the store. A metric that has this step already is left out."""
        with self._emitting:
            named = {metric_name(name): value for name, value in values.items()}
            new = {name: value for name, value in named.items() if (name, step) not in self._known}
            self._known |= {(name, step) for name in new}
            if new:
                self._outbox.add(operations.metrics(new, step))

    def set_tags(self, values: Mapping[str, Any]) -> None:
        """Record facts; later ones replace earlier ones of the same name."""
        self._outbox.add(operations.tags(values))

    def describe(self, text: str) -> None:
        """Write what MLflow shows as the run's description."""
        self.set_tags({Tag.NOTE: text})

    def log_text(self, text: str, path: str) -> None:
        """Record a text file at `path` among the run's artifacts."""
        self._artifact(path, lambda target: target.write_text(text))

    def log_json(self, value: Any, path: str) -> None:
        """Record a value as a JSON file."""
        self.log_text(json.dumps(value, indent=1, default=str), path)

    def log_figure(self, figure: Any, path: str) -> None:
        """Record a matplotlib figure; the suffix of `path` chooses the format."""
        self._artifact(path, lambda target: figure.savefig(target, bbox_inches="tight"))

    def log_table(self, frame: Any, path: str) -> None:
        """Record a pandas DataFrame as a CSV file, which MLflow's pages show as a table."""
        self._artifact(path, lambda target: target.write_text(csv_text(frame), encoding="utf-8"))

    def log_file(self, file: Path, folder: str = "") -> None:
        """Record a copy of a file or of a whole folder, under its own name, in a folder of the run's artifacts."""
        copy: Callable[..., Any] = shutil.copytree if file.is_dir() else shutil.copyfile
        self._artifact(f"{folder}/{file.name}" if folder else file.name, lambda target: copy(file, target))

    def log_dataset(self, name: str, digest: str, context: str, source: str, profile: Mapping[str, Any]) -> None:
        """Record a data set as an input of the run.

        Args:
            name: of this part, for example `synthetic2d/train`.
            digest: hex digest of its contents and split; MLflow keeps 36 characters, a tag the whole.
            context: `training`, `validation` or `testing`.
            source: where it lies.
            profile: counts and the like, ready for JSON.
        """
        self.set_tags({Tag.dataset_digest(context): digest})
        self._outbox.add(operations.dataset(name, digest, context, source, profile))

    def log_bundle(
        self,
        directory: Path,
        *,
        example: np.ndarray,
        prediction: np.ndarray,
        usage: Mapping[str, str] | None = None,
        readme: str = "",
    ) -> None:
        """Record a model bundle as an MLflow model, loadable by `model_uri` and as `models:/…` once registered.

        See `seglab.tracking.model_folder`.

        Args:
            directory: the bundle, as `seglab.inference.bundle` writes it.
            example: images `(B, *size, C)` as its `predict` takes them; kept as the input example.
            prediction: what it returns for them, `(B, *size)`.
            usage: what the model wants and returns, by topic; kept as the model's metadata.
            readme: the same as a page of Markdown, which is laid into the model's folder.
        """

        def attach(folder: Path) -> None:
            write_model_folder(
                folder, directory, example=example, prediction=prediction, usage=usage or {}, readme=readme
            )

        self._outbox.add(operations.model(), attach)

    def _begin(self, stack: contextlib.ExitStack) -> None:
        client = self.store.client
        tags = {**self._tags, **identity(), **beat(self.settings.heartbeat_seconds), Tag.RESUME_COUNT: "0"}
        tags |= {Tag.USER: psutil.Process().username(), Tag.SOURCE_NAME: "seglab"}
        if Tag.GIT_COMMIT in tags:
            tags[Tag.SOURCE_COMMIT] = tags[Tag.GIT_COMMIT]
        experiment = self.store.experiment_id(self.settings.experiment)
        info = client.create_run(experiment, tags=tags, run_name=self.run_name).info
        self.run_id, self.artifact_uri = info.run_id, info.artifact_uri
        self._lock(stack)
        operations.log_params(client, self.run_id, self._params)

    def _continue(self, run_id: str, stack: contextlib.ExitStack) -> None:
        run = self.store.run(run_id)
        check_resumable(self.store, run, self._params)
        self.store.check_writable(run)
        self.run_id, client = run_id, self.store.client
        self._lock(stack)
        Outbox(self.work_dir / WorkFile.OUTBOX, run_id, self.store.uri).deliver(client)
        run = self.store.run(run_id)
        check_resumable(self.store, run, self._params)  # what the last process has left may have been its end
        self.artifact_uri = run.info.artifact_uri
        self.recorded = recorded(client, run)
        self._known, self._samples = known_steps(client, run)
        # Who runs it comes before that it runs: another process that looks for dead runs may look in between.
        count = RunRecord.of(run).resume_count + 1
        tags = {**identity(), **beat(self.settings.heartbeat_seconds), Tag.RESUME_COUNT: str(count), Tag.END_REASON: ""}
        operations.set_tags(client, run_id, tags)
        client.update_run(run_id, status="RUNNING")

    def _abandon(self, error: BaseException | None) -> None:
        """Give a run that cannot tell its end by itself one, as well as the store allows."""
        if self.run_id:
            with contextlib.suppress(MlflowException, OSError):
                self.store.client.set_terminated(self.run_id, self._status(error))

    def _lock(self, stack: contextlib.ExitStack) -> None:
        """Make the run's folder here and keep other processes from delivering its outbox."""
        self.work_dir = self.store.work_dir(self.run_id)
        self.work_dir.mkdir(parents=True, exist_ok=True)
        try:
            stack.enter_context(lock_of(self.work_dir))
        except filelock.Timeout as error:
            raise TrackingError(
                "another process works on this run",
                code="run-busy",
                where=str(self.work_dir),
                remedy="wait for seglab sync to finish, or stop the other process",
            ) from error

    def _artifact(self, path: str, write: Callable[[Path], Any]) -> None:
        folder, name = os.path.split(path)
        self._outbox.add(operations.artifact(folder), lambda attachment: write(attachment / name))

    @staticmethod
    def _status(error: BaseException | None) -> str:
        if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
            return "FINISHED"
        return "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
