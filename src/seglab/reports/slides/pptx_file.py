"""A deck as a file of PowerPoint: every text in a room that holds it, words for every picture, the same bytes again."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from PIL import Image
from pptx import Presentation
from pptx.dml.color import RGBColor
from pptx.enum.shapes import MSO_SHAPE
from pptx.enum.text import MSO_ANCHOR, PP_ALIGN
from pptx.oxml import parse_xml
from pptx.oxml.ns import nsdecls
from pptx.util import Emu, Inches, Pt

from seglab.reports.document import Picture, TableBlock
from seglab.reports.slides.deck import SHORT, Slide, legible, speaker_notes
from seglab.reports.slides.seal import sealed, unsealed
from seglab.reports.slides.table_fit import ABOVE, SIDE, fit_table
from seglab.reports.slides.text_fit import LINE, height_of, shortened, width_of
from seglab.safety.shown_text import in_xml

FONT = "Arial"  # Liberation Sans and Helvetica are as wide
INK, FAINT, ACCENT, BEST, WASH, WHITE = "222f3e", "5d6d7e", "0072b2", "e3f4ec", "f4f6f8", "ffffff"
WIDTH, HEIGHT = 960.0, 540.0  # points: 16:9
_LEFT, _ROOM = 36.0, 888.0
_TITLE_TOP, _TITLE_HEIGHT = 20.0, 64.0
_BODY_TOP, _BODY_BOTTOM = 98.0, 496.0
_FOOT_TOP, _FOOT_SIZE = 506.0, 10.0
_TEXT_SIZES, _GAP, _BULLET = (20.0, 18.0, 16.0, 14.0, 12.0), 6.0, 14.0
_TEXT_SHARE = 0.4  # of the body at most, where a table or a picture follows
_CAPTION = 11.0


def deck_bytes(slides: Sequence[Slide], title: str, made: datetime) -> bytes:
    """The deck as a .pptx.

    Args:
        slides: in order.
        title: of the whole, in the properties of the file.
        made: the time that the file says it was made at; the time of now would make it another file each time.
    """
    presentation = Presentation()
    presentation.slide_width, presentation.slide_height = Pt(WIDTH), Pt(HEIGHT)
    properties = presentation.core_properties
    properties.title, properties.author, properties.last_modified_by = in_xml(title)[:250], "seglab report", ""
    properties.created = properties.modified = made
    properties.revision, properties.identifier = 1, unsealed()
    layout = next(one for one in presentation.slide_layouts if one.name == "Title Only")
    for number, slide in enumerate(slides, start=1):
        _draw(presentation.slides.add_slide(layout), legible(slide), f"{number} / {len(slides)}")
    buffer = io.BytesIO()
    presentation.save(buffer)
    return sealed(buffer.getvalue())


def _draw(page: Any, slide: Slide, number: str) -> None:
    _title(page, slide.title)
    body = _BODY_BOTTOM - _BODY_TOP
    more = slide.table is not None or slide.picture is not None
    used = _paragraphs(page, slide, body * _TEXT_SHARE if more else body)
    top = _BODY_TOP + used + (12 if used else 0)
    if slide.table is not None:
        _table(page, slide.table, top, slide.title)
    if slide.picture is not None:
        _picture(page, slide.picture, top)
    _foot(page, slide.runs, number)
    page.notes_slide.notes_text_frame.text = speaker_notes(slide)


def _title(page: Any, text: str) -> None:
    size = next((s for s in (28.0, 24.0, 20.0) if height_of([text], _ROOM, s, bold=True) <= _TITLE_HEIGHT), 20.0)
    text = shortened(text, int(_TITLE_HEIGHT // (size * LINE)), _ROOM, size, bold=True)
    shape = page.shapes.title
    shape.left, shape.top, shape.width, shape.height = Pt(_LEFT), Pt(_TITLE_TOP), Pt(_ROOM), Pt(_TITLE_HEIGHT)
    _frame(shape.text_frame, MSO_ANCHOR.MIDDLE)
    _write(shape.text_frame.paragraphs[0], text, size, bold=True)
    bar = page.shapes.add_shape(MSO_SHAPE.RECTANGLE, Pt(_LEFT), Pt(_TITLE_TOP + _TITLE_HEIGHT + 3), Pt(72), Pt(3))
    bar.name = "line below the title"
    bar.fill.solid()
    bar.fill.fore_color.rgb = RGBColor.from_string(ACCENT.upper())
    bar.line.fill.background()


def _paragraphs(page: Any, slide: Slide, room: float) -> float:
    """Text and points, in the largest letters in which all fit; cut in the smallest. Returns the height taken."""
    paragraphs = [(text, "") for text in slide.text] + [(point, "• ") for point in slide.points]
    if not paragraphs:
        return 0.0

    def height(size: float, texts: Sequence[tuple[str, str]]) -> float:
        return sum(height_of([text], _wide(mark), size) for text, mark in texts) + _GAP * (len(texts) - 1)

    size = next((one for one in _TEXT_SIZES if height(one, paragraphs) <= room), _TEXT_SIZES[-1])
    shown: list[tuple[str, str]] = []
    for text, mark in paragraphs:
        left = int((room - (height(size, shown) + _GAP if shown else 0)) // (size * LINE))
        if left < 1:
            last, its = shown[-1]
            shown[-1] = (shortened(last + " …", _lines(last, its, size), _wide(its), size), its)
            break
        shown.append((shortened(text, left, _wide(mark), size), mark))
    taken = height(size, shown)
    box = page.shapes.add_textbox(Pt(_LEFT), Pt(_BODY_TOP), Pt(_ROOM), Pt(taken))
    box.name = "text"
    _frame(box.text_frame)
    for i, (text, mark) in enumerate(shown):
        paragraph = box.text_frame.paragraphs[0] if i == 0 else box.text_frame.add_paragraph()
        paragraph.space_after = Pt(_GAP if i + 1 < len(shown) else 0)
        if mark:
            properties = paragraph._p.get_or_add_pPr()
            properties.set("marL", str(Pt(_BULLET)))
            properties.set("indent", str(-Pt(_BULLET)))
            properties.insert_element_before(_bullet(), "a:tabLst", "a:defRPr", "a:extLst")
        _write(paragraph, text, size)
    return taken


def _wide(mark: str) -> float:
    return _ROOM - (_BULLET if mark else 0)


def _lines(text: str, mark: str, size: float) -> int:
    return round(height_of([text], _wide(mark), size) / (size * LINE))


def _bullet() -> Any:
    return parse_xml(f'<a:buChar {nsdecls("a")} char="•"/>')


def _table(page: Any, table: TableBlock, top: float, name: str) -> None:
    rest = 16.0  # for a word on the rows that are left out
    fitted = fit_table(table, _ROOM, _BODY_BOTTOM - top - rest)
    lines, columns = len(fitted.rows) + 1, len(fitted.head)
    shape = page.shapes.add_table(lines, columns, Pt(_LEFT), Pt(top), Pt(_ROOM), Pt(sum(fitted.heights)))
    shape.name = "table"
    shape._element.nvGraphicFramePr.cNvPr.set("descr", table.caption or name)
    drawn = shape.table
    drawn.horz_banding = False
    for column, width in zip(drawn.columns, fitted.widths, strict=True):
        column.width = Emu(Pt(width))
    for row, height in zip(drawn.rows, fitted.heights, strict=True):
        row.height = Emu(Pt(height))
    numeric = [any(row[i].value is not None for row in table.rows) for i in range(columns)]
    for j, text in enumerate(fitted.head):
        _fill(drawn.cell(0, j), text, fitted.size, WHITE, ACCENT, bold=True, right=numeric[j])
    for i, row in enumerate(fitted.rows, start=1):
        ground = BEST if any(cell.strong for cell in row) else WHITE if i % 2 else WASH
        for j, cell in enumerate(row):
            _fill(drawn.cell(i, j), cell.text, fitted.size, INK, ground, bold=cell.strong, right=numeric[j])
    if fitted.left_out:
        rows = "1 more row stands" if fitted.left_out == 1 else f"{fitted.left_out} more rows stand"
        _line(page, f"{rows} in the notes.", top + sum(fitted.heights) + 2, "rows left out")


def _fill(cell: Any, text: str, size: float, color: str, ground: str, *, bold: bool, right: bool) -> None:
    cell.margin_left = cell.margin_right = Pt(SIDE)
    cell.margin_top = cell.margin_bottom = Pt(ABOVE)
    cell.vertical_anchor = MSO_ANCHOR.MIDDLE
    cell.fill.solid()
    cell.fill.fore_color.rgb = RGBColor.from_string(ground.upper())
    paragraph = cell.text_frame.paragraphs[0]
    paragraph.alignment = PP_ALIGN.RIGHT if right else PP_ALIGN.LEFT
    _write(paragraph, text, size, bold=bold, color=color)


def _picture(page: Any, picture: Picture, top: float) -> None:
    """As large as it fits, in the middle, its caption below it in at most two lines."""
    caption = shortened(picture.caption, 2, _ROOM, _CAPTION)
    below = height_of([caption], _ROOM, _CAPTION) + 4
    width, height = Image.open(io.BytesIO(picture.png)).size
    scale = min(_ROOM / width, (_BODY_BOTTOM - top - below) / height)
    left = _LEFT + (_ROOM - width * scale) / 2
    drawn = page.shapes.add_picture(io.BytesIO(picture.png), Pt(left), Pt(top), Pt(width * scale), Pt(height * scale))
    drawn.name = "picture"
    drawn._element.nvPicPr.cNvPr.set("descr", picture.caption)
    _line(page, caption, top + height * scale + 4, "caption", size=_CAPTION)


def _foot(page: Any, runs: Sequence[str], number: str) -> None:
    """The runs that the numbers are of, as far as they fit in a line, and the number of the slide."""
    room = _ROOM - 60
    footer = ""
    for count in range(len(runs), 0, -1):
        more = f" and {len(runs) - count} more, in the notes" if count < len(runs) else ""
        footer = f"{'Run' if len(runs) == 1 else 'Runs'} {', '.join(run[:SHORT] for run in runs[:count])}{more}"
        if width_of(footer, _FOOT_SIZE) <= room:
            break
    if footer:
        _line(page, footer, _FOOT_TOP, "runs", size=_FOOT_SIZE, width=room)
    _line(page, number, _FOOT_TOP, "number", size=_FOOT_SIZE, width=60, left=_LEFT + room, right=True)


def _line(
    page: Any,
    text: str,
    top: float,
    name: str,
    *,
    size: float = _FOOT_SIZE,
    width: float = _ROOM,
    left: float = _LEFT,
    right: bool = False,
) -> None:
    """Small grey words in a box of their own."""
    box = page.shapes.add_textbox(Pt(left), Pt(top), Pt(width), Pt(height_of([text], width, size)))
    box.name = name
    _frame(box.text_frame)
    box.text_frame.paragraphs[0].alignment = PP_ALIGN.RIGHT if right else PP_ALIGN.LEFT
    _write(box.text_frame.paragraphs[0], text, size, color=FAINT)


def _frame(frame: Any, anchor: Any = MSO_ANCHOR.TOP) -> None:
    frame.word_wrap = True
    frame.vertical_anchor = anchor
    frame.margin_left = frame.margin_right = frame.margin_top = frame.margin_bottom = Inches(0)


def _write(paragraph: Any, text: str, size: float, *, bold: bool = False, color: str = INK) -> None:
    run = paragraph.add_run()
    run.text = text
    run.font.name, run.font.size, run.font.bold = FONT, Pt(size), bold
    run.font.color.rgb = RGBColor.from_string(color.upper())
    paragraph.alignment = paragraph.alignment or PP_ALIGN.LEFT
