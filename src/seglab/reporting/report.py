"""From a study's name to its README and its note."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from seglab.comparison.compare import Comparison, compare, open_runs
from seglab.comparison.document import Document
from seglab.comparison.settings import CompareSettings
from seglab.comparison.writing import write_files
from seglab.errors import TrackingError
from seglab.reporting.images import with_small_pictures
from seglab.reporting.note import NOTE_PAGE, make_note, note_files, print_page
from seglab.reporting.readme import PICTURES, Report, pictures_of, read_conclusion, readme, readme_file
from seglab.reporting.study import load_study
from seglab.terminal import Terminal
from seglab.vocabulary import STUDIES

RUNS = Path("mlruns")


def write_report(
    name: str,
    *,
    metric: str = "test_dice",
    cases: int = 4,
    directory: Path = RUNS,
    uri: str | None = None,
    studies: Path = STUDIES,
    say: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Write README, pictures and note of a study into its folder; returns the files.

    Args:
        name: of the study.
        metric: the score that decides, as in `conf/compare.yaml`.
        cases: how many cases to draw with the masks of the best compositions.
        directory: the folder of runs.
        uri: the tracking store, None for the one in `directory`.
        studies: the folder of studies.
        say: told of the work that takes long.

    Raises:
        ConfigError: an unknown study, one without runs, or a README that was not written by this function.
        TrackingError: fewer than two finished runs with scores, or a folder that cannot be written.
    """
    study = load_study(name, studies)
    conclusion = read_conclusion(study.folder)
    settings = CompareSettings(study=name, metric=metric, pictures=cases, tracking_uri=uri)
    store = open_runs(settings, directory)
    say("reading and comparing runs")
    report = Report(study, _slim(compare(settings, store, say)), store, conclusion)
    try:
        note = make_note(report, say)
        pictures = _pictures(report, note)
        made = write_files({**readme_file(report), **pictures, **note_files(note, study.folder)})
        for old in (study.folder / PICTURES).glob("*.*"):
            if old not in pictures:  # of an earlier report
                old.unlink()
        printed = print_page(study.folder / NOTE_PAGE, study.folder / "note.pdf")
        return [*made, *([printed] if printed else [])]
    except OSError as error:
        raise TrackingError(
            "the report cannot be written",
            where=str(error.filename or study.folder),
            found=error.strerror,
            expected="room and permission; nothing half-written is left",
            remedy="free some space, or make the folder writable",
        ) from error


def run_report(name: str, console: Console | None = None, **options: object) -> list[Path]:
    """`write_report` with its progress, and what it has made, in a terminal."""
    console = console or Terminal(highlight=False, soft_wrap=True)
    with console.status(f"reporting {name}") as status:
        files = write_report(name, say=status.update, **options)  # type: ignore[arg-type]
    for file in files:
        if file.suffix in (".md", ".html", ".pdf"):
            console.print(f"{file.stem.lower():<10} {file.resolve()}", markup=False)
    if not any(file.suffix == ".pdf" for file in files):
        missing = "neither Chromium nor pandoc with weasyprint on this machine, so no note.pdf"
        print(f"note       {missing}: print note.html from a browser", file=sys.stderr)
    return files


def _slim(comparison: Comparison) -> Comparison:
    """The comparison with pictures small enough for a repository."""
    document = comparison.document
    sections = [with_small_pictures(section) for section in document.sections]
    return replace(comparison, document=replace(document, sections=sections))


def _pictures(report: Report, note: Document) -> dict[Path, bytes]:
    """The pictures of README and note."""
    folder = report.study.folder / PICTURES
    pictures = pictures_of([*readme(report).sections, *note.sections])
    return {folder / name: content for name, content in pictures.items()}
