"""Does the jobs of a sweep that are not done: skips, resumes, starts, and leaves alone what others work on."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from seglab.command import JOB_VARIABLE
from seglab.run_record import Tag
from seglab.runtime.waiting import Waiting
from seglab.sweeping.executor import Command, Executor, NoRoomNow, RunningJob
from seglab.sweeping.jobs import Job, JobOutcome
from seglab.sweeping.ledger import JobState, Ledger, objective_of, reason_of
from seglab.sweeping.parent import ParentRun, locked
from seglab.sweeping.progress_table import console

if TYPE_CHECKING:
    from mlflow.entities import Run

_CODE = re.compile(r" \[[a-z0-9-]+\]$")  # behind the title of an error
_POLL_SECONDS = 0.2
_POLL_OTHERS_SECONDS = 2.0
_WATCH_SECONDS = 1.0
_TAIL_BYTES = 4096  # of a log, in which its last line lies


class Watcher(Protocol):
    """Is informed while jobs run.

    Attributes:
        monitor: the metric that it ranks them by.
    """

    monitor: str

    def hopeless(self, job: Job, values: Sequence[tuple[int, float]]) -> bool:
        """Decide from the (epoch, value) pairs of the metric whether a job is told to stop."""
        ...

    def ended(self, outcome: JobOutcome) -> None:
        """Learn what became of a job. Not called for one that is stopped with the sweep."""
        ...


@dataclass
class _Active:
    job: Job
    process: RunningJob
    log: Path
    log_start: int
    lock: int
    began: float
    run_id: str = ""
    watched: float = 0.0
    pruned: bool = False


class JobRunner:
    """Brings jobs to their end.

    Args:
        ledger: knows where each job stands.
        parent: the run of the sweep.
        executor: starts processes.
        total: how many jobs there are.
        watcher: looks on, None when nobody does.
    """

    def __init__(
        self, ledger: Ledger, parent: ParentRun, executor: Executor, total: int, watcher: Watcher | None = None
    ):
        self.ledger, self.parent, self.executor, self.total = ledger, parent, executor, total
        self._watcher = watcher
        self._active: list[_Active] = []
        self._put_back: list[Job] = []
        self._elsewhere: list[Job] = []
        self._first: dict[str, Job] = {}  # of those that have one identity
        self._twins: list[Job] = []
        self._done: dict[int, JobOutcome] = {}
        self._reported: set[int] = set()

    def run(self, jobs: Iterable[Job]) -> None:
        """Returns when each job is done, failed, or was done before. An interruption stops the jobs first.

        A job is taken from `jobs` when there is room for it. One that another process works on is left alone, and its
        end is waited for. Those with one identity share a run.
        """
        with Waiting() as self._waiting:
            self._run(iter(jobs))

    def _run(self, source: Iterator[Job]) -> None:
        try:
            while True:
                self._collect()
                while self.executor.room([active.process for active in self._active]):
                    job = self._put_back.pop() if self._put_back else next(source, None)
                    if job is None:
                        break
                    self._take(job)
                if self._active or self._put_back:
                    time.sleep(_POLL_SECONDS)
                elif self._elsewhere:
                    time.sleep(_POLL_OTHERS_SECONDS)
                    source, self._elsewhere = iter(self._elsewhere), []
                else:
                    return
                self._watch()
                self._waiting.tell(self._doing())
        except BaseException:
            self._stop()
            raise

    def _doing(self) -> str:
        """What the jobs do that run now, for who waits."""
        jobs = [f"job {active.job.number + 1}/{self.total}" for active in self._active]
        where = last_step(self._active[0].log, self._active[0].log_start) if len(jobs) == 1 else ""
        if not jobs:
            return "waiting for the jobs that other processes work on"
        return f"{', '.join(jobs)}: {where or 'at work'}"

    def outcomes(self, jobs: Sequence[Job]) -> list[JobOutcome]:
        """What became of the jobs so far."""
        return [self._done.get(job.number) or JobOutcome(job, "stopped", reason="not started") for job in jobs]

    def _take(self, job: Job) -> None:
        if job.identity is None:
            self._end(JobOutcome(job, "failed", reason=job.problem))
            return
        first = self._first.setdefault(job.identity, job)
        if first is job:
            self._begin(job)
        elif first.number in self._done:
            self._end(replace(self._done[first.number], job=job))
        else:
            self._twins.append(job)

    def _begin(self, job: Job) -> None:
        assert job.identity is not None
        lock = locked(self.ledger.store.directory / "sweeps" / "jobs" / f"{job.identity}.lock")
        standing = self.ledger.standing(job.identity)
        if standing.kind == "finished":
            assert standing.run is not None
            self._end(_of_run(job, "skipped", standing.run))
        elif lock is None or standing.kind == "alive" or self.executor.busy(job.identity):
            self._leave_alone(job, standing)
        else:
            self._start(job, standing, lock)
        if lock is not None:
            os.close(lock)

    def _start(self, job: Job, standing: JobState, lock: int) -> None:
        assert job.identity is not None
        words = [sys.executable, "-m", "seglab", "train", *job.overrides]
        resumed = standing.run.info.run_id if standing.kind == "dead" and standing.run is not None else None
        if resumed:
            words.append(f"resume={resumed}")
        variable: dict[str, object] = {"tags": self.parent.tags_of(job)}
        if self.executor.local:
            variable["launcher"] = os.getpid()
        log = self.parent.directory / f"job-{job.number}.log"
        start = log.stat().st_size if log.exists() else 0
        environment = {JOB_VARIABLE: json.dumps(variable), **_importable()}
        name = f"{self.parent.study}-{job.number}"
        try:
            process = self.executor.start(Command(words, environment, log, lock, name, job.identity))
        except NoRoomNow:
            self._put_back.append(job)
            return
        self.parent.tell_launcher(self.executor, self.total)
        self._active.append(_Active(job, process, log, start, lock, time.monotonic()))
        how = f"resumed  {resumed}" if resumed else "started"
        self._say(job, f"{how}  log {os.path.relpath(log)}")

    def _leave_alone(self, job: Job, standing: JobState) -> None:
        self._elsewhere.append(job)
        if job.number not in self._reported:
            self._reported.add(job.number)
            assert job.identity is not None
            tags = standing.run.data.tags if standing.kind == "alive" and standing.run else {}
            process = f"process {tags[Tag.PID]} on {tags[Tag.HOST]}" if Tag.PID in tags else ""
            who = process or self.executor.busy(job.identity) or "another process"
            self._say(job, f"left alone: {who} works on it")

    def _collect(self) -> None:
        for active in list(self._active):
            if active.process.code() is not None:
                self._active.remove(active)
                self._end(self._outcome(active))

    def _watch(self) -> None:
        if self._watcher is None:
            return
        for active in self._active:
            if active.pruned or time.monotonic() - active.watched < _WATCH_SECONDS:
                continue
            active.watched = time.monotonic()
            if not active.run_id:
                run = self.ledger.standing(active.job.identity or "").run
                active.run_id = run.info.run_id if run is not None and run.info.status == "RUNNING" else ""
            if not active.run_id:
                continue
            if self._watcher.hopeless(active.job, self.ledger.values(active.run_id, self._watcher.monitor)):
                active.pruned = True
                active.process.interrupt()

    def _outcome(self, active: _Active) -> JobOutcome:
        job, seconds = active.job, time.monotonic() - active.began
        assert job.identity is not None
        standing = self.ledger.standing(job.identity)
        if standing.kind == "finished":
            assert standing.run is not None
            return replace(_of_run(job, "finished", standing.run), seconds=seconds)
        reason = last_words(active.log, active.log_start) or active.process.reason()
        if standing.run is None:
            return JobOutcome(job, "failed", reason=reason, seconds=seconds)
        if active.pruned:
            self.ledger.store.client.set_tag(standing.run.info.run_id, Tag.PRUNED, "true")
            return JobOutcome(job, "pruned", standing.run.info.run_id, reason="below the median", seconds=seconds)
        if standing.run.info.status == "FAILED":
            reason = reason_of(standing.run)
        return JobOutcome(job, "failed", standing.run.info.run_id, reason=reason, seconds=seconds)

    def _stop(self) -> None:
        if self._active:
            self._waiting.clear()
            console.print(f"stopping   {len(self._active)} jobs, which save what they have")
        for active in self._active:
            active.process.interrupt()
        for active in self._active:
            active.process.stop()
            assert active.job.identity is not None
            run = self.ledger.standing(active.job.identity).run
            self._done[active.job.number] = JobOutcome(
                active.job, "stopped", run.info.run_id if run else None, reason="stopped with the sweep"
            )
        self._active.clear()

    def _end(self, outcome: JobOutcome) -> None:
        self._done[outcome.job.number] = outcome
        message = {
            "finished": f"finished in {outcome.seconds:.0f} s, objective {outcome.objective:.4f}  {outcome.run_id}",
            "skipped": f"finished before, objective {outcome.objective:.4f}  {outcome.run_id}",
        }.get(outcome.status, f"{outcome.status}: {outcome.reason.splitlines()[0] if outcome.reason else ''}")
        self._say(outcome.job, message)
        if self._watcher is not None:
            self._watcher.ended(outcome)
        twins = [job for job in self._twins if job.identity == outcome.job.identity]
        self._twins = [job for job in self._twins if job not in twins]
        for twin in twins:
            self._end(replace(outcome, job=twin))

    def _say(self, job: Job, words: str) -> None:
        self._waiting.clear()
        console.print(f"job {job.number + 1}/{self.total}  {job.label}  {words}", markup=False)


def _importable() -> dict[str, str]:
    """What a process needs to import the modules that lie beside the `train.py` that was called."""
    script = Path(sys.argv[0])
    if script.name != "train.py":
        return {}
    places = [str(script.absolute().parent), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, places))}


def _of_run(job: Job, status: str, run: Run) -> JobOutcome:
    return JobOutcome(job, status, run.info.run_id, objective_of(run))  # type: ignore[arg-type]


def last_words(log: Path, start: int = 0) -> str:
    """The message that a process left with: its last `error: …`, or the last line of a traceback."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(start)
        lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    errors = [i for i, line in enumerate(lines) if line.startswith("error: ")]
    if errors:
        message = lines[errors[-1] :]
        title = _CODE.sub("", message[0].removeprefix("error: "))
        return "\n".join([title, *message[1:]])
    return lines[-1].strip() if any(line.startswith("Traceback ") for line in lines) else ""


def last_step(log: Path, start: int = 0) -> str:
    """What a process said last that it is doing; empty when it has said nothing."""
    try:
        with log.open("rb") as file:
            file.seek(max(start, log.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.removeprefix("… ").strip() for line in reversed(lines) if line.strip()), "")
