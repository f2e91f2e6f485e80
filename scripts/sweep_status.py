"""How far a study's sweeps are: make sweep-status STUDY=loss_study."""

from __future__ import annotations

import argparse
from pathlib import Path

from seglab.errors import run_script
from seglab.runtime.terminal import Terminal
from seglab.runtime.waiting import step


def main() -> int:
    """Print one line for each sweep of the study, and why jobs have failed; 0 when nothing has failed."""
    parser = argparse.ArgumentParser(prog="sweep_status", description=__doc__)
    parser.add_argument("study", help="study=<name>: an experiment that was swept, or the id of a sweep")
    parser.add_argument("--runs", type=Path, default=Path("mlruns"), help="folder of runs (default: mlruns)")
    parser.add_argument("--uri", help="address of the tracking store, when it is not the one in that folder")
    given = parser.parse_args()

    with step("loading MLflow"):
        from seglab.sweeping.status import status_table, sweep_statuses

    console = Terminal(highlight=False, soft_wrap=True)
    with step("reading the sweeps' runs"):
        statuses = sweep_statuses(given.runs.absolute(), given.study.removeprefix("study="), given.uri)
    console.print(status_table(statuses))
    for one in statuses:
        for job, run_id, reason in one.failures:
            console.print(f"failed     job {job} of {one.sweep_id}  {run_id}  {reason}", markup=False)
    return 1 if any(one.failed for one in statuses) else 0


if __name__ == "__main__":
    run_script(main)
