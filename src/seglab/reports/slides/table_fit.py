"""A table in a room of a slide: size of the letters, widths of the columns, and as many rows as there is height for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seglab.reports.document import Cell, TableBlock
from seglab.reports.slides.text_fit import LINE, longest_word, shortened, width_of, wrapped

SIDE, ABOVE = 5.0, 2.5  # points between the text of a cell and its borders
_SIZES = (16.0, 14.0, 13.0, 12.0, 11.0, 10.0, 9.0)
_LINES = 3  # of a cell at most


@dataclass(frozen=True)
class FittedTable:
    """A table as it is drawn.

    Attributes:
        size: of the letters, in points.
        widths, heights: of the columns, and of the head and each row, in points.
        head: words of the columns.
        rows: of the cells that are shown, with text that fits.
        left_out: rows that had no room.
    """

    size: float
    widths: Sequence[float]
    heights: Sequence[float]
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    left_out: int


def fit_table(table: TableBlock, width: float, height: float) -> FittedTable:
    """The table in the largest letters in which it fits whole; in the smallest as much of it as fits."""
    fitted = _fit(table, width, height, _SIZES[0])[0]
    for size in _SIZES:
        fitted, uncut = _fit(table, width, height, size)
        if uncut and not fitted.left_out:
            break
    return fitted


def _fit(table: TableBlock, width: float, height: float, size: float) -> tuple[FittedTable, bool]:
    """At one size; and whether no word is broken and no cell cut."""
    grid = [list(table.columns), *[[cell.text for cell in row] for row in table.rows]]
    widths, roomy = _widths(grid, width, size)
    texts = [
        [shortened(text, _LINES, wide - 2 * SIDE, size, bold=True) for text, wide in zip(line, widths, strict=True)]
        for line in grid
    ]
    heights = [
        size * LINE * max(len(wrapped(t, wide - 2 * SIDE, size, True)) for t, wide in zip(line, widths, strict=True))
        + 2 * ABOVE
        for line in texts
    ]
    shown, used = 1, heights[0]
    while shown < len(heights) and used + heights[shown] <= height:
        used += heights[shown]
        shown += 1
    rows = [
        [Cell(text, cell.value, cell.strong, cell.tone) for text, cell in zip(line, row, strict=True)]
        for line, row in zip(texts[1:shown], table.rows, strict=False)
    ]
    whole = grid == texts
    left_out = len(heights) - shown
    return FittedTable(size, widths, heights[:shown], texts[0], rows, left_out), whole and roomy


def _widths(grid: Sequence[Sequence[str]], width: float, size: float) -> tuple[list[float], bool]:
    """Widths that fill the room, the widest columns cut first; and whether each holds its longest word."""
    columns = list(zip(*grid, strict=True))
    wanted = [max(width_of(text, size, True) for text in column) + 2 * SIDE + 1 for column in columns]
    least = [max(longest_word(text, size, True) for text in column) + 2 * SIDE + 1 for column in columns]
    if sum(wanted) <= width:
        return [one * width / sum(wanted) for one in wanted], True
    if sum(least) > width:
        fair = width / len(columns)
        narrow = [min(one, fair) for one in least]
        spare = (width - sum(narrow)) / max(1.0, sum(one - kept for one, kept in zip(least, narrow, strict=True)))
        return [kept + spare * (one - kept) for one, kept in zip(least, narrow, strict=True)], False
    low, high = 0.0, max(wanted)
    for _ in range(40):
        cap = (low + high) / 2
        if sum(min(one, max(cap, needed)) for one, needed in zip(wanted, least, strict=True)) > width:
            high = cap
        else:
            low = cap
    return [min(one, max(low, needed)) for one, needed in zip(wanted, least, strict=True)], True
