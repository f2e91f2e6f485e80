"""Slides of any text: what a file cannot hold, what does not fit, the bytes, the seal."""

from __future__ import annotations

import io
import re
import tracemalloc
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFont
from pptx import Presentation
from slide_measure import dejavu, helvetica, lines_of, overflowing

from seglab.reports.document import Cell, Picture, TableBlock
from seglab.reports.slides import text_fit
from seglab.reports.slides.deck import Slide
from seglab.reports.slides.pptx_file import deck_bytes
from seglab.reports.slides.seal import changed_since
from seglab.reports.slides.table_fit import fit_table
from seglab.reports.slides.text_fit import shortened, width_of, wrapped

WHEN = datetime(2026, 1, 2, 3, 4, 5)
HOSTILE = (
    "\x1b[31m \x00 \u202eevil \ufffe \ud800 <a:t>&amp;</a:t> " + "A_very_long_name" * 20 + " 細胞核の分割 עברית 🧫"
)


def picture(width: int, height: int) -> Picture:
    buffer = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(buffer, "PNG")
    return Picture("a", buffer.getvalue(), f"What is seen, {HOSTILE}")


def opened(*slides: Slide) -> Any:
    return Presentation(io.BytesIO(deck_bytes(slides, "a study", WHEN)))


def table(rows: int, columns: int, text: str = "word") -> TableBlock:
    return TableBlock(
        [f"column {i} {text}" for i in range(columns)],
        [[Cell(f"{text} {i}", strong=i == 1) for i in range(columns)] for _ in range(rows)],
        f"about {text}",
    )


def test_letters_are_as_wide_as_the_font_says() -> None:
    font = ImageFont.truetype(Path(text_fit.matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", 1000)
    for letter in "aW.é–×":
        assert width_of(letter, 10) == pytest.approx(font.getlength(letter) / 100, rel=0.01)
    assert width_of("e\u0301", 10) == width_of("e", 10)
    assert width_of("細", 10) == 10
    assert width_of("word", 12, bold=True) > width_of("word", 12) == 1.2 * width_of("word", 10)


@given(st.text(st.characters(codec="utf-8"), max_size=60), st.floats(30, 300), st.integers(1, 4))
def test_lines_keep_their_width_and_all_words(text: str, room: float, most: int) -> None:
    lines = wrapped(text, room, 10)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(width_of(line, 10) <= room or len(line) == 1 for line in lines)
    cut = shortened(text, most, room, 10)
    assert len(wrapped(cut, room, 10)) <= most
    assert cut == text if len(lines) <= most else cut.endswith("…")


def test_lines_are_broken_at_blanks_and_long_words_within() -> None:
    ten = width_of("aaaaaaaaaa", 10)
    assert wrapped("aaaa aaaa aaaa", ten, 10) == ["aaaa aaaa", "aaaa"]
    assert wrapped("aa " + "a" * 25, ten, 10) == ["aa", "a" * 10, "a" * 10, "a" * 5]
    assert wrapped("", ten, 10) == [""]
    assert shortened("aaaa aaaa aaaa", 1, ten, 10) == "aaaa aaa …"


def test_a_machine_without_the_font_takes_every_letter_for_a_wide_one(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = width_of("not measured, 0.767 ± 0.002", 12)
    monkeypatch.setattr(text_fit, "_FONTS", {False: "absent.ttf", True: "absent.ttf"})
    text_fit._font.cache_clear()
    text_fit._advance.cache_clear()
    try:
        assert width_of("not measured, 0.767 ± 0.002", 12) > usual
        (page,) = opened(Slide("A title", ["Text"], table=table(4, 3))).slides
        assert not overflowing(page, helvetica())
    finally:
        text_fit._font.cache_clear()
        text_fit._advance.cache_clear()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.text(st.characters(codec="utf-8"), max_size=40), min_size=4, max_size=4), max_size=25))
def test_a_table_stays_in_its_room(texts: list[list[str]]) -> None:
    block = TableBlock(["a", "b", "c", "d"], [[Cell(" ".join(text.split())) for text in row] for row in texts])
    fitted = fit_table(block, 600, 200)
    assert sum(fitted.widths) <= 600.001
    assert sum(fitted.heights) <= 200
    assert len(fitted.rows) + fitted.left_out == len(texts)


def test_rows_without_room_are_counted_and_stand_in_the_notes() -> None:
    (page,) = opened(Slide("Many", table=table(60, 3))).slides
    (shape,) = [shape for shape in page.shapes if shape.has_table]
    shown = len(shape.table.rows) - 1
    words = [shape.text_frame.text for shape in page.shapes if shape.name == "rows left out"]
    assert 15 < shown < 60
    assert words == [f"{60 - shown} more rows stand in the notes."]
    assert page.notes_slide.notes_text_frame.text.count("word 0 | word 1 | word 2") == 60


