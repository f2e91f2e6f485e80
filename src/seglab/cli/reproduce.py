"""`seglab reproduce`: train a run again and compare."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from seglab.cli.words import read, setting, tracking_uri
from seglab.config.types import NonNegativeFloat
from seglab.run_record import RUNS
from seglab.runtime.waiting import step
from seglab.tracking.store_place import check_there


@dataclass(frozen=True, kw_only=True)
class ReproduceWords:
    """Train a run again with its code, config, data and split; compare every metric. Leaves with 1 when one differs."""

    run: str = setting("the run's id", positional=True)
    tolerance: NonNegativeFloat = setting("largest difference that still counts as the same", default=0.005)
    trust_diff: bool = setting(
        "for an imported run: true lets its changed code run here; without it the changes are only shown", default=False
    )
    tracking_uri: str | None = tracking_uri()


def run(words: Sequence[str]) -> int:
    """Do it and print a table, a row a metric."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    settings = read(ReproduceWords, words, "reproduce")
    from rich.table import Table

    check_there(settings.tracking_uri, RUNS)
    with step("loading MLflow"):
        from seglab.experiment.reproduce import reproduce
        from seglab.runtime.terminal import Terminal
        from seglab.tracking.store_lookup import open_existing

    store = open_existing(settings.tracking_uri, RUNS)
    done = reproduce(store, store.run(settings.run), tolerance=settings.tolerance, trust_diff=settings.trust_diff)
    table = Table(box=None)
    for column in ("metric", "verdict", "difference", "from epoch", "was", "is"):
        table.add_column(column, no_wrap=True)
    for row in done.table.itertuples():
        first = "" if row.verdict == "identical" else str(row.first_epoch)
        table.add_row(
            row.metric, row.verdict, f"{row.largest_difference:.3g}", first, f"{row.former:.6g}", f"{row.again:.6g}"
        )
    console = Terminal(highlight=False)
    console.print(table)
    for note in done.notes:
        console.print(f"note       {note}", markup=False)
    console.print(f"[bold]{done.verdict}[/bold]: run {done.run_id} repeats {settings.run}")
    return 1 if done.verdict == "different" else 0
