"""`seglab sweep-status`: how far a study's sweeps are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seglab.cli.words import read, setting, tracking_uri
from seglab.run_record import RUNS
from seglab.runtime.waiting import step
from seglab.tracking.store_place import check_there


@dataclass(frozen=True, kw_only=True)
class SweepStatusWords:
    """One line for each sweep of a study, and why jobs have failed. Leaves with 0 when nothing has failed."""

    study: str = setting("an experiment that was swept, or the id of a sweep", positional=True)
    runs: str = setting("folder of runs", default=str(RUNS))
    tracking_uri: str | None = tracking_uri()


def run(words: Sequence[str]) -> int:
    """Print it."""
    settings = read(SweepStatusWords, words, "sweep-status")
    check_there(settings.tracking_uri, Path(settings.runs))
    with step("loading MLflow"):
        from seglab.runtime.terminal import Terminal
        from seglab.sweeping.status import status_table, sweep_statuses

    console = Terminal(highlight=False, soft_wrap=True)
    with step("reading the sweeps' runs"):
        statuses = sweep_statuses(Path(settings.runs).absolute(), settings.study, settings.tracking_uri)
    console.print(status_table(statuses))
    for one in statuses:
        for job, run_id, reason in one.failures:
            console.print(f"failed     job {job} of {one.sweep_id}  {run_id}  {reason}", markup=False)
    return 1 if any(one.failed for one in statuses) else 0
