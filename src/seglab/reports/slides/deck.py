"""A deck of slides as data: what stands on each, whose numbers these are, and the notes below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from seglab.reports.document import Picture, TableBlock
from seglab.safety.shown_text import in_xml

MOST = 30
"""Slides of a deck."""
NOT_MEASURED = "not measured"
SHORT = 8
"""Letters of a run's id on a slide; the notes have all of them."""


@dataclass(frozen=True)
class Slide:
    """A slide: text, points, then a table or a picture.

    Attributes:
        title: one line, or two.
        text: paragraphs.
        points: a list below them.
        table: its caption goes to the notes.
        picture: its caption is drawn small below it, and is what those hear who do not see it.
        runs: whole ids of the runs that the numbers are of.
        notes: paragraphs for who speaks.
    """

    title: str
    text: Sequence[str] = ()
    points: Sequence[str] = ()
    table: TableBlock | None = None
    picture: Picture | None = None
    runs: Sequence[str] = ()
    notes: Sequence[str] = ()


def legible(slide: Slide) -> Slide:
    """The slide with nothing in it that a file of slides cannot hold, and each text in one line as it is measured."""
    table, picture = slide.table, slide.picture
    return Slide(
        _line(slide.title),
        [_line(text) for text in slide.text],
        [_line(point) for point in slide.points],
        table
        and TableBlock(
            [_line(name) for name in table.columns],
            [[replace(cell, text=_line(cell.text)) for cell in row] for row in table.rows],
            _line(table.caption),
        ),
        picture and replace(picture, caption=_line(picture.caption)),
        [_line(run) for run in slide.runs],
        [in_xml(note) for note in slide.notes],
    )


def _line(text: str) -> str:
    return " ".join(in_xml(text).split())


def speaker_notes(slide: Slide) -> str:
    """All that the slide says, uncut, and the whole ids of its runs."""
    parts = [*slide.text, *[f"- {point}" for point in slide.points]]
    if slide.table is not None:
        rows = [slide.table.columns, *[[cell.text for cell in row] for row in slide.table.rows]]
        parts += ["\n".join(" | ".join(row) for row in rows), slide.table.caption]
    if slide.picture is not None:
        parts.append(slide.picture.caption)
    parts += slide.notes
    if slide.runs:
        parts.append("Runs: " + ", ".join(slide.runs))
    return "\n\n".join(part for part in parts if part)
