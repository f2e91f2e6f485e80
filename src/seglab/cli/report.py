"""`seglab report`: what a study found, its README and a technical note, from its runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seglab.cli.words import read, setting, tracking_uri
from seglab.config.types import NonNegativeInt
from seglab.metric_names import TEST_DICE
from seglab.run_record import RUNS


@dataclass(frozen=True, kw_only=True)
class ReportWords:
    """Write experiments/<study>/README.md, its pictures, note.md, note.html and, with Chromium or pandoc, note.pdf;
    with slides=true slides.pptx too: at most 30 slides, which name the runs of each number."""

    study: str = setting("a folder below experiments/ whose sweep has run")
    metric: str = setting("the score that ranks the variants", default=TEST_DICE)
    cases: NonNegativeInt = setting("cases to draw with the best masks", default=4)
    conclusion: Literal["kept", "confirmed"] = setting(
        "confirmed: the conclusion was written for other runs and holds for these too; removes its mark", default="kept"
    )
    overwrite: bool = setting(
        "replace pages of more jobs than now, or pages that you have edited outside of the conclusion", default=False
    )
    slides: bool = setting("write slides.pptx too; needs seglab[slides]", default=False)
    out: str | None = setting("folder for README.md, pictures and note; null: the study's own", default=None)
    runs: str = setting("folder of runs", default=str(RUNS))
    tracking_uri: str | None = tracking_uri()


def read_words(words: Sequence[str]) -> ReportWords:
    """What the words of the command line say; the study is one that there is."""
    from seglab.reports.study.study import load_study

    settings = read(ReportWords, words, "report")
    load_study(settings.study)
    return settings


def run(words: Sequence[str]) -> None:
    """Write it."""
    settings = read_words(words)  # errors come before anything heavy is loaded
    from seglab.runtime.terminal import tell

    tell("loading MLflow and the statistics")
    from seglab.reports.study.write_report import run_report

    run_report(
        settings.study,
        metric=settings.metric,
        cases=settings.cases,
        directory=Path(settings.runs).absolute(),
        uri=settings.tracking_uri,
        out=None if settings.out is None else Path(settings.out),
        confirmed=settings.conclusion == "confirmed",
        overwrite=settings.overwrite,
        slides=settings.slides,
    )
