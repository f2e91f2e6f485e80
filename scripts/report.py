"""What a study found: its README and a technical note, from its runs: python scripts/report.py study=loss_study."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from seglab.errors import SeglabError


def main() -> int:
    """Write experiments/<study>/README.md, its pictures, note.md, note.html and, with Chromium or pandoc, note.pdf."""
    parser = argparse.ArgumentParser(prog="report", description=__doc__)
    parser.add_argument("study", help="study=<name>: a folder below experiments/ whose sweep has run")
    parser.add_argument("--metric", default="test_dice", help="the score that decides (default: test_dice)")
    parser.add_argument("--cases", type=int, default=4, help="cases to draw with the best masks (default: 4)")
    parser.add_argument("--runs", type=Path, default=Path("mlruns"), help="folder of runs (default: mlruns)")
    parser.add_argument("--uri", help="address of the tracking store, when it is not the one in that folder")
    given = parser.parse_args()
    if given.cases < 0:
        parser.error("--cases: 0 or more")

    from seglab.reporting.study import load_study

    name = given.study.removeprefix("study=")
    try:
        load_study(name)  # a wrong name is told before anything heavy is loaded
        from seglab.reporting.report import run_report

        run_report(
            name,
            metric=given.metric,
            cases=given.cases,
            directory=given.runs.absolute(),
            uri=given.uri,
        )
    except SeglabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
