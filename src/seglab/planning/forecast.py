"""What a study will take: from a measured dry run to epochs, hours, memory, and the request to a cluster."""

from __future__ import annotations

import math
from dataclasses import dataclass

from seglab.errors import ConfigError
from seglab.planning.budget import EPOCHS, SPARE, Budget, epochs_within
from seglab.planning.dry_run import Measured

# What a cluster is asked for beyond the forecast: nodes differ, and a job that is cut off costs more than a reserve.
TIME_RESERVE, MEMORY_RESERVE, LEAST_MINUTES = 1.3, 1.2, 10


@dataclass(frozen=True)
class Forecast:
    """What each run and the whole study take, one run after the other.

    Attributes:
        measured: the dry run.
        epochs: of a run.
        jobs: runs of the study.
    """

    measured: Measured
    epochs: int
    jobs: int

    @property
    def run_minutes(self) -> float:
        """Of a run."""
        return self.measured.run_seconds(self.epochs) / 60

    @property
    def study_hours(self) -> float:
        """Of all runs, one after the other."""
        return self.jobs * self.run_minutes / 60

    @property
    def minutes(self) -> int:
        """What a cluster is asked for, for a run: with a reserve."""
        return max(math.ceil(TIME_RESERVE * self.run_minutes), LEAST_MINUTES)

    @property
    def gigabytes(self) -> int:
        """What a cluster is asked for, for a run: with a reserve."""
        return math.ceil(MEMORY_RESERVE * self.measured.memory_mb / 1000)

    @property
    def slurm(self) -> str:
        """The settings that ask a cluster for enough, which `launcher=slurm` alone fills in."""
        return f"launcher=slurm launcher.time_minutes={self.minutes} launcher.memory_gb={self.gigabytes}"


def epochs_for(measured: Measured, budget: Budget, jobs: int) -> int:
    """The epochs that the hours leave to each run.

    Raises:
        ConfigError: fewer than the fewest; names the hours that are enough.
    """
    seconds = budget.study_hours * 3600 / jobs - measured.run_seconds(0)
    found = epochs_within(seconds / measured.epoch_seconds)
    if found is None:
        needed = budget.studies * measured.run_seconds(EPOCHS[0]) * jobs / 3600
        raise ConfigError(
            "a study that the hours have no room for",
            code="plan-does-not-fit",
            where="budget.hours",
            found=f"{measured.epoch_seconds:.0f} s an epoch, {jobs} runs, {budget.study_hours:g} hours",
            expected=f"{EPOCHS[0]} epochs a run or more",
            remedy=f"the nearest that fits: budget.hours={math.ceil(needed * 100) / 100:g}; or fewer data.folds, where "
            "the plan has folds, or a smaller data.size",
        )
    return found


def check_memory(measured: Measured, budget: Budget, smaller: str) -> None:
    """Refuse a configuration that took more memory than it may.

    Args:
        measured: the dry run.
        budget: of the study.
        smaller: the nearest that fits, as a setting.

    Raises:
        ConfigError: names both.
    """
    if measured.memory_mb <= budget.memory_gb * 1000:
        return
    raise ConfigError(
        "a plan that took more memory than it may",
        code="plan-does-not-fit",
        where="budget.memory_gb",
        found=f"{measured.memory_mb / 1000:.1f} GB in the dry run",
        expected=f"at most {budget.memory_gb:g} GB",
        remedy=f"the nearest that fits: {smaller}, or "
        f"budget.memory_gb={math.ceil(measured.memory_mb / 1000 / (1 - SPARE)):g}",
    )
