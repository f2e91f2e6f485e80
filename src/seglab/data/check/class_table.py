"""What the training masks hold, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from seglab.data.preprocessing.case_fingerprint import CaseFingerprint
from seglab.task import Task


def class_table(facts: Sequence[CaseFingerprint], task: Task) -> Table:
    """Id, name, pixels or voxels of each class, their share of all that are labelled, and the ignored ones."""
    unit = "pixels" if task.rank == 2 else "voxels"
    counts = np.array([fact.class_pixels for fact in facts], np.int64).sum(axis=0)
    ignored = sum(fact.ignored for fact in facts)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("id", justify="right")
    table.add_column("class")
    table.add_column(f"training {unit}", justify="right")
    table.add_column("share", justify="right")
    for k, (name, count) in enumerate(zip(task.class_names, counts.tolist(), strict=True)):
        style = "dim" if k in task.unscored else None
        table.add_row(str(k), escape(name), f"{count:,}", f"{count / max(counts.sum(), 1):.1%}", style=style)
    if ignored:
        table.add_row(str(task.ignore_label), "ignored", f"{ignored:,}", "", style="dim")
    return table
