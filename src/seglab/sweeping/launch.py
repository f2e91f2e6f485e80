"""A whole sweep: jobs, their parent run, the table at the end."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext
from omegaconf import DictConfig

from seglab.command import SweepFailed
from seglab.run_record import RUNS
from seglab.runtime.terminal import tell
from seglab.sweeping.executor import Executor
from seglab.sweeping.jobs import JobOutcome
from seglab.sweeping.prepare import SweepPreparation, sweep_digest
from seglab.sweeping.progress_table import console, table


def launch(
    config: DictConfig, context: HydraContext, executor: Executor, all_overrides: Sequence[Sequence[str]]
) -> list[JobReturn]:
    """Bring every job of a grid to its end and print the table.

    Returns:
        One result for each job: its objective, or `SweepFailed` with the reason.

    Raises:
        TrackingError: the store does not work, or another launcher runs this sweep.
    """
    preparation = SweepPreparation(config, context)
    tell(f"checking settings and data of {len(all_overrides)} jobs")
    jobs = preparation.jobs(all_overrides)
    tracking = preparation.tracking
    if tracking is None:
        outcomes = [JobOutcome(job, "failed", reason=job.problem) for job in jobs]
    else:
        from seglab.sweeping.job_runner import JobRunner
        from seglab.sweeping.ledger import Ledger
        from seglab.sweeping.parent import ParentRun
        from seglab.tracking.interruption import sigterm_raises
        from seglab.tracking.store import open_store

        tell("opening the store of runs")
        store = open_store(tracking.uri, RUNS)
        with sigterm_raises(), ParentRun(store, tracking, sweep_digest(jobs), preparation.study) as parent:
            console.print(f"sweep      {parent.study}, {len(jobs)} jobs, parent run {parent.run_id}", markup=False)
            parent.announce(jobs, len(jobs))
            runner = JobRunner(Ledger(store), parent, executor, len(jobs))
            try:
                runner.run(jobs)
            finally:
                outcomes = runner.outcomes(jobs)
                parent.record(outcomes)
                console.print(table(outcomes, f"{parent.study}: {len(jobs)} jobs"))
    return [_returned(outcome) for outcome in outcomes]


def finish(returns: Sequence[JobReturn]) -> list[float]:
    """The objectives of the jobs; raises `SweepFailed` naming those that have none."""
    failed = [result for result in returns if result.status == JobStatus.FAILED]
    if failed:
        listed = "\n".join(f"  {result._return_value}" for result in failed)
        raise SweepFailed(f"{len(failed)} of {len(returns)} jobs failed; launch the sweep again to try them\n{listed}")
    return [result.return_value for result in returns]


def _returned(outcome: JobOutcome) -> JobReturn:
    result = JobReturn(overrides=list(outcome.job.overrides), status=JobStatus.COMPLETED)
    result.return_value = outcome.objective
    if not outcome.good:
        result.status = JobStatus.FAILED
        result.return_value = SweepFailed(f"job {outcome.job.number + 1} ({outcome.job.label}): {outcome.reason}")
    return result
