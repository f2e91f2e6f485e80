"""The tables of a study's slides: columns of those of its pages, with the runs of each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from seglab.comparison.cohort_ranking import CohortRanking
from seglab.reports.document import Cell, PageSection, TableBlock
from seglab.reports.slides.deck import SHORT
from seglab.reports.study.study_findings import unmarked

EFFECT = ("factor", "change", "difference", "95% interval", "p")
COST_SHOWN = ("variant", "train time", "images/s", "peak memory", "peak GPU memory", "parameters", "FLOPs", "runs")
_SCORED = 3  # variants beside each other


def chosen(chapter: PageSection, names: Sequence[str]) -> TableBlock | None:
    """The columns of a chapter's first table that have these names; None without a table."""
    if not chapter.grids:
        return None
    grid = chapter.grids[0]
    places = [i for name in names for i, column in enumerate(grid.columns) if unmarked(column) == name]
    return TableBlock([grid.columns[i] for i in places], [[row[i] for i in places] for row in grid.rows], grid.caption)


def scores(ranking: CohortRanking, chapter: PageSection) -> tuple[TableBlock | None, list[str]]:
    """A row for each class and a column for each of the best variants; and the ids of their runs."""
    if not chapter.grids:
        return None, []
    grid = chapter.grids[0]
    shown = grid.rows[:_SCORED]
    rows = [[Cell(name), *[row[i] for row in shown]] for i, name in enumerate(grid.columns) if i]
    of = [run.id for i in ranking.order[:_SCORED] for run in ranking.cohort.variants[i].runs]
    return TableBlock(["score", *[row[0].text for row in shown]], rows, grid.caption), of


def production(chapter: PageSection) -> TableBlock | None:
    """What became of the runs, with the beginnings of their ids."""
    table = chosen(chapter, ("what", "found", "run"))
    return table and replace(table, rows=[[*row[:2], Cell(row[2].text[:SHORT])] for row in table.rows])
