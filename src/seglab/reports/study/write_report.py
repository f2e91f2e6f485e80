"""From a study's name to its README and its note."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from seglab.comparison.settings import CompareSettings
from seglab.config.places import STUDIES
from seglab.errors import ConfigError, TrackingError
from seglab.reports.comparison.compare import Comparison, compare, open_runs
from seglab.reports.document import Document
from seglab.reports.study.keep_edits import SLIDES, check_no_less, check_unedited, pictures_linked
from seglab.reports.study.page_record import Basis, make_record, read_former
from seglab.reports.study.readme import DECIDES, PICTURES, README, StudyReport, pictures_of, readme, readme_file
from seglab.reports.study.small_images import with_small_pictures
from seglab.reports.study.study import load_study
from seglab.reports.study.study_plan import plan_of
from seglab.reports.study.technical_note import NOTE, NOTE_PAGE, make_note, note_chapters, note_files, print_page
from seglab.run_record import RUNS
from seglab.runtime.atomic_files import write_files
from seglab.runtime.terminal import Terminal, tell
from seglab.safety.shown_text import in_line


def write_report(
    name: str,
    *,
    metric: str = DECIDES,
    cases: int = 4,
    directory: Path = RUNS,
    uri: str | None = None,
    studies: Path = STUDIES,
    out: Path | None = None,
    confirmed: bool = False,
    overwrite: bool = False,
    slides: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Write README, pictures and note of a study into its folder; returns the files.

    What a person has concluded is kept word for word, and marked when it was written for other runs than these.

    Args:
        name: of the study.
        metric: the score that decides, as in `conf/compare.yaml`.
        cases: how many cases to draw with the masks of the best variants.
        directory: the folder of runs.
        uri: the tracking store, None for the one in `directory`.
        studies: the folder of studies.
        out: another folder for the files.
        confirmed: the conclusion that is there holds for these runs.
        overwrite: replace pages that were edited by hand, or that are of more of the study's jobs.
        slides: write slides.pptx too.
        say: called with what is being done, where it takes long.

    Raises:
        ModuleNotFoundError: slides without python-pptx.
        ConfigError: an unknown study, one without runs, a README that was not written by this function, pages that
            would be replaced by something less, or no conclusion to confirm.
        TrackingError: fewer than two finished runs with scores, or a folder that cannot be written.
    """
    if slides:  # before the work
        from seglab.reports.study.study_slides import slides_file
    study = load_study(name, studies)
    folder = out or study.folder
    former = read_former(folder / README)
    if confirmed and former.conclusion is None:
        raise ConfigError(
            "no conclusion to confirm",
            code="report-no-conclusion",
            where=str(folder / README),
            found="nothing between the two marks",
            expected="a conclusion that holds for the runs of now",
            remedy="remove conclusion=confirmed, and write one when the report is there",
        )
    if not overwrite:
        check_unedited([folder / README, folder / NOTE, *([folder / SLIDES] if slides else [])])
    settings = CompareSettings(study=name, metric=metric, pictures=cases, tracking_uri=uri)
    store = open_runs(settings, directory)
    comparison = _slim(compare(settings, store, say))
    say("composing the jobs that the study asks for")
    plan = plan_of(study, comparison.found.runs)
    record = make_record(former, Basis.of(comparison), plan.done, len(plan.jobs), confirmed)
    if not overwrite:
        check_no_less(former, record, folder / README, plan.limits)
    report = StudyReport(study, comparison, store, plan, record, former.conclusion)
    try:
        chapters = note_chapters(report, say)
        note = make_note(report, chapters)
        pictures = _pictures(report, note, folder)
        former_pictures = pictures_linked(folder, [README, NOTE])
        deck = {folder / SLIDES: slides_file(report, chapters)} if slides else {}
        made = write_files({folder / README: readme_file(report), **pictures, **note_files(note, folder), **deck})
        for old in former_pictures - set(pictures):
            old.unlink(missing_ok=True)
        say("printing the note as PDF")
        printed = print_page(folder / NOTE_PAGE, folder / "note.pdf")
        return [*made, *([printed] if printed else [])]
    except OSError as error:
        raise TrackingError(
            "the report cannot be written",
            code="report-unwritable",
            where=str(error.filename or folder),
            found=error.strerror,
            expected="room and permission; nothing half-written is left",
            remedy="free some space, or make the folder writable",
        ) from error


def run_report(name: str, console: Console | None = None, **options: object) -> list[Path]:
    """`write_report` with its progress, and what it has made, in a terminal."""
    console = console or Terminal(highlight=False, soft_wrap=True)
    files = write_report(name, say=tell, **options)  # type: ignore[arg-type]
    for file in files:
        if file.suffix in (".md", ".html", ".pptx", ".pdf"):
            console.print(in_line(f"{file.stem.lower():<10} {file.resolve()}"), markup=False)
    if not any(file.suffix == ".pdf" for file in files):
        missing = "neither Chromium nor pandoc with weasyprint on this machine, so no note.pdf"
        print(f"note       {missing}: print note.html from a browser", file=sys.stderr)
    kept = (files[0].parent / SLIDES).resolve()
    if kept.exists() and not options.get("slides"):
        print(f"slides     {kept} is as it was: slides=true writes it again", file=sys.stderr)
    return files


def _slim(comparison: Comparison) -> Comparison:
    """The comparison with pictures small enough for a repository."""
    document = comparison.document
    sections = [with_small_pictures(section) for section in document.sections]
    return replace(comparison, document=replace(document, sections=sections))


def _pictures(report: StudyReport, note: Document, folder: Path) -> dict[Path, bytes]:
    """The pictures of README and note."""
    pictures = pictures_of([*readme(report).sections, *note.sections])
    return {folder / PICTURES / name: content for name, content in pictures.items()}
