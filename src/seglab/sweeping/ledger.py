"""What the store knows about jobs: which are finished, alive, dead or absent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from seglab.metric_names import metric_name
from seglab.run_record import RunRecord, Tag, WorkFile
from seglab.tracking.clockless_heartbeat import PeerSightings
from seglab.tracking.heartbeat import alive, mark_stale_runs
from seglab.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Run


@dataclass(frozen=True)
class JobState:
    """Where a job stands.

    Attributes:
        kind: `finished`; `alive`: a process works on it; `dead`: it ended before it was finished and can go on here;
            `lost`: it ended and cannot go on here; `absent`: it was never begun.
        run: the run that says so; None for `absent`.
    """

    kind: Literal["finished", "alive", "dead", "lost", "absent"]
    run: Run | None = None


class Ledger:
    """Answers for identities of jobs, from the tags of all runs of a store."""

    def __init__(self, store: Store):
        self.store = store
        self._sightings = PeerSightings.kept_in(store.directory)
        self._read: dict[str, list[Run]] | None = None

    def read_all(self) -> None:
        """Read the runs of all jobs once, where many jobs are asked for; what is told later is of that moment."""
        read: dict[str, list[Run]] = {}
        for run in self.store.all_runs(f"tags.{Tag.JOB_IDENTITY} LIKE '%'"):
            read.setdefault(run.data.tags[Tag.JOB_IDENTITY], []).append(run)
        self._read = read

    def runs(self, identity: str) -> list[Run]:
        """All runs of a job, the latest first."""
        if self._read is not None:
            return self._read.get(identity, [])
        return self.store.all_runs(f"tags.{Tag.JOB_IDENTITY} = '{identity}'")

    def standing(self, identity: str) -> JobState:
        """Where the job stands now; a finished run counts before a live one, a live one before a dead one.

        A run that FAILED counts as dead: it is tried again, from its last whole epoch.
        """
        runs = self.runs(identity)
        if any(run.info.status == "RUNNING" and alive(run.data.tags, self._sightings) is False for run in runs):
            mark_stale_runs(self.store)  # its own end may be waiting here
            if self._read is not None:
                self.read_all()
            runs = self.runs(identity)
        for run in runs:
            if run.info.status == "FINISHED":
                return JobState("finished", run)
        for run in runs:
            if run.info.status == "RUNNING" and alive(run.data.tags, self._sightings) is not False:
                return JobState("alive", run)
        for run in runs:
            if (self.store.work_dir(run.info.run_id) / WorkFile.CONFIG).is_file():
                return JobState("dead", run)
        return JobState("lost", runs[0]) if runs else JobState("absent")

    def values(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """(epoch, value) of a metric of a run."""
        return [(one.step, one.value) for one in self.store.client.get_metric_history(run_id, metric_name(metric))]


def objective_of(run: Run) -> float:
    """The objective that a run has stored; NaN when it has none."""
    return RunRecord.of(run).objective


def reason_of(run: Run) -> str:
    """Why a run ended as it did, in its own words."""
    return RunRecord.of(run).end_reason or run.info.status
