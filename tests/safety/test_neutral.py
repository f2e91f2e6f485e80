"""Names of others are read where they are written: by a spreadsheet, on a page, in a terminal."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from rich.table import Table
from rich.text import Text

from seglab.comparison.case_tables import read_table
from seglab.reports.document import Cell, Document, PageSection, Picture, TableBlock, to_markdown
from seglab.reports.html_page import to_html
from seglab.runtime.terminal import Terminal, tell
from seglab.safety.csv_text import csv_text
from seglab.safety.shown_text import from_cell, in_cell, in_markdown, in_table, shown

FORMULAS = ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3", "\t=1", " =1", "\uff1d1+1", "-", "-x.png"]
NUMBERS = ["-0.5", "+5", "-1e-05", "-inf", "0", "12"]
HOSTILE = "<script>alert(1)</script> <img src=x onerror=y> [a](javascript:b) ![p](http://x) | \x1b[2J\u202e"


@pytest.mark.parametrize("name", [*FORMULAS, *NUMBERS, "'", "'=x", "''", "plain", "a=b", ""])
def test_a_cell_is_no_formula_and_comes_back_as_it_was(name: str) -> None:
    cell = in_cell(name)
    assert cell == f"'{name}" if name in FORMULAS or name.startswith("'") else cell == name
    assert from_cell(cell) == name


def test_tables_hold_no_formulas_and_negative_scores_stay_numbers(tmp_path: Path) -> None:
    ids = [*FORMULAS, "a\r=1", "\r=1", "b\n=1"]
    lacking = [None] * (len(ids) - 1)
    frame = pd.DataFrame({"id": ids, "group": "=g", "dice": -0.5, "nsd": [-1e-05, *lacking], "=column": 1})
    text = csv_text(frame)
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert len(rows) == len(ids) + 1
    for row in rows:
        for cell in row:
            assert in_cell(cell) == cell or cell.startswith("'")
    assert rows[1][2] == "-0.5"
    assert rows[1][3] == "-1e-05"
    plain = frame[~frame["id"].str.contains("[\t\r\n]")]
    (tmp_path / "plain.csv").write_text(csv_text(plain), encoding="utf-8")
    back = read_table(tmp_path / "plain.csv")
    assert back.ids == plain["id"].tolist()
    assert set(back.groups) == {"=g"}
    assert back.scores["dice"].tolist() == [-0.5] * len(plain)


def test_markdown_makes_nothing_of_names() -> None:
    picture = Picture("curve", b"", f"picture {HOSTILE}")
    section = PageSection(
        f"title {HOSTILE}",
        text=[f"text {HOSTILE}"],
        code=f"code ``` {HOSTILE}",
        notes=[f"note {HOSTILE}\n# more"],
        grids=[TableBlock([f"column {HOSTILE}"], [[Cell(HOSTILE)]], f"caption {HOSTILE}")],
        pictures=[picture],
        written=["<!-- kept --> [as](written)"],
    )
    text = to_markdown(Document(f"page {HOSTILE}", "lead", [section]))
    outside = text.partition("```")[0] + text.rpartition("```")[2]
    assert "<script" not in outside
    assert "<img" not in outside
    assert "](javascript" not in outside
    assert "](http" not in outside
    assert not {"\x1b", "\u202e"} & set(text)
    assert text.count("```") == 2
    assert "<!-- kept --> [as](written)" in text
    assert "![picture " in text
    assert "](plots/curve.png)" in text
    page = to_html(Document(f"page {HOSTILE}", HOSTILE, [section]))
    assert "<script>alert" not in page
    assert "<img src=x" not in page


def test_what_is_meant_stays() -> None:
    assert in_markdown("p < 0.001, [0.1, 0.2], `code` **strong**") == "p < 0.001, [0.1, 0.2], `code` **strong**"
    assert in_table("a|b\nc") == "a\\|b c"
    assert shown("Zelle 细胞核\n\ttab é") == "Zelle 细胞核\n\ttab é"


def test_the_terminal_obeys_no_name_and_shows_no_password() -> None:
    name = "a\x1b[31mred\x1b]0;title\x07\x9b2J\rb\u202ec"
    written = io.StringIO()
    console = Terminal(file=written, force_terminal=True, width=200, color_system=None)
    table = Table(name, title=name, caption=name)
    table.add_row(name)
    table.add_row(Text(name))
    console.print(name, markup=False)
    console.print(Text(name))
    console.print(table)
    console.print("store postgresql://me:hunter2@host/db")
    output = written.getvalue()
    assert not {"\x1b]", "\x1b[31m", "\x07", "\x9b", "\r", "\u202e"} & {
        output[i : i + n] for n in (1, 2, 5) for i in range(len(output))
    }
    assert output.count("\\x1b[31mred") >= 5
    assert "hunter2" not in output


def test_what_begins_is_one_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    tell("loading \x1b[2J of https://me:secret@host")
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("… loading ")
    assert output.err.count("\n") == 1
    assert "\x1b" not in output.err
    assert "secret" not in output.err
