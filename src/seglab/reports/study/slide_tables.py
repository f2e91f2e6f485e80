"""The tables of a study's slides: columns of those of its pages, with the runs of each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from seglab.comparison.ranking import CohortRanking
from seglab.reports.document import Cell, PageSection, TableBlock
from seglab.reports.slides.deck import NOT_MEASURED, SHORT

AUGMENTATION = "augmentation"
_SHARED = " ⚠"  # marks a column of times of runs that shared a machine
_COSTS = ("train time", "images/s", "peak memory", "peak GPU memory", "parameters", "FLOPs")
_NEEDED = ("train time", "peak memory", "parameters")  # which are told to be unknown where no run recorded them
_EFFECTS = ("factor", "change", "difference", "95% interval", "p")
_SCORED = 3  # variants beside each other


def chosen(chapter: PageSection, names: Sequence[str]) -> TableBlock | None:
    """The columns of a chapter's first table that have these names; None without a table."""
    if not chapter.grids:
        return None
    grid = chapter.grids[0]
    places = [i for name in names for i, column in enumerate(grid.columns) if column.removesuffix(_SHARED) == name]
    return TableBlock([grid.columns[i] for i in places], [[row[i] for i in places] for row in grid.rows], grid.caption)


def costs(ranking: CohortRanking, chapter: PageSection) -> TableBlock | None:
    """What each variant cost, and its runs; what was not recorded is said to be so."""
    table = chosen(chapter, ("variant", *_COSTS))
    if table is None:
        return None
    missing = [name for name in _NEEDED if name not in [column.removesuffix(_SHARED) for column in table.columns]]
    rows = [
        [
            *[replace(cell, text=NOT_MEASURED) if cell.text == "–" else cell for cell in row],
            *[Cell(NOT_MEASURED)] * len(missing),
            Cell(", ".join(run.id[:SHORT] for run in ranking.cohort.variants[i].runs)),
        ]
        for i, row in zip(ranking.order, table.rows, strict=False)
    ]
    return TableBlock([*table.columns, *missing, "runs"], rows, table.caption)


def scores(ranking: CohortRanking, chapter: PageSection) -> tuple[TableBlock | None, list[str]]:
    """A row for each class and a column for each of the best variants; and the ids of their runs."""
    if not chapter.grids:
        return None, []
    grid = chapter.grids[0]
    shown = grid.rows[:_SCORED]
    rows = [[Cell(name), *[row[i] for row in shown]] for i, name in enumerate(grid.columns) if i]
    of = [run.id for i in ranking.order[:_SCORED] for run in ranking.cohort.variants[i].runs]
    return TableBlock(["score", *[row[0].text for row in shown]], rows, grid.caption), of


def effects(ranking: CohortRanking, chapter: PageSection, augmentation: bool) -> tuple[TableBlock | None, list[str]]:
    """What augmentation is worth, or all other factors; and the ids of the runs that were compared."""
    table = chosen(chapter, _EFFECTS)
    picked = [i for i, one in enumerate(ranking.effects) if (one.factor == AUGMENTATION) is augmentation]
    if table is None or not picked:
        return None, []
    labels = {label for i in picked for pair in ranking.effects[i].contexts for label in pair}
    of = [run.id for variant in ranking.cohort.variants if variant.label in labels for run in variant.runs]
    return TableBlock(table.columns, [table.rows[i] for i in picked], table.caption), of


def production(chapter: PageSection) -> TableBlock | None:
    """What became of the runs, with the beginnings of their ids."""
    table = chosen(chapter, ("what", "found", "run"))
    return table and replace(table, rows=[[*row[:2], Cell(row[2].text[:SHORT])] for row in table.rows])
