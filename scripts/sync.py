"""Deliver what runs kept on disk while their tracking store was away: make sync."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main() -> int:
    """Print what was delivered for each run; 0 when nothing is left or refused."""
    parser = argparse.ArgumentParser(prog="sync", description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("mlruns"), help="folder of runs (default: mlruns)")
    parser.add_argument("--refused", action="store_true", help="try once more what the store has refused before")
    given = parser.parse_args()

    from seglab.tracking.outbox import deliver_all

    deliveries = deliver_all(given.runs.absolute(), refused_too=given.refused)
    for one in deliveries:
        rest = f", {one.left} left: {one.reason}" if one.left else ""
        if one.refused:
            again = "" if given.refused else "; try them again: make sync ARGS=--refused"
            rest += f", {one.refused} refused by the store, with the reasons in {one.kept_in}{again}"
        print(f"run {one.run_id}: {one.records} records delivered{rest}")
    if not deliveries:
        print("nothing waits")
    return 1 if any(one.left or one.refused for one in deliveries) else 0


if __name__ == "__main__":
    sys.exit(main())