def test_nothing_overflows_whatever_the_names_are() -> None:
    long = "It was said at length, and again, that this is how it was. " * 40
    slides = [
        Slide(HOSTILE, [HOSTILE], [HOSTILE, long], runs=["a" * 32] * 40, notes=[HOSTILE]),
        Slide(long, [long], [long] * 5, table=table(30, 5, HOSTILE)),
        Slide("Rows", [long], table=table(3, 14, "UNetMini_BalancedCrossEntropyLoss_AdamW")),
        Slide("Flat", ["Text"], picture=picture(2000, 40)),
        Slide("Tall", [long], [long], picture=picture(40, 2000)),
        Slide("Points", points=[f"Point {i}: {'word ' * 30}" for i in range(40)]),
        Slide("", table=table(0, 2)),
    ]
    letters = helvetica(), dejavu()
    for page in opened(*slides).slides:
        for width in letters:
            assert not overflowing(page, width)


def test_the_measure_sees_what_overflows() -> None:
    assert lines_of("aaaa aaaa", 30, 10, False, lambda letter, bold: 0.5) == 2
    assert lines_of("a" * 13, 30, 10, False, lambda letter, bold: 0.5) == 3
    page = opened(Slide("A title", ["Text that is longer than a word"])).slides[0]
    box = next(shape for shape in page.shapes if shape.name == "text")
    assert not overflowing(page, dejavu())
    box.width //= 8
    assert overflowing(page, dejavu())
    box.width, box.top = box.width * 8, box.top + 12700 * 500
    assert overflowing(page, dejavu())


def test_what_no_file_can_hold_is_shown_as_a_code() -> None:
    (page,) = opened(Slide("a\x00b", ["\u202eevil\n\ud800 \ufffe"], runs=["r\x07"], notes=["n\x1b\n<b>"])).slides
    assert page.shapes.title.text_frame.text == r"a\x00b"
    assert next(shape for shape in page.shapes if shape.name == "text").text_frame.text == r"\u202eevil \ud800 \ufffe"
    assert r"n\x1b" in page.notes_slide.notes_text_frame.text
    assert "<b>" in page.notes_slide.notes_text_frame.text


def test_pictures_and_tables_have_words_for_those_who_do_not_see_them() -> None:
    pages = opened(Slide("A", picture=picture(20, 20)), Slide("B", table=table(2, 2))).slides
    (drawn,) = [shape for shape in pages[0].shapes if shape.shape_type == 13]
    assert drawn._element.nvPicPr.cNvPr.get("descr").startswith("What is seen, ")
    (drawn,) = [shape for shape in pages[1].shapes if shape.has_table]
    assert drawn._element.nvGraphicFramePr.cNvPr.get("descr") == "about word"


def test_the_same_slides_are_the_same_bytes_without_the_time_of_now() -> None:
    slides = [Slide("A", ["Text"], table=table(3, 3)), Slide("B", picture=picture(30, 20), runs=["f" * 32])]
    content = deck_bytes(slides, "a study", WHEN)
    assert deck_bytes(slides, "a study", WHEN) == content
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        assert {entry.date_time for entry in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        xml = b"".join(file.read(name) for name in file.namelist() if name.endswith(".xml"))
    assert set(re.findall(rb"<dcterms:\w+[^>]*>([^<]+)<", xml)) == {b"2026-01-02T03:04:05Z"}
    presentation = Presentation(io.BytesIO(content))
    assert presentation.slide_width * 9 == presentation.slide_height * 16


def test_the_seal_tells_a_deck_that_somebody_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "slides.pptx"
    file.write_bytes(deck_bytes([Slide("A", ["Text"])], "a study", WHEN))
    assert not changed_since(file)
    presentation = Presentation(str(file))
    presentation.slides[0].shapes.title.text_frame.text = "Mine"
    presentation.save(str(file))
    assert changed_since(file)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no zip", b"PK\x05\x06" + b"\0" * 18])
def test_what_is_no_deck_of_ours_counts_as_changed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pptx").write_bytes(content)
    assert changed_since(tmp_path / "a.pptx")


def test_a_zip_that_would_fill_the_memory_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pptx", "w", zipfile.ZIP_DEFLATED) as file:
        entry = zipfile.ZipInfo("large")
        with file.open(entry, "w") as part:
            for _ in range(257):
                part.write(bytes(2**20))
    tracemalloc.start()
    try:
        assert changed_since(tmp_path / "a.pptx")
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
