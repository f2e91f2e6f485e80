"""The slides of a study: the chapters of its pages, as short as a lecture wants them, with the runs of each number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from seglab.comparison.cohort_ranking import CohortRanking
from seglab.reports.comparison.plots import BOXES_DRAWN, draw_differences, png
from seglab.reports.comparison.sentences import ranking_notes, summary
from seglab.reports.document import PageSection, Picture
from seglab.reports.slides.deck import NOT_MEASURED, Slide
from seglab.reports.slides.pptx_file import deck_bytes
from seglab.reports.study.data_section import DATA, EXAMPLES
from seglab.reports.study.limitations import LIMITS, NEXT, best_run
from seglab.reports.study.methods import APPROACHES
from seglab.reports.study.production import PRODUCTION
from seglab.reports.study.readme import (
    CASES,
    EFFECTS,
    PLOTS,
    RUNS,
    SCORES,
    StudyReport,
    design,
    result_section,
)
from seglab.reports.study.run_facts import machine_and_time
from seglab.reports.study.slide_tables import COST_SHOWN, EFFECT, chosen, production, scores
from seglab.reports.study.small_images import small
from seglab.reports.study.study_findings import CHOSEN, COST, GAINS, about_effects, runs_of_effects
from seglab.reports.study.technical_note import SCORE_MADE, WRITTEN, headline

_EXAMPLES, _POINTS = 3, 6  # slides of cases, points of a list


def slides_file(report: StudyReport, chapters: Sequence[PageSection]) -> bytes:
    """The .pptx: the same for the same results."""
    newest = max(run.started for run in report.comparison.found.runs) / 1000
    made = datetime.fromtimestamp(newest, UTC).replace(tzinfo=None)
    return deck_bytes(make_slides(report, chapters), report.study.name, made)


def make_slides(report: StudyReport, chapters: Sequence[PageSection]) -> list[Slide]:
    """Question, data, approaches, score, results, costs, the chosen network, pictures, production, limits, next.

    Of several sets of runs that cannot be paired the one with most variants is shown, of the others the answer.

    Args:
        report: what the study's pages are made of.
        chapters: of the technical note, in which each number stands as it does here.
    """
    study, metric = report.study, report.comparison.settings.metric
    runs = report.comparison.found.runs
    every = [run.id for run in runs]
    page = _Chapters(chapters)
    ranking, *others = report.comparison.rankings
    points = [
        f"{len(runs)} finished training runs, ranked by {metric}",
        "Every number is read from them by seglab report; only the conclusion is written by hand",
    ]
    answers = [f"{other.cohort.title}: {summary(other, metric)}" for other in others]
    made, network = page.of(PRODUCTION), page.of(CHOSEN)
    return [
        Slide(study.name, [headline(study.question)], points, runs=every),
        Slide("Question", [study.question], table=design(report.comparison), runs=every),
        Slide("Answer", [summary(ranking, metric)], ranking_notes(ranking), runs=ids(ranking)),
        *([Slide("Answers on other data", points=answers[:_POINTS], runs=every)] if answers else []),
        _conclusion(report, page.of(WRITTEN), every),
        *_data(every, page.of(DATA)),
        Slide(
            APPROACHES,
            table=chosen(page.of(APPROACHES), ("part", "name", "idea")),
            runs=every,
            notes=[" – ".join((row[1].text, row[3].text)) for row in page.of(APPROACHES).grids[0].rows],
        ),
        Slide(f"The score, {metric}", page.of(SCORE_MADE).text),
        *_results(report, ranking, page),
        *_effects(ranking, page, metric),
        *_costs(report, ranking, page),
        Slide(CHOSEN, network.text, picture=next(iter(network.pictures), None), runs=[best_run(report.comparison).id]),
        *_pictures(report, page),
        Slide(
            PRODUCTION,
            table=production(made),
            runs=list(dict.fromkeys(row[2].text for row in made.grids[0].rows if row[2].text)),
        ),
        Slide(LIMITS, page.of(LIMITS).text, _least_of_plan(page.of(LIMITS).notes, report.plan.limits), runs=every),
        Slide(NEXT, points=page.of(NEXT).notes, runs=every),
        Slide(RUNS, table=chosen(page.of(RUNS), ("run id", "name", "seed", metric, "train time")), runs=every),
    ]


def ids(ranking: CohortRanking) -> list[str]:
    """Of the runs of a ranking, those of the best variant first."""
    return [run.id for i in ranking.order for run in ranking.cohort.variants[i].runs]


class _Chapters:
    """The chapters of a page by their title: of several of a kind the first, which is of the first set of runs."""

    def __init__(self, chapters: Sequence[PageSection]):
        self._found = {chapter.title.partition(": ")[0]: chapter for chapter in reversed(chapters)}

    def of(self, title: str) -> PageSection:
        """The chapter; an empty one where there is none."""
        return self._found.get(title, PageSection(title))

    def picture(self, title: str, ending: str) -> Picture | None:
        """The picture of a chapter whose name ends so."""
        return next((one for one in self.of(title).pictures if one.name.endswith(ending)), None)


def _least_of_plan(notes: Sequence[str], plan: Sequence[str]) -> list[str]:
    """What limits the results first: the runs that are no job of the study can be many."""
    return [*[note for note in notes if note not in plan], *plan]


def _conclusion(report: StudyReport, written: PageSection, every: Sequence[str]) -> Slide:
    """By hand; one that was written for other runs is not shown: it may hold their numbers."""
    if report.stale:
        return Slide(WRITTEN, [f"Left out: it was written for {report.stale}, and not read again since."])
    if report.conclusion is None:
        return Slide(WRITTEN, ["Not written yet: it goes between the two marks of README.md beside these slides."])
    return Slide(WRITTEN, points=written.written, runs=every)


def _data(every: Sequence[str], chapter: PageSection) -> Iterator[Slide]:
    """What all runs say of it, and what the first alone can tell."""
    facts, *classes = chapter.grids
    first = every[:1]
    yield Slide(DATA, chapter.text, table=facts, runs=every)
    no_bundle = f"Classes and their shares: {NOT_MEASURED}. The run keeps no model, which would hold them."
    yield Slide("Classes and their shares", [] if classes else [no_bundle], table=next(iter(classes), None), runs=first)
    no_samples = " ".join(chapter.notes) or f"Cases: {NOT_MEASURED}. The run has drawn no training samples."
    shown = next(iter(chapter.pictures), None)
    yield Slide("What a network is shown", [] if shown else [no_samples], picture=shown, runs=first)


def _results(report: StudyReport, ranking: CohortRanking, page: _Chapters) -> Iterator[Slide]:
    """The table with ties, the picture of the intervals, the classes, the curves."""
    metric = report.comparison.settings.metric
    found, cohort = result_section(ranking, report.comparison), ranking.cohort
    columns = ("variant", "", metric, "against the best, 95% interval", "p", "runs")
    about = (
        f"{metric} over {len(cohort.cases)} cases, mean ± standard deviation over the runs. Tied: not shown to be "
        "worse than the best."
    )
    yield Slide(f"Result: {cohort.title}", [about], table=chosen(found, columns), runs=ids(ranking))
    if len(cohort.variants) > 1:
        yield Slide("What is told apart, and what is tied", picture=_intervals(ranking, metric), runs=ids(ranking))
    table, shown = scores(ranking, page.of(SCORES))
    yield Slide("Scores of the classes", table=table, runs=shown)
    curves = page.picture(PLOTS, "curves")
    nothing = [] if curves else [f"Learning curves: {NOT_MEASURED}."]
    yield Slide("Learning", nothing, picture=curves, runs=ids(ranking))


def _intervals(ranking: CohortRanking, metric: str) -> Picture:
    cohort = ranking.cohort
    verdicts = [ranking.verdicts[i] for i in ranking.order]
    found = [None if v.paired is None else v.paired.difference for v in verdicts]
    figure = draw_differences(
        [cohort.variants[i].label for i in ranking.order],
        [None if one is None else (one.difference, one.low, one.high) for one in found],
        [verdict.place for verdict in verdicts],
        metric,
    )
    caption = (
        f"Difference of {metric} to the best variant, {cohort.variants[ranking.order[0]].label}, with its 95% "
        f"interval over {cohort.repeated} and cases, corrected for all pairs. Tied: not shown to be worse."
    )
    more = len(verdicts) - BOXES_DRAWN
    return Picture("differences", small(png(figure)), caption + (f" {more} more are not drawn." if more > 0 else ""))


def _effects(ranking: CohortRanking, page: _Chapters, metric: str) -> Iterator[Slide]:
    """What augmentation gains, and what the other factors do."""
    gains, others = page.of(GAINS), page.of(EFFECTS)
    yield Slide(GAINS, gains.text, table=chosen(gains, EFFECT), runs=runs_of_effects(ranking, True))
    if others.grids:
        of = runs_of_effects(ranking, False)
        yield Slide("What each other factor is worth", [about_effects(metric)], table=chosen(others, EFFECT), runs=of)


def _costs(report: StudyReport, ranking: CohortRanking, page: _Chapters) -> Iterator[Slide]:
    """Time, memory and parameters; the score against them; the machine."""
    cost = page.of(COST)
    yield Slide(COST, table=chosen(cost, COST_SHOWN), runs=ids(ranking))
    yield Slide("Score against cost", cost.text, picture=next(iter(cost.pictures), None), runs=ids(ranking))
    found = report.comparison.found
    yield Slide("Machine and time", table=machine_and_time(report.store, found), runs=[run.id for run in found.runs])


def _pictures(report: StudyReport, page: _Chapters) -> Iterator[Slide]:
    """Best, median and worst case of the best run, and the cases on which the variants differ most."""
    run = best_run(report.comparison).id
    title = "Best, median and worst case"
    for picture in page.of(EXAMPLES).pictures[:_EXAMPLES]:
        yield Slide(title, picture=picture, runs=[run])
    if not page.of(EXAMPLES).pictures:
        nothing = f"Pictures: {NOT_MEASURED}. The best run has drawn no test cases."
        yield Slide(title, [" ".join(page.of(EXAMPLES).notes) or nothing], runs=[run])
    disputed = page.picture(CASES, "pictures")
    if disputed is not None:
        yield Slide("Cases on which the variants differ", picture=disputed, runs=ids(report.comparison.rankings[0]))
