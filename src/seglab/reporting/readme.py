"""The README of a study: everything but its conclusion is written from the runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from seglab.comparison.compare import Comparison
from seglab.comparison.document import Cell, Document, Grid, Section, to_markdown
from seglab.comparison.grouping import REPLICATES
from seglab.comparison.judgement import Judgement, mark
from seglab.comparison.wording import crowding, duration, interval, p_value, signed, summary, with_sd
from seglab.errors import ConfigError
from seglab.reporting.facts import machine_and_time
from seglab.reporting.study import Study
from seglab.tracking.store import Store

README = "README.md"
PICTURES = "pictures"
BEGIN, END = "<!-- conclusion -->", "<!-- /conclusion -->"
TO_BE_WRITTEN = "To be written by hand, here between the two marks; writing the report again keeps it."
COMPOSITIONS, PAIRS, EFFECTS, PLOTS = "Compositions", "Against the best", "What each factor is worth", "Plots"
SCORES = "Scores"
CASES, REMARKS, RUNS = "Pictures", "Left out, or apart", "Runs"
_IN_README = ("curves", "cases")


@dataclass(frozen=True)
class Report:
    """What both the README and the note are made of.

    Attributes:
        study: what was asked.
        comparison: what was found, with its page.
        store: where the runs are.
        conclusion: what a person has written of it; None so far.
    """

    study: Study
    comparison: Comparison
    store: Store
    conclusion: str | None

    def chapters(self, name: str) -> list[Section]:
        """The sections of the comparison's page of this kind: one for each set of runs that can be paired."""
        return [s for s in self.comparison.document.sections if s.title.partition(": ")[0] == name]


def readme_file(report: Report) -> dict[Path, bytes]:
    """The README, which lies beside the study's file, without its pictures."""
    return {report.study.folder / README: to_markdown(readme(report), PICTURES).encode()}


def read_conclusion(folder: Path) -> str | None:
    """What stands between the marks of the README that is there; None without a README, or before it was written.

    Raises:
        ConfigError: a README without the two marks: to write over it would lose what a person has written.
    """
    path = folder / README
    if not path.exists():
        return None
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ConfigError(
            "a README that would be written over",
            where=str(path),
            found=f"{text.count(BEGIN)} × {BEGIN} and {text.count(END)} × {END}",
            expected="each once, around the words to keep",
            remedy="put the two marks around your conclusion, or move the file away",
        )
    kept = text.partition(BEGIN)[2].partition(END)[0].strip()
    return None if kept == TO_BE_WRITTEN or not kept else kept


def readme(report: Report) -> Document:
    """The README as a page: question, command, machine and time, results, pictures, conclusion, runs."""
    study, comparison = report.study, report.comparison
    results = [_result(judgement, comparison) for judgement in comparison.judgements]
    plots = [
        replace(section, pictures=[p for p in section.pictures if p.name.endswith(_IN_README)])
        for section in report.chapters(PLOTS)
    ]
    kept = f"{BEGIN}\n{report.conclusion or TO_BE_WRITTEN}\n{END}"
    sections = [
        Section("Question", text=[study.question]),
        Section("Command", code=commands(report), grids=[design(comparison)]),
        Section("Machine and time", grids=[machine_and_time(report.store, comparison.found)]),
        *report.chapters(REMARKS),
        *results,
        *report.chapters(SCORES),
        *report.chapters(EFFECTS),
        *plots,
        *report.chapters(CASES),
        Section("Conclusion", written=[kept]),
        *report.chapters(RUNS),
    ]
    lead = (
        "All but the conclusion is written from the runs by `scripts/report.py`, and so is the technical note, "
        "[note.md](note.md)."
    )
    return Document(study.name, lead, sections)


def design(comparison: Comparison) -> Grid:
    """What differs between the runs: the parts of the compositions, and what each is repeated over."""
    varied: dict[str, dict[str, None]] = {}
    for judgement in comparison.judgements:
        for composition in judgement.contest.compositions:
            for factor, level in composition.parts.items():
                varied.setdefault(factor, {})[level] = None
    for key in REPLICATES:
        levels = dict.fromkeys(run.params[key] for run in comparison.found.runs if key in run.params)
        if len(levels) > 1:
            varied[key] = levels
    return Grid(["varied", "values"], [[Cell(key), Cell(", ".join(levels))] for key, levels in varied.items()])


def commands(report: Report) -> str:
    """How the study is run, compared and reported again."""
    name, metric = report.study.name, report.comparison.settings.metric
    more = "" if metric == "test_dice" else f" --metric {metric}"
    return f"{report.study.command}\npython scripts/report.py study={name}{more}"


def _result(judgement: Judgement, comparison: Comparison) -> Section:
    """Each composition with its score, how it stands against the best, its time and its runs."""
    metric, contest = comparison.settings.metric, judgement.contest
    frame: pd.DataFrame = comparison.compositions
    rows = []
    for i in judgement.order:
        composition, verdict = contest.compositions[i], judgement.verdicts[i]
        best = verdict.place == "best"
        row = frame[(frame["data"] == contest.title) & (frame["composition"] == composition.label)].iloc[0]
        paired = verdict.paired
        rows.append(
            [
                Cell(mark(composition), strong=best),
                Cell(verdict.place),
                Cell(with_sd(judgement.means[i], judgement.sds[i]), judgement.means[i], strong=best),
                Cell("" if paired is None else f"{signed(paired.difference.difference)} {interval(paired.difference)}"),
                Cell("" if paired is None else p_value(paired.difference.p)),
                Cell(duration(row["train_seconds"])),
                Cell(", ".join(run.id[:8] for run in composition.runs)),
            ]
        )
    crowded = crowding(comparison.found.together)
    time = "train time of a run" + (" ⚠" if crowded else "")
    columns = ["composition", "", metric, "against the best, 95% interval", "p", time, "runs"]
    sd = "mean ± standard deviation over the runs" if np.isfinite(judgement.sds).any() else "of one run each"
    caption = (
        f"{metric} over {len(contest.cases)} cases{_of_cases(metric)}, {sd}. "
        f"Tied: not shown to be worse than the best. Interval and p: over {contest.repeated} and cases, corrected for "
        f"all pairs of compositions. Runs: the first letters of their ids, which stand in full below. {crowded}"
    ).rstrip()
    return Section(
        f"Result: {contest.title}",
        text=[summary(judgement, metric)],
        notes=judgement.notes,
        grids=[Grid(columns, rows, caption)],
    )


def _of_cases(metric: str) -> str:
    """What the mean is of, where a score of the epochs has a like name."""
    alike = metric.partition("/")[0].endswith(("_dice", "_iou"))
    return " (the mean of the cases' own, where validation takes all pixels together)" if alike else ""


def pictures_of(sections: Sequence[Section]) -> dict[str, bytes]:
    """The pictures of the sections by their file's name."""
    return {f"{p.name}.{p.kind}": p.png for section in sections for p in section.pictures}
