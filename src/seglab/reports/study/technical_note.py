"""The technical note of a study: Markdown, one HTML page, and a PDF where there is something to print it."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from seglab.comparison.case_tables import locate
from seglab.errors import TrackingError
from seglab.metric_names import Column
from seglab.reports.comparison.sentences import summary
from seglab.reports.document import Document, PageSection, TableBlock, to_markdown
from seglab.reports.html_page import to_html
from seglab.reports.study.data_section import data_section, examples_section
from seglab.reports.study.limitations import best_run, limits_section, next_steps_section
from seglab.reports.study.methods import approaches_section, architectures_section
from seglab.reports.study.page_record import noting
from seglab.reports.study.production import production_section
from seglab.reports.study.readme import (
    CASES,
    EFFECTS,
    PAIRS,
    PICTURES,
    PLOTS,
    REMARKS,
    RUNS,
    SCORES,
    VARIANTS,
    StudyReport,
    commands,
    design,
)
from seglab.reports.study.run_facts import machine_and_time, settings
from seglab.reports.study.small_images import with_small_pictures
from seglab.reports.study.study_findings import (
    chosen_section,
    cost_section,
    gains_section,
    other_effects_section,
    without_costs,
)

SCORE_MADE, WRITTEN = "How the scores are made", "Conclusion, written by hand"
NOTE, NOTE_PAGE = "note.md", "note.html"
_WHY = {
    "dice": "Dice is the overlap of mask and truth, 2 |A ∩ B| / (|A| + |B|): 1 where they are equal, 0 where they "
    "share nothing. Where most pixels are background, accuracy rewards calling all of them so; an overlap does not.",
    "iou": "IoU is what mask and truth share over what either holds, |A ∩ B| / |A ∪ B|: 1 where they are equal, 0 "
    "where they share nothing. Public benchmarks of scenes use it; it ranks two masks of one case as Dice does.",
    "hd95": "HD95 is the distance within which 95% of the surfaces of mask and truth lie from each other: it tells "
    "how far an outline is off, which an overlap does not.",
    "assd": "ASSD is the mean distance between the surfaces of mask and truth: it tells how far an outline is off, "
    "which an overlap does not.",
}
_STYLE = Path(__file__).with_name("technical_note.css")
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PRINT_SECONDS = 120
_COLUMNS = 14  # more do not fit on a page


def make_note(report: StudyReport, chapters: Sequence[PageSection]) -> Document:
    """The note as a page of these chapters."""
    question, runs = report.study.question, report.comparison.found.runs
    numbered = [
        replace(chapter, title=f"{number}. {chapter.title}") for number, chapter in enumerate(chapters, start=1)
    ]
    lead = f"Technical note on {len(runs)} training runs. Every number is read from them, but those of the conclusion."
    return Document(f"{report.study.name}: {headline(question)}", lead, numbered)


def note_chapters(report: StudyReport, say: Callable[[str], None]) -> list[PageSection]:
    """What was asked, on what, how, with what result, how far it holds, and what is next; with small pictures."""
    comparison, study = report.comparison, report.study
    runs = comparison.found.runs
    metric = comparison.settings.metric
    concluded = _paragraphs(
        report.conclusion or "Not written yet: it goes between the two marks of README.md beside this note."
    )
    if report.stale:
        concluded.insert(0, f"This conclusion was written for {report.stale}, and not read again since.")
    training = PageSection(
        "Training",
        text=["How the runs were trained, on which machine, and how long that took."],
        code=commands(report),
        grids=[settings(runs), machine_and_time(report.store, comparison.found)],
    )
    networks = architectures_section(runs, report.store, say)
    effects, costs = _of_each_set(report)
    together = comparison.found.together
    sections = [
        PageSection("Question", text=[study.question], grids=[design(comparison)]),
        PageSection("Answer", text=[summary(ranking, metric) for ranking in comparison.rankings]),
        PageSection(WRITTEN, written=concluded),
        data_section(runs, report.store),
        approaches_section(runs),
        networks,
        training,
        PageSection(SCORE_MADE, text=about_score(metric)),
        *report.chapters(REMARKS),
        *[_narrow(without_costs(section, together), locate(metric).column) for section in report.chapters(VARIANTS)],
        *report.chapters(PAIRS),
        *report.chapters(SCORES),
        *effects,
        *[without_costs(section, together) for section in report.chapters(PLOTS)],
        *costs,
        chosen_section(comparison, networks),
        *report.chapters(CASES),
        examples_section(best_run(comparison), report.store),
        production_section(runs, report.store),
        limits_section(comparison, report.plan),
        next_steps_section(comparison, study, report.store),
        *[replace(section, folded=False) for section in report.chapters(RUNS)],
    ]
    return [with_small_pictures(section) for section in sections if section is not None]


def _of_each_set(report: StudyReport) -> tuple[list[PageSection | None], list[PageSection]]:
    """Gains and other effects, and costs, of each set of runs that can be paired."""
    effects: list[PageSection | None] = []
    costs = []
    metric = report.comparison.settings.metric
    for ranking in report.comparison.rankings:
        of = {
            name: next((one for one in report.chapters(name) if one.title == f"{name}: {ranking.cohort.title}"), None)
            for name in (VARIANTS, EFFECTS, PLOTS)
        }
        effects += [gains_section(ranking, of[EFFECTS], metric), other_effects_section(ranking, of[EFFECTS])]
        if (variants := of[VARIANTS]) is not None:
            costs.append(cost_section(ranking, variants, of[PLOTS], report.comparison.found.together))
    return effects, costs


def note_files(note: Document, folder: Path) -> dict[Path, bytes]:
    """note.md and note.html."""
    html = to_html(note, _STYLE.read_text(encoding="utf-8"))
    return {folder / NOTE: noting(to_markdown(note, PICTURES)), folder / NOTE_PAGE: html.encode()}


def print_page(page: Path, target: Path) -> Path | None:
    """The page as PDF, by the first Chromium on the path, else by pandoc with weasyprint; None without either.

    Raises:
        TrackingError: the program did not print it; says what it said.
    """
    with tempfile.TemporaryDirectory() as work:
        words = _printer(page.resolve(), target.resolve(), Path(work))
        if words is None:
            return None
        target.unlink(missing_ok=True)
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=_PRINT_SECONDS, check=False)
            output = done.stderr
        except subprocess.TimeoutExpired:
            output = f"nothing within {_PRINT_SECONDS} s"
    if not target.exists():
        raise TrackingError(
            "the note cannot be printed",
            code="report-not-printed",
            where=words[0],
            found=(output.strip().splitlines() or ["no word"])[-1],
            remedy=f"print {page} from a browser by hand",
        )
    return target


def _printer(page: Path, target: Path, work: Path) -> list[str] | None:
    """The command that prints; `work` is a folder of its own for as long as it runs."""
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is not None:
        words = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
        words += ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={work}"]
        return [*words, "--no-pdf-header-footer", f"--print-to-pdf={target}", page.as_uri()]
    pandoc, engine = shutil.which("pandoc"), shutil.which("weasyprint")
    if pandoc is None or engine is None:
        return None
    # Pandoc drops the page's own style and the places at which long names may break.
    html = page.read_text(encoding="utf-8")
    style, copy = work / "note.css", work / "note.html"
    style.write_text("\n".join(re.findall(r"<style>(.*?)</style>", html, re.DOTALL)), encoding="utf-8")
    copy.write_text(html.replace("<wbr>", "\u200b"), encoding="utf-8")
    words = [pandoc, str(copy), "-o", str(target), f"--pdf-engine={engine}", f"--css={style}"]
    return [*words, "--variable=title:", f"--metadata=pagetitle:{page.parent.name}"]


def _narrow(section: PageSection, column: str) -> PageSection:
    """The section with the classes in a table of their own, where all columns together are too wide for paper."""
    score, beginning = Column.parse(column).score, Column.parse(column).of_each_class
    grids: list[TableBlock] = []
    for grid in section.grids:
        classes = [i for i, name in enumerate(grid.columns) if name.startswith(beginning)]
        if len(grid.columns) <= _COLUMNS or not classes:
            grids.append(grid)
            continue
        for chosen, caption in (
            ([i for i in range(len(grid.columns)) if i not in classes], grid.caption),
            ([0, *classes], f"{score} of each class; the best of each is bold."),
        ):
            names = [grid.columns[i].removeprefix(beginning) for i in chosen]
            grids.append(TableBlock(names, [[row[i] for i in chosen] for row in grid.rows], caption))
    return replace(section, grids=grids)


def headline(question: str) -> str:
    """The first sentence."""
    end = question.find("?")
    return question[: end + 1] if end > 0 else question


def _paragraphs(text: str) -> list[str]:
    """Each paragraph and each line of a list, without the signs of emphasis, which a page would show as such."""
    parts = re.split(r"\n\s*\n|\n(?=[-*] )", text.replace("**", "").replace("`", ""))
    return [" ".join(part.split()) for part in parts if part.strip()]


def about_score(metric: str) -> list[str]:
    """Why one would rank by this score, where that is known, and how it is made."""
    why = _WHY.get(Column.parse(locate(metric).column).score)
    how = (
        f"{metric} is computed for each test case, whole and at its original size, from the weights that the run kept; "
        "a run's score is the mean over its cases, a variant's the mean over its runs. A class that neither truth "
        "nor prediction holds is left out of a case's mean. Differences are taken on the same cases. Their 95% "
        "intervals hold one variance of seeds (or splits) and one of cases, each with the critical value of Tukey's "
        "studentized range for its degrees of freedom, added as Banerjee (1960) does; p belongs to the interval, and "
        "both are corrected for all pairs of variants."
    )
    return [*([why] if why else []), how]
