"""The page of a comparison: run ids in one piece, long names broken where they may be, the rest left whole."""

from __future__ import annotations

import re

from seglab.reports.document import Cell, Document, PageSection, TableBlock
from seglab.reports.html_page import to_html

RUN = "41e1f0e7ed074913b00c1d84818c035c"
NAME = "UNetMini_BalancedCrossEntropyLoss_AdamW"


def cells(*row: Cell) -> list[str]:
    section = PageSection("Runs", grids=[TableBlock([f"c{n}" for n in range(len(row))], [list(row)])])
    return re.findall(r"<td.*?</td>", to_html(Document("a", "b", [section])))


def test_a_run_id_is_one_piece_that_can_be_found_and_copied_whole() -> None:
    (cell,) = cells(Cell(RUN))
    assert cell == f'<td><code class="id" title="{RUN}" tabindex="0">{RUN}</code></td>'
    assert "<code" not in cells(Cell(RUN[:8]))[0]
    assert "<code" not in cells(Cell(RUN + "0"))[0]


def test_only_a_long_name_may_be_broken() -> None:
    long, short, number = cells(Cell(NAME), Cell("mixed_bfloat16"), Cell("0.5 ± 0.1 of a_long_list_of_things", 0.5))
    assert long == f'<td class="long">{NAME.replace("_", "_<wbr>")}</td>'
    assert short == "<td>mixed_bfloat16</td>"
    assert number.startswith('<td class="number" data-value="0.5">')
    assert "<wbr>" not in number
