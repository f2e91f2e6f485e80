"""Train a run again and compare: python scripts/reproduce.py <run id>"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from rich.table import Table

from seglab.errors import run_script
from seglab.runtime.terminal import Terminal
from seglab.runtime.waiting import step

RUNS = Path("mlruns")
YES = "trust_diff=true"


def main() -> int:
    parser = argparse.ArgumentParser(description="Train a run again with its code, config, data and split; compare.")
    parser.add_argument("run", help="the run's id (run=<id> is understood, too)")
    parser.add_argument(
        "trust",
        nargs="?",
        choices=[YES],
        help="an imported run: its changes, which are shown without this, may run here",
    )
    parser.add_argument("--tolerance", type=float, default=0.005, help="largest difference that still counts (0.005)")
    parser.add_argument("--tracking-uri", help="the store; the embedded one in mlruns/ when left away")
    args = parser.parse_intermixed_args()

    with step("loading MLflow"):
        from seglab.experiment.reproduce import reproduce
        from seglab.tracking.store import open_store

    store = open_store(args.tracking_uri, RUNS)
    done = reproduce(
        store, store.run(args.run.removeprefix("run=")), tolerance=args.tolerance, trust_diff=args.trust == YES
    )
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
    console.print(f"[bold]{done.verdict}[/bold]: run {done.run_id} repeats {args.run}")
    return 1 if done.verdict == "different" else 0


if __name__ == "__main__":
    run_script(main)
