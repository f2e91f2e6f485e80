"""The README of a study: everything but its conclusion is written from the runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from seglab.comparison.cohort_ranking import CohortRanking, mark
from seglab.comparison.variants import REPLICATES
from seglab.metric_names import TEST_DICE, MetricName
from seglab.number_format import difference, duration, interval, p_value, with_sd
from seglab.reports.comparison.compare import Comparison
from seglab.reports.comparison.sentences import crowding, ranking_notes, standing, summary
from seglab.reports.document import Cell, Document, PageSection, TableBlock, to_markdown
from seglab.reports.study.commands_made import commands_made
from seglab.reports.study.page_record import BEGIN, END, STALE, TO_BE_WRITTEN, Record, noting
from seglab.reports.study.run_facts import machine_and_time
from seglab.reports.study.study import Study
from seglab.reports.study.study_plan import StudyPlan
from seglab.tracking.store import Store

README = "README.md"
DECIDES = TEST_DICE
PICTURES = "pictures"
VARIANTS, PAIRS, EFFECTS, PLOTS = "Variants", "Against the best", "What each factor is worth", "Plots"
SCORES = "Scores"
CASES, REMARKS, RUNS = "Pictures", "Left out, or apart", "Runs"
_IN_README = ("curves", "cases")


@dataclass(frozen=True)
class StudyReport:
    """What both the README and the note are made of.

    Attributes:
        study: what was asked.
        comparison: what was found, with its page.
        store: where the runs are.
        plan: how far the runs are the study's.
        record: which runs they are, and which the conclusion is about.
        conclusion: what a person has written of it; None so far.
    """

    study: Study
    comparison: Comparison
    store: Store
    plan: StudyPlan
    record: Record
    conclusion: str | None

    @property
    def stale(self) -> str:
        """What the conclusion was written for, where that is not these runs; empty where it is."""
        about = self.record.conclusion
        return about.change(self.record.page) if about is not None else ""

    def chapters(self, name: str) -> list[PageSection]:
        """The sections of the comparison's page of this kind: one for each set of runs that can be paired."""
        return [s for s in self.comparison.document.sections if s.title.partition(": ")[0] == name]


def readme_file(report: StudyReport) -> bytes:
    """The README, without its pictures."""
    return noting(to_markdown(readme(report), PICTURES), report.record)


def readme(report: StudyReport) -> Document:
    """The README as a page: question, command, machine and time, results, pictures, conclusion, runs."""
    study, comparison = report.study, report.comparison
    results = [result_section(ranking, comparison) for ranking in comparison.rankings]
    plots = [
        replace(section, pictures=[p for p in section.pictures if p.name.endswith(_IN_README)])
        for section in report.chapters(PLOTS)
    ]
    kept = [f"{BEGIN}\n{report.conclusion or TO_BE_WRITTEN}\n{END}"]
    if report.stale:
        how = f"edit it, or confirm it with `{_command(report)} conclusion=confirmed`"
        kept.insert(0, f"{STALE}{report.stale}: read it again,** then {how}.")
    sections = [
        PageSection("Question", text=[study.question]),
        PageSection("Command", code=commands(report), notes=report.plan.limits, grids=[design(comparison)]),
        PageSection("Machine and time", grids=[machine_and_time(report.store, comparison.found)]),
        *report.chapters(REMARKS),
        *results,
        *report.chapters(SCORES),
        *report.chapters(EFFECTS),
        *plots,
        *report.chapters(CASES),
        PageSection("Conclusion", written=kept),
        *report.chapters(RUNS),
    ]
    lead = (
        "All but the conclusion is written from the runs by `seglab report`, and so is the technical note, "
        "[note.md](note.md)."
    )
    return Document(study.name, lead, sections)


def design(comparison: Comparison) -> TableBlock:
    """What differs between the runs: the parts of the variants, and what each is repeated over."""
    varied: dict[str, dict[str, None]] = {}
    for ranking in comparison.rankings:
        for variant in ranking.cohort.variants:
            for factor, level in variant.parts.items():
                varied.setdefault(factor, {})[level] = None
    for key in REPLICATES:
        levels = dict.fromkeys(run.params[key] for run in comparison.found.runs if key in run.params)
        if len(levels) > 1:
            varied[key] = levels
    return TableBlock(["varied", "values"], [[Cell(key), Cell(", ".join(levels))] for key, levels in varied.items()])


def commands(report: StudyReport) -> str:
    """How the runs were made, with every override, and how they are reported again."""
    return "\n".join([*commands_made(report.store, report.comparison.found), _command(report)])


def _command(report: StudyReport) -> str:
    metric = report.comparison.settings.metric
    more = "" if metric == DECIDES else f" metric={metric}"
    return f"seglab report study={report.study.name}{more}"


def result_section(ranking: CohortRanking, comparison: Comparison) -> PageSection:
    """Each variant with its score, how it stands against the best, its time and its runs."""
    metric, cohort = comparison.settings.metric, ranking.cohort
    frame: pd.DataFrame = comparison.variants
    rows = []
    for i in ranking.order:
        variant, verdict = cohort.variants[i], ranking.verdicts[i]
        best = verdict.place == "best"
        row = frame[(frame["data"] == cohort.title) & (frame["variant"] == variant.label)].iloc[0]
        paired = verdict.paired
        rows.append(
            [
                Cell(mark(variant), strong=best),
                Cell(standing(ranking, i)),
                Cell(with_sd(ranking.means[i], ranking.sds[i]), ranking.means[i], strong=best),
                Cell("" if paired is None else f"{difference(paired.difference)} {interval(paired.difference)}"),
                Cell("" if paired is None else p_value(paired.difference.p)),
                Cell(duration(row["train_seconds"])),
                Cell(", ".join(run.id[:8] for run in variant.runs)),
            ]
        )
    crowded = crowding(comparison.found.together)
    time = "train time of a run" + (" ⚠" if crowded else "")
    columns = ["variant", "", metric, "against the best, 95% interval", "p", time, "runs"]
    sd = "mean ± standard deviation over the runs" if np.isfinite(ranking.sds).any() else "of one run each"
    caption = (
        f"{metric} over {len(cohort.cases)} cases{_of_cases(metric)}, {sd}. "
        f"Tied: not shown to be worse than the best. Interval and p: over {cohort.repeated} and cases, corrected for "
        f"all pairs of variants. Runs: the first letters of their ids, which stand in full below. {crowded}"
    ).rstrip()
    return PageSection(
        f"Result: {cohort.title}",
        text=[summary(ranking, metric)],
        notes=ranking_notes(ranking),
        grids=[TableBlock(columns, rows, caption)],
    )


def _of_cases(metric: str) -> str:
    """What the mean is of, where a score of the epochs has a like name."""
    alike = MetricName.parse(metric).column.score in ("dice", "iou")
    return " (the mean of the cases' own, where validation takes all pixels together)" if alike else ""


def pictures_of(sections: Sequence[PageSection]) -> dict[str, bytes]:
    """The pictures of the sections by their file's name."""
    return {f"{p.name}.{p.kind}": p.png for section in sections for p in section.pictures}
