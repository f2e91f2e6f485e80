"""The one run that stands for a whole sweep: its children are the runs of the jobs."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from seglab.config.sections import TrackingSettings
from seglab.errors import TrackingError
from seglab.run_record import Artifact, Tag
from seglab.sweeping.executor import Executor
from seglab.sweeping.jobs import Job, JobOutcome
from seglab.tracking import operations
from seglab.tracking.heartbeat import Heartbeat, beat, identity
from seglab.tracking.store import Store


class ParentRun:
    """Found again by the digest of its jobs, or begun; a context manager that gives it its end.

    Only one launcher at a time may run a sweep from one folder of runs.

    Args:
        store: where it is recorded.
        tracking: which experiment, and how often it gives a sign of life.
        digest: what the sweep is, SHA-256.
        study: name of the study, or None.

    Attributes:
        run_id: the run's id, from entering on.
        sweep_id: the first letters of the digest.
        study: the study's name; a sweep without one is a study of its own.
        directory: where the logs of its jobs lie.
    """

    def __init__(self, store: Store, tracking: TrackingSettings, digest: str, study: str | None):
        self.store, self.tracking, self.digest = store, tracking, digest
        self.sweep_id = digest[:12]
        self.study = study or f"sweep-{self.sweep_id}"
        self.directory = store.directory / "sweeps" / self.sweep_id
        self.run_id = ""
        self._outcomes: Sequence[JobOutcome] = ()
        self._launcher: dict[str, str] = {}

    def __enter__(self) -> ParentRun:
        self.store.check_writable()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._lock = locked(self.directory / "lock")
        if self._lock is None:
            raise TrackingError(
                "this sweep is being run already",
                code="sweep-busy",
                where=str(self.directory),
                found="another launcher of the same jobs",
                remedy="wait for it; see how far it is with: seglab sweep-status",
            )
        signs = {**identity(), **beat(self.tracking.heartbeat_seconds), Tag.END_REASON: ""}
        known = self.store.all_runs(f"tags.{Tag.SWEEP_DIGEST} = '{self.digest}'")
        if known:
            self.store.check_writable(known[0])
            self.run_id = known[0].info.run_id
            operations.set_tags(self.store.client, self.run_id, signs)
            self.store.client.update_run(self.run_id, status="RUNNING")
        else:
            tags = {**signs, Tag.SWEEP_DIGEST: self.digest, Tag.SWEEP_ID: self.sweep_id, Tag.STUDY: self.study}
            tags[Tag.SOURCE_NAME] = "seglab"
            experiment = self.store.experiment_id(self.tracking.experiment)
            self.run_id = self.store.client.create_run(experiment, tags=tags, run_name=self.study).info.run_id
        self._heartbeat = Heartbeat.of_run(self.store.client, self.run_id, self.tracking.heartbeat_seconds)
        self._heartbeat.start()
        return self

    def announce(self, jobs: Sequence[Job | JobOutcome], total: int) -> None:
        """Keep the list of jobs known so far and their number in all with the run, so that others see what is left."""
        self.store.client.set_tag(self.run_id, Tag.SWEEP_JOBS, str(total))
        self._write([_entry(one) for one in jobs])

    def record(self, jobs: Sequence[Job | JobOutcome]) -> None:
        """Keep what became of the jobs; a sweep with a failed job is a failed run."""
        self._outcomes = [one for one in jobs if isinstance(one, JobOutcome)]
        self._write([_entry(one) for one in jobs])

    def tell_launcher(self, executor: Executor, total: int) -> None:
        """Keep how the jobs run, which their times depend on; said when one of them starts."""
        jobs = min(executor.jobs, total)
        tags = {Tag.LAUNCHER: executor.name, Tag.LAUNCHER_JOBS: str(jobs), Tag.LAUNCHER_THREADS: str(executor.threads)}
        if tags != self._launcher:
            operations.set_tags(self.store.client, self.run_id, tags)
            self._launcher = tags

    def tags_of(self, job: Job) -> dict[str, str]:
        """What the run of a job says about its sweep."""
        return {
            Tag.PARENT_RUN_ID: self.run_id,
            Tag.STUDY: self.study,
            Tag.SWEEP_ID: self.sweep_id,
            Tag.SWEEP_JOB: str(job.number),
            Tag.JOB_IDENTITY: str(job.identity),
        }

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._heartbeat.finish()
        failed = [outcome for outcome in self._outcomes if not outcome.good]
        status = "FAILED" if error is not None or failed else "FINISHED"
        if isinstance(error, KeyboardInterrupt):
            status = "KILLED"
        try:
            if error is not None:
                operations.set_tags(self.store.client, self.run_id, {Tag.END_REASON: type(error).__name__})
            self.store.client.set_terminated(self.run_id, status)
        finally:
            assert self._lock is not None
            os.close(self._lock)

    def _write(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        self.store.client.log_text(self.run_id, json.dumps(list(jobs), indent=1), Artifact.SWEEP_JOBS)


def _entry(one: Job | JobOutcome) -> dict[str, Any]:
    job = one.job if isinstance(one, JobOutcome) else one
    entry = {"job": job.number, "overrides": list(job.overrides), "identity": job.identity}
    if isinstance(one, JobOutcome):
        entry |= {"status": one.status, "run_id": one.run_id, "objective": repr(one.objective)}
        entry |= {"reason": one.reason, "seconds": round(one.seconds, 1)}
    return entry


def locked(path: Path) -> int | None:
    """An exclusive lock on a file, as its descriptor; None when somebody has it. A process started with it holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
