"""Launchers that meet on one store, and jobs that were killed anywhere: nothing is done twice. Nothing is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pretended
import pytest
from pretended import Executor, begin, empty_store, store

from seglab.config.sections import TrackingSettings
from seglab.errors import TrackingError
from seglab.sweeping import job_runner
from seglab.sweeping.job_runner import JobRunner
from seglab.sweeping.jobs import Job, JobOutcome
from seglab.sweeping.ledger import Ledger
from seglab.sweeping.parent import ParentRun
from seglab.sweeping.status import sweep_statuses
from seglab.tracking.store import Store

__all__ = ["empty_store", "store"]
TRACKING = TrackingSettings(uri=None, experiment="seglab", system_metrics=False, heartbeat_seconds=5.0)
JOBS = [Job(number, (f"seed={number}",), f"identity-{number}", label=f"seed={number}") for number in range(3)]


def parent(store: Store, digest: str = "d" * 64) -> ParentRun:
    return ParentRun(store, TRACKING, digest, "study")


def sweep(store: Store, executor: Executor, jobs: list[Job] = JOBS, digest: str = "d" * 64) -> list[JobOutcome]:
    with parent(store, digest) as one:
        one.announce(jobs, len(jobs))
        runner = JobRunner(Ledger(store), one, executor, len(jobs))
        try:
            runner.run(jobs)
        finally:
            one.record(runner.outcomes(jobs))
        return runner.outcomes(jobs)


def ends(objective: float = 0.5) -> Callable[[pretended.Job], Any]:
    return lambda job: job.finish(objective)


def test_a_job_with_a_live_heartbeat_is_left_alone_and_its_end_is_waited_for(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The jobs of another sweep in another folder of logs, which shares two jobs and the store with this one."""
    theirs = begin(store, {"job_identity": "identity-1", "sweep_id": "another"})
    waits = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            pretended.finish(store, theirs, 0.8)

    executor = Executor(store, jobs=2, play=ends())
    monkeypatch.setattr(job_runner, "_POLL_OTHERS_SECONDS", 7.0)
    monkeypatch.setattr(job_runner.time, "sleep", lambda seconds: sleep(seconds) if seconds == 7.0 else None)
    outcomes = sweep(store, executor)
    assert [outcome.status for outcome in outcomes] == ["finished", "skipped", "finished"]
    assert (outcomes[1].run_id, outcomes[1].objective) == (theirs, 0.8)
    assert len(waits) == 3
    assert [job.settings["seed"] for job in executor.started] == ["0", "2"]
    assert len(pretended.runs(store)) == len(pretended.runs(store, "FINISHED")) == 3
    assert capsys.readouterr().out.count("left alone: process") == 1


def test_a_job_that_dies_elsewhere_is_taken_over(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = begin(store, {"job_identity": "identity-1"})

    def sleep(seconds: float) -> None:
        for tag, value in pretended.GONE.items():
            store.client.set_tag(theirs, tag, value)

    monkeypatch.setattr(job_runner.time, "sleep", sleep)
    executor = Executor(store, play=ends())
    outcomes = sweep(store, executor)
    assert [outcome.status for outcome in outcomes] == ["finished"] * 3
    assert [job.run_id for job in executor.started if job.resumed] == [theirs]
    assert len(pretended.runs(store)) == 3


def test_a_sweep_that_runs_cannot_be_launched_beside_itself(store: Store) -> None:
    with parent(store) as one:
        with pytest.raises(TrackingError, match=r"this sweep is being run already(.|\n)*seglab sweep-status"):
            parent(store).__enter__()
        with parent(store, "e" * 64) as other:
            assert other.run_id != one.run_id
    with parent(store) as again:
        assert again.run_id == one.run_id


def test_a_job_killed_before_it_kept_its_config_ends_and_is_done_once(store: Store) -> None:
    """Its run was made and can not go on: the relaunch ends it and does the job in a run of its own."""
    lost = begin(store, {"job_identity": "identity-1", **pretended.GONE}, state=False)
    executor = Executor(store, play=ends())
    assert [outcome.status for outcome in sweep(store, executor)] == ["finished"] * 3
    assert len(pretended.runs(store, "FINISHED")) == 3
    (dead,) = [run for run in pretended.runs(store) if run.info.status != "FINISHED"]
    assert (dead.info.run_id, dead.info.status) == (lost, "KILLED")
    (status,) = sweep_statuses(store.directory, "study")
    assert (status.finished, status.failed, status.running, status.left) == (3, 0, 0, 0)
    # And it stays so.
    idle = Executor(store)
    assert [outcome.status for outcome in sweep(store, idle)] == ["skipped"] * 3
    assert idle.started == []


def test_the_parent_says_how_its_jobs_ran(store: Store) -> None:
    def launcher_tags() -> dict[str, str]:
        (run,) = [run for run in store.all_runs() if "sweep_digest" in run.data.tags]
        return {key: value for key, value in run.data.tags.items() if key.startswith("launcher")}

    sweep(store, Executor(store, jobs=100, name="slurm", threads=4, play=ends()))
    assert launcher_tags() == {"launcher": "slurm", "launcher_jobs": "3", "launcher_threads": "4"}
    # A launch that starts no job changes nothing.
    sweep(store, Executor(store, name="in_order", threads=2))
    assert launcher_tags()["launcher"] == "slurm"


def test_a_job_that_failed_without_a_run_counts_as_failed(store: Store) -> None:
    unusable = Job(3, ("seed=-1",), None, problem="a value that is not allowed\n  where: seed")
    outcomes = sweep(store, Executor(store, play=ends()), [*JOBS, unusable])
    assert [outcome.status for outcome in outcomes] == ["finished"] * 3 + ["failed"]
    (status,) = sweep_statuses(store.directory, "study")
    assert (status.finished, status.failed, status.left) == (3, 1, 0)
    assert status.failures == ((4, "", "a value that is not allowed"),)


def test_equal_jobs_share_a_run(store: Store) -> None:
    twin = Job(3, ("seed=0", "loss=dice"), "identity-0")
    executor = Executor(store, jobs=4, play=ends())
    outcomes = sweep(store, executor, [*JOBS, twin])
    assert [outcome.status for outcome in outcomes] == ["finished"] * 4
    assert outcomes[3].run_id == outcomes[0].run_id
    assert len(executor.started) == 3
