"""Whether what stands on slides fits, measured apart from the program, by the letters of Helvetica and of DejaVu."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib._afm import AFM
from matplotlib.ft2font import FT2Font, LoadFlags

LINE = 1.2
Width = Callable[[str, bool], float]


def helvetica() -> Width:
    """Em that a letter takes in Helvetica, as wide as Arial; the widest letter for one that it has not."""
    fonts = {}
    for bold, name in ((False, "phvr8a"), (True, "phvb8a")):
        with (Path(matplotlib.get_data_path()) / "fonts" / "afm" / f"{name}.afm").open("rb") as file:
            fonts[bold] = AFM(file)

    def width(letter: str, bold: bool) -> float:
        try:
            return fonts[bold].get_width_char(ord(letter)) / 1000
        except KeyError:
            return 1.0

    return width


def dejavu() -> Width:
    """As `helvetica`, in DejaVu Sans, which a machine without Arial may show in its place."""
    fonts = {}
    for bold, name in ((False, "DejaVuSans"), (True, "DejaVuSans-Bold")):
        fonts[bold] = FT2Font(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"))

    def width(letter: str, bold: bool) -> float:
        font = fonts[bold]
        if not font.get_char_index(ord(letter)):
            return 1.0
        font.set_size(72, 72)
        return font.load_char(ord(letter), LoadFlags.NO_HINTING).linearHoriAdvance / 65536 / 72

    return width


def lines_of(text: str, room: float, size: float, bold: bool, width: Width) -> int:
    """How many lines a text takes where only blanks may be broken at, and a word that is too long anywhere."""
    lines, used, blank = 1, 0.0, width(" ", bold) * size
    for word in text.split(" "):
        letters = [width(letter, bold) * size for letter in word]
        if used and used + blank + sum(letters) > room:
            lines, used = lines + 1, 0.0
        if used:
            used += blank
        for letter in letters:
            if used + letter > room:
                lines, used = lines + 1, 0.0
            used += letter
    return lines


def _rooms(slide: Any) -> Iterator[tuple[str, Any, float, float]]:
    """What each frame of text is, the frame, its width and its height in points."""
    for shape in slide.shapes:
        if shape.has_text_frame and shape.text_frame.text:
            yield shape.name, shape.text_frame, shape.width.pt, shape.height.pt
        if getattr(shape, "has_table", False) and shape.has_table:
            for row in shape.table.rows:
                for cell, column in zip(row.cells, shape.table.columns, strict=True):
                    width = column.width.pt - cell.margin_left.pt - cell.margin_right.pt
                    yield "cell", cell.text_frame, width, row.height.pt - cell.margin_top.pt - cell.margin_bottom.pt


def overflowing(slide: Any, width: Width) -> list[str]:
    """What does not fit in its room, or stands beyond the slide, which is 960 × 540 points."""
    found = []
    for name, frame, room, height in _rooms(slide):
        needed = 0.0
        for paragraph in frame.paragraphs:
            (run,) = paragraph.runs or [None]
            if run is None:
                continue
            size = run.font.size.pt
            indent = paragraph._p.pPr.get("marL") if paragraph._p.pPr is not None else None
            wide = room - int(indent or 0) / 12700
            needed += lines_of(run.text, wide, size, bool(run.font.bold), width) * size * LINE
            needed += paragraph.space_after.pt if paragraph.space_after is not None else 0
        if needed > height + 0.1:
            found.append(f"{name}: {frame.text!r} needs {needed:.1f} of {height:.1f}")
    for shape in slide.shapes:
        right, bottom = shape.left.pt + shape.width.pt, shape.top.pt + shape.height.pt
        if min(shape.left.pt, shape.top.pt) < 0 or right > 960.1 or bottom > 540.1:
            found.append(f"{shape.name} reaches beyond the slide")
    return [*found, *_overlapping(slide)]


def _overlapping(slide: Any) -> list[str]:
    shapes = [shape for shape in slide.shapes if shape.name != "line below the title"]
    found = []
    for i, one in enumerate(shapes):
        for other in shapes[i + 1 :]:
            across = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
            down = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
            if across > 12700 and down > 12700:
                found.append(f"{one.name} lies over {other.name}")
    return found
