"""A job of a sweep, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["finished", "skipped", "pruned", "failed", "stopped"]


@dataclass(frozen=True)
class Job:
    """One combination of a sweep.

    Attributes:
        number: its place in the sweep, from 0.
        overrides: what is said on its command line.
        identity: SHA-256 that says which job it is; None when its settings or data cannot be used.
        problem: why it has no identity.
        label: what distinguishes it from the others of its sweep.
    """

    number: int
    overrides: tuple[str, ...]
    identity: str | None
    problem: str = ""
    label: str = ""


@dataclass(frozen=True)
class JobOutcome:
    """What became of a job.

    Attributes:
        job: the job.
        status: `finished` now, `skipped` because it was finished before, `pruned` by the search, `failed`, or
            `stopped` with the sweep.
        run_id: its run, None when there is none.
        objective: best value of `trainer.monitor`; NaN when it was never defined or the job did not finish.
        reason: why it failed.
        seconds: how long its process ran.
    """

    job: Job
    status: Status
    run_id: str | None = None
    objective: float = float("nan")
    reason: str = ""
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        return self.status in ("finished", "skipped", "pruned")
