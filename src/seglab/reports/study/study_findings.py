"""What a study has found beside its scores, for the note and its slides alike: gains of augmentation, what the other
factors are worth, costs, and the network of the best variant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from seglab.comparison.case_tables import lower_is_better
from seglab.comparison.cohort_ranking import CohortRanking
from seglab.number_format import plain
from seglab.reports.comparison.compare import Comparison
from seglab.reports.comparison.comparison_sections import MEMORY_MEANING, times_caption
from seglab.reports.document import Cell, PageSection, TableBlock
from seglab.reports.slides.deck import NOT_MEASURED, SHORT
from seglab.reports.study.limitations import best_run
from seglab.reports.study.methods import drawing_of
from seglab.reports.study.readme import EFFECTS, VARIANTS
from seglab.run_record import RunRecord, Tag

GAINS, COST, CHOSEN = "Gains of augmentation", "Cost", "The chosen architecture"
AUGMENTATION = "augmentation"
_SHARED = " ⚠"  # marks a column of times of runs that shared a machine
COSTS = ("train time", "wall time", "images/s", "peak memory", "peak GPU memory", "parameters", "FLOPs")
_NEEDED = ("train time", "peak memory", "parameters")  # which are named as unknown where no run recorded them


def unmarked(column: str) -> str:
    """The name of a column of costs."""
    return column.removesuffix(_SHARED)


def gains_section(ranking: CohortRanking, chapter: PageSection | None, metric: str) -> PageSection:
    """What augmentation gains; where no two variants differ in it alone, that this was not measured.

    Args:
        ranking: of a set of runs.
        chapter: what each factor is worth there; None where nothing varies in matched pairs.
        metric: the score that decides.
    """
    table = _of_factors(ranking, chapter, True)
    nothing = f"{GAINS}: {NOT_MEASURED}. No two variants of this study differ in {AUGMENTATION} alone."
    text = about_effects(metric) if table else nothing
    return PageSection(f"{GAINS}: {ranking.cohort.title}", text=[text], grids=[table] if table else [])


def other_effects_section(ranking: CohortRanking, chapter: PageSection | None) -> PageSection | None:
    """What each factor but augmentation is worth; None without one."""
    table = _of_factors(ranking, chapter, False)
    return PageSection(f"{EFFECTS}: {ranking.cohort.title}", grids=[table]) if table else None


def about_effects(metric: str) -> str:
    """What the differences of a factor are of."""
    better = "Less is better." if lower_is_better(metric) else "Above 0 is a gain."
    return f"Difference of {metric} between variants that differ in this alone, averaged over such pairs. {better}"


def _of_factors(ranking: CohortRanking, chapter: PageSection | None, augmentation: bool) -> TableBlock | None:
    """The rows of a chapter's table about augmentation, or about all else."""
    rows = [i for i, one in enumerate(ranking.effects) if (one.factor == AUGMENTATION) is augmentation]
    if chapter is None or not rows:
        return None
    grid = chapter.grids[0]
    return replace(grid, rows=[grid.rows[i] for i in rows])


def runs_of_effects(ranking: CohortRanking, augmentation: bool) -> list[str]:
    """Ids of the runs that were compared for what augmentation is worth, or for all other factors."""
    compared = [one for one in ranking.effects if (one.factor == AUGMENTATION) is augmentation]
    labels = {label for effect in compared for pair in effect.contexts for label in pair}
    return [run.id for variant in ranking.cohort.variants if variant.label in labels for run in variant.runs]


def cost_section(
    ranking: CohortRanking, variants: PageSection, plots: PageSection | None, together: int
) -> PageSection:
    """Time, memory, parameters and operations of each variant with its runs, and the score against them.

    Args:
        ranking: of a set of runs.
        together: how many runs shared the machine, see `ran_together`.
        variants: its chapter with scores and costs.
        plots: its chapter of plots; one of them is of costs where any were recorded.
    """
    grid = variants.grids[0]
    places = [i for i, name in enumerate(grid.columns) if i == 0 or unmarked(name) in COSTS]
    missing = [name for name in _NEEDED if name not in map(unmarked, grid.columns)]
    rows = [
        [
            *[_known(row[i]) for i in places],
            *[Cell(NOT_MEASURED)] * len(missing),
            Cell(", ".join(run.id[:SHORT] for run in ranking.cohort.variants[i].runs)),
        ]
        for i, row in zip(ranking.order, grid.rows, strict=False)
    ]
    caption = f"Means over the runs of a variant. {times_caption(together)} {MEMORY_MEANING}"
    table = TableBlock([*[grid.columns[i] for i in places], *missing, "runs"], rows, caption)
    drawn = [] if plots is None else [one for one in plots.pictures if one.name.endswith("costs")]
    text = [] if drawn else [f"Training time and parameters: {NOT_MEASURED}."]
    return PageSection(f"{COST}: {ranking.cohort.title}", text=text, grids=[table], pictures=drawn)


def _known(cell: Cell) -> Cell:
    return replace(cell, text=NOT_MEASURED) if cell.text == "–" else cell


def without_costs(section: PageSection, together: int) -> PageSection:
    """A chapter of variants or plots without what `cost_section` tells."""
    if section.title.startswith(VARIANTS):
        grid = section.grids[0]
        kept = [i for i, name in enumerate(grid.columns) if unmarked(name) not in COSTS]
        rows = [[row[i] for i in kept] for row in grid.rows]
        caption = " ".join(grid.caption.replace(times_caption(together), "").replace(MEMORY_MEANING, "").split())
        return replace(section, grids=[TableBlock([grid.columns[i] for i in kept], rows, caption)])
    return replace(section, pictures=[one for one in section.pictures if not one.name.endswith("costs")])


def chosen_section(comparison: Comparison, architectures: PageSection) -> PageSection:
    """The network of the variant with the best score, how many others are not shown to be worse, and its best run.

    Args:
        comparison: of the study's runs.
        architectures: the chapter with the drawings.
    """
    run, ranking, metric = best_run(comparison), comparison.rankings[0], comparison.settings.metric
    drawn = drawing_of(run, comparison.found.runs, architectures)
    tied = sum(verdict.place == "tied" for verdict in ranking.verdicts)
    label = ranking.cohort.variants[ranking.order[0]].label
    weights = plain(RunRecord.of(run).number(Tag.PARAMETERS), "{:,.0f}").replace("–", NOT_MEASURED)
    text = f"{label}: the best {metric}" + (f", tied with {tied} other{'s' * (tied > 1)}" if tied else "")
    text += f". Of its runs {run.id[:SHORT]} is the best on validation. Parameters: {weights}."
    nothing: Sequence[str] = [] if drawn else [f"Its network is not drawn. {' '.join(architectures.notes[:1])}"]
    return PageSection(CHOSEN, text=[text, *nothing], pictures=[drawn] if drawn else [])
