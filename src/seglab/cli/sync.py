"""`seglab sync`: deliver what runs kept on disk while their tracking store was away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seglab.cli.words import read, setting
from seglab.run_record import RUNS


@dataclass(frozen=True, kw_only=True)
class SyncWords:
    """Deliver what runs kept on disk while their tracking store was away, each to the store that it was meant for.
    Leaves with 0 when nothing is left or refused."""

    runs: str = setting("folder of runs", default=str(RUNS))
    refused: bool = setting("try once more what the store has refused before", default=False)


def run(words: Sequence[str]) -> int:
    """Deliver, a line a run."""
    settings = read(SyncWords, words, "sync")
    from seglab.tracking.outbox import deliver_all

    deliveries = deliver_all(Path(settings.runs).absolute(), refused_too=settings.refused)
    for one in deliveries:
        rest = f", {one.left} left: {one.reason}" if one.left else ""
        if one.refused:
            again = "" if settings.refused else "; try them again: seglab sync refused=true"
            rest += f", {one.refused} refused by the store, with the reasons in {one.kept_in}{again}"
        print(f"run {one.run_id}: {one.records} records delivered{rest}")
    if not deliveries:
        print("nothing waits")
    return 1 if any(one.left or one.refused for one in deliveries) else 0
