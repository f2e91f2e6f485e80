"""How far a sweep is: done, failed, running, left, and how long the rest will take."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from seglab.errors import TrackingError, nearest
from seglab.run_record import Artifact, RunRecord, Tag
from seglab.safety.untrusted_files import read_any_json
from seglab.sweeping.ledger import JobState, Ledger, reason_of
from seglab.tracking.bundles import run_file
from seglab.tracking.clockless_heartbeat import PeerSightings
from seglab.tracking.heartbeat import alive
from seglab.tracking.store import Store
from seglab.tracking.store_lookup import open_existing

if TYPE_CHECKING:
    from mlflow.entities import Run


@dataclass(frozen=True)
class SweepStatus:
    """Counts of the jobs of one sweep.

    Attributes:
        study: its name.
        sweep_id: which sweep of that study.
        total: jobs in all.
        finished, pruned, failed, running: how many of them; what is none of these is left.
        launcher: True while a launcher works on it.
        seconds: from the start of a job to the start of the next one, on average so far; None when none has finished.
        failures: (job number from 1, run id, reason) of each failed job.
    """

    study: str
    sweep_id: str
    total: int
    finished: int
    pruned: int
    failed: int
    running: int
    launcher: bool
    seconds: float | None
    failures: tuple[tuple[int, str, str], ...]

    @property
    def left(self) -> int:
        """Jobs that nobody has begun, or that were cut off."""
        return self.total - self.finished - self.pruned - self.failed - self.running

    @property
    def seconds_left(self) -> float | None:
        """Until the last job ends, if jobs start as often as they have so far; None when unknown."""
        # Those that run are half done on average.
        return None if self.seconds is None else self.seconds * (self.left + self.running / 2)


def sweep_statuses(directory: Path, study: str, uri: str | None = None) -> list[SweepStatus]:
    """Every sweep of a study, newest first.

    Raises:
        TrackingError: the store does not work, or has no sweep of this study; names those that it has.
    """
    store = open_existing(uri, directory)
    parents = store.all_runs(f"tags.{Tag.SWEEP_DIGEST} LIKE '%'")
    chosen = [run for run in parents if study in (run.data.tags.get(Tag.STUDY), run.data.tags.get(Tag.SWEEP_ID))]
    if not chosen:
        known = sorted({run.data.tags[Tag.STUDY] for run in parents})
        raise TrackingError(
            "no sweep of this study",
            code="sweep-missing",
            where=f"study={study}",
            found=f"sweeps of {', '.join(known)}" if known else "a store without sweeps",
            remedy=nearest(study, known) or "launch it: seglab train -m experiment=<study>",
        )
    return [_status(store, run) for run in chosen]


def _status(store: Store, parent: Run) -> SweepStatus:
    ledger, tags = Ledger(store), parent.data.tags
    ledger.read_all()
    recorded = _jobs(store, parent)
    counts = dict.fromkeys(("finished", "pruned", "failed", "alive"), 0)
    failures, starts, longest = [], [], 0.0
    jobs = {job["identity"] or f"unusable {job['job']}": job for job in recorded}
    total = int(tags.get(Tag.SWEEP_JOBS, 0)) - (len(recorded) - len(jobs))
    for job in jobs.values():
        standing = ledger.standing(job["identity"]) if job["identity"] else JobState("absent")
        run = standing.run
        if run is None and job.get("run_id") is None:
            # Without a run in this store: what the launcher has told counts.
            if job["identity"] is None or job.get("status") == "failed":
                counts["failed"] += 1
                failures.append((job["job"] + 1, "", job.get("reason", "").partition("\n")[0]))
            elif job.get("status") in counts:
                counts[job["status"]] += 1
        elif standing.kind in counts:
            counts[standing.kind] += 1
        elif run is not None and RunRecord.of(run).pruned:
            counts["pruned"] += 1
        elif run is not None and run.info.status == "FAILED":
            counts["failed"] += 1
            failures.append((job["job"] + 1, run.info.run_id, reason_of(run)))
        # A run that was resumed has started twice, and its time has a gap.
        if standing.kind in ("finished", "alive") and run is not None and run.data.tags.get(Tag.RESUME_COUNT) == "0":
            starts.append(run.info.start_time / 1000)
            if standing.kind == "finished":
                longest = max(longest, (run.info.end_time - run.info.start_time) / 1000)
    return SweepStatus(
        study=tags[Tag.STUDY],
        sweep_id=tags[Tag.SWEEP_ID],
        total=total,
        finished=counts["finished"],
        pruned=counts["pruned"],
        failed=counts["failed"],
        running=counts["alive"],
        launcher=parent.info.status == "RUNNING" and alive(tags, PeerSightings.kept_in(store.directory)) is not False,
        seconds=seconds_a_job(starts, longest),
        failures=tuple(failures),
    )


def seconds_a_job(starts: list[float], longest: float) -> float | None:
    """Mean time between two starts: it holds how many run at once and what a process takes before its run begins.

    Args:
        starts: of each job, in seconds since any time.
        longest: duration of the longest job that has finished; twice as long without a start is a pause of the sweep.
    """
    gaps = [later - earlier for earlier, later in pairwise(sorted(starts)) if later - earlier <= 2 * longest]
    return sum(gaps) / len(gaps) if gaps else longest or None


def _jobs(store: Store, parent: Run) -> list[dict[str, Any]]:
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        file = run_file(store, parent, Artifact.SWEEP_JOBS)
    except TrackingError:  # the launcher was stopped before it had told
        return []
    try:
        return [dict(job) for job in read_any_json(file)]
    except (OSError, ValueError, TypeError) as error:
        raise TrackingError(
            "the list of a sweep's jobs cannot be read",
            code="sweep-jobs-damaged",
            where=str(file),
            found=str(error),
            expected="the file that the sweep wrote",
            remedy="launch the sweep again: it writes the list anew, and skips what is finished",
        ) from error


def status_table(statuses: list[SweepStatus]) -> Table:
    """One line for each sweep."""
    drawn = Table(title=statuses[0].study, title_justify="left")
    drawn.add_column("sweep", no_wrap=True)
    for column in ("jobs", "done", "pruned", "failed", "running", "left", "launcher", "time left"):
        drawn.add_column(column)
    for one in statuses:
        counts = (one.total, one.finished, one.pruned, one.failed, one.running, one.left)
        rest = "" if one.left + one.running == 0 else duration(one.seconds_left)
        drawn.add_row(one.sweep_id, *map(str, counts), "runs" if one.launcher else "ended", rest)
    return drawn


def duration(seconds: float | None) -> str:
    """In words: `about 2 h 5 min`; `unknown` for None."""
    if seconds is None:
        return "unknown"
    minutes = round(seconds / 60)
    if minutes == 0:
        return "less than a minute"
    hours, rest = divmod(minutes, 60)
    return f"about {hours} h {rest} min" if hours else f"about {rest} min"
