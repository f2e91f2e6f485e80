"""What writing a report again must not take away: words of a person, and pages of more runs than there are now."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from seglab.errors import ConfigError
from seglab.reports.slides.seal import changed_since
from seglab.reports.study.page_record import BEGIN, END, Former, Record, committed, edited_by_hand
from seglab.reports.study.readme import PICTURES

SLIDES = "slides.pptx"
# The pictures that reports make; any other one is somebody's.
_MADE = re.compile(
    r"(([0-9]+_)?(curves|cases|costs|ranks|pictures)|training_samples|best_run_test_\w+|architecture_\d+)\.png"
)
_LINK = re.compile(r"!\[[^\]]*\]\(([^()\s]+)\)")


def check_unedited(pages: Sequence[Path]) -> None:
    """Refuse to write over words of a person outside of the conclusion; raises `ConfigError` with the pages."""
    edited = [
        page for page in pages if (_changed(page) if page.suffix == Path(SLIDES).suffix else edited_by_hand(page))
    ]
    if edited:
        raise ConfigError(
            "pages with words that are not the report's own",
            code="report-edited",
            where=", ".join(map(str, edited)),
            found="edited by hand outside of the conclusion, saved by another program, or written before reports kept "
            "a record; not in the last commit",
            expected="your words between the two marks of the conclusion, the rest as it was written",
            remedy="commit the page, or move your words there; overwrite=true gives them up, out=<folder> writes "
            "elsewhere",
        )


def _changed(deck: Path) -> bool:
    """Whether a file of slides holds what writing it again would lose; not so where the last commit has it."""
    return deck.exists() and changed_since(deck) and committed(deck) != deck.read_bytes()


def check_no_less(former: Former, record: Record, page: Path, limits: Sequence[str]) -> None:
    """Refuse to replace the pages of a study by those of a trial; raises `ConfigError` that says what would be lost.

    Pages with other runs are less where they hold fewer of the jobs of `study.yaml`, or fewer runs where that is not
    known of both. Of a page of before there was a record, every run counts as one of those jobs.
    """
    shown = former.listed if former.record is None else former.record.page
    if not shown.runs or set(shown.runs) <= set(record.page.runs):
        return
    known = bool(record.jobs) and (former.record is None or former.record.jobs > 0)
    before = former.record.done if former.record is not None else min(len(shown.runs), record.jobs)
    there, here = (before, record.done) if known and before else (len(shown.runs), len(record.page.runs))
    if here >= there:
        return
    raise ConfigError(
        "the pages of a study that would be replaced by those of a trial",
        code="report-lesser",
        where=str(page),
        found=f"there {len(shown.runs)} runs"
        + (f", {before} of the study's jobs; here " if known else "; here ")
        + f"{len(record.page.runs)}: {' '.join(limits)}",
        expected="as many of the jobs of study.yaml as the pages have",
        remedy="out=<folder> writes these pages elsewhere; overwrite=true replaces those that are there (the "
        "conclusion is kept)",
    )


def pictures_linked(folder: Path, pages: Sequence[str]) -> set[Path]:
    """The files in the folder of pictures that pages show outside of the conclusion, and not in it, and that have the
    names of a report's; what lies elsewhere or is called otherwise was put there by a person."""
    ours: set[str] = set()
    kept: set[str] = set()
    for name in pages:
        text = (folder / name).read_text(encoding="utf-8") if (folder / name).exists() else ""
        before, _, rest = text.partition(BEGIN)
        concluded, _, after = rest.partition(END)
        ours |= set(_LINK.findall(before + after))
        kept |= set(_LINK.findall(concluded))
    inside = folder.resolve() / PICTURES
    here = {folder / link for link in ours - kept if (folder / link).resolve().parent == inside}
    return {file for file in here if _MADE.fullmatch(file.name)}
