"""What a study found: its README and a technical note, from its runs: python scripts/report.py study=loss_study"""

from __future__ import annotations

import argparse
from pathlib import Path

from seglab.errors import run_script

SETTINGS = """settings:
  study=<name>          a folder below experiments/ whose sweep has run
  metric=test_dice      the score that decides
  cases=4               cases to draw with the best masks
  conclusion=confirmed  the conclusion, written for other runs, holds for these too: its mark goes away
  overwrite=true        replace pages of more of the study's jobs, or with words of yours outside of the conclusion
  out=<folder>          write README.md, pictures and note there instead
  runs=mlruns           folder of runs
  tracking_uri=http://… where the runs are recorded, unless in that folder
"""


def main() -> None:
    """Write experiments/<study>/README.md, its pictures, note.md, note.html and, with Chromium or pandoc, note.pdf."""
    parser = argparse.ArgumentParser(
        prog="report", description=__doc__, epilog=SETTINGS, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*", metavar="key=value", help="what to report, see below")
    words, flags = parser.parse_known_args()

    from seglab.reports.study.request import read_request

    request = read_request([*words.words, *flags])  # what is wrong is told before anything heavy is loaded

    from seglab.runtime.terminal import tell

    tell("loading MLflow and the statistics")
    from seglab.reports.study.write_report import run_report

    run_report(
        request.study,
        metric=request.metric,
        cases=request.cases,
        directory=Path(request.runs).absolute(),
        uri=request.tracking_uri,
        out=None if request.out is None else Path(request.out),
        confirmed=request.conclusion == "confirmed",
        overwrite=request.overwrite,
    )


if __name__ == "__main__":
    run_script(main)
