"""What a sweep says on the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from seglab.runtime.terminal import Terminal
from seglab.sweeping.jobs import JobOutcome

_STYLES = {"finished": "green", "skipped": "dim", "pruned": "dim", "failed": "red", "stopped": "yellow"}
console = Terminal(highlight=False, soft_wrap=True)


def table(outcomes: Sequence[JobOutcome], title: str) -> Table:
    """Job, what it is, what became of it."""
    drawn = Table(title=title, title_justify="left")
    for column in ("job", "overrides", "status", "objective", "run", "reason"):
        drawn.add_column(column, overflow="fold")
    for outcome in outcomes:
        drawn.add_row(
            str(outcome.job.number + 1),
            escape(outcome.job.label),
            f"[{_STYLES[outcome.status]}]{outcome.status}[/]",
            "" if math.isnan(outcome.objective) else f"{outcome.objective:.4f}",
            outcome.run_id or "",
            escape((outcome.reason.splitlines() or [""])[0]),
        )
    return drawn
