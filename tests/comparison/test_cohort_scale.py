"""Work on runs in memory grows with their number, not with its square: no store, no statistics."""

from __future__ import annotations

import time

import numpy as np
import pytest

from seglab.comparison.case_tables import CaseTable
from seglab.comparison.cohorts import make_cohorts
from seglab.comparison.runs import StoredRun
from seglab.comparison.variants import levels


def recorded(count: int) -> tuple[list[StoredRun], dict[str, CaseTable]]:
    """Runs of one split, each with a learning rate of its own."""
    cases, rng = ["a", "b"], np.random.default_rng(0)
    runs, tables = [], {}
    for number in range(count):
        params = {"data.name": "D", "seed": "0", "optimizer.name": "Adam", "optimizer.learning_rate": f"{number}e-6"}
        params |= {f"{group}.name": group for group in ("model", "loss")}
        tags = {"data_digest": "d", "split_digest": "s"}
        runs.append(StoredRun(f"{number:032x}", "Run", "FINISHED", params, tags, {}, "", number, 1.0))
        tables[runs[-1].id] = CaseTable(cases, cases, {"dice": rng.random(2)})
    return runs, tables


def seconds_for(count: int) -> float:
    runs, tables = recorded(count)
    begun = time.process_time()
    cohorts, _ = make_cohorts(runs, tables, "test_dice", "case")
    taken = time.process_time() - begun
    assert len(cohorts) == 1
    assert len({variant.label for variant in cohorts[0].variants}) == count
    return taken


def test_four_times_as_many_runs_take_about_four_times_as_long() -> None:
    seconds_for(200)
    few, many = min(seconds_for(1000) for _ in range(2)), seconds_for(4000)
    assert many < 8 * few + 0.5, f"1,000 runs: {few:.2f} s, 4,000 runs: {many:.2f} s"


@pytest.mark.parametrize("name", ["", "Adam"])
def test_parts_are_named_by_what_differs(name: str) -> None:
    own = {"name": name} if name else {}
    parts = [{**own, "rate": "1", "beta": "2"}, {**own, "rate": "3", "beta": "2"}, {**own, "rate": "1", "beta": "2"}]
    labels = ["Adam (rate=1)", "Adam (rate=3)", "Adam (rate=1)"] if name else ["rate=1", "rate=3", "rate=1"]
    assert levels(parts) == labels
