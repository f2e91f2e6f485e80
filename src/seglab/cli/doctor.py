"""`seglab doctor`: everything that a run depends on, on one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seglab.cli.words import read, setting, tracking_uri
from seglab.run_record import RUNS


@dataclass(frozen=True, kw_only=True)
class DoctorWords:
    """Versions, devices, CPU flags, chosen precision and why, store health, stale runs. Leaves with 1 when something
    must be repaired."""

    runs: str = setting("folder of runs", default=str(RUNS))
    repair: bool = setting("correct the paths in a folder of runs that was moved", default=False)
    tracking_uri: str | None = tracking_uri()


def run(words: Sequence[str]) -> int:
    """Print the page."""
    settings = read(DoctorWords, words, "doctor")
    from seglab.doctor import report

    return report(settings.tracking_uri, Path(settings.runs).absolute(), repair=settings.repair)
