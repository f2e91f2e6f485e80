"""The sections of a comparison's page that hold differences: against the best, and of each factor."""

from __future__ import annotations

from seglab.comparison.case_tables import lower_is_better
from seglab.comparison.cohort_ranking import CohortRanking
from seglab.comparison.descriptives import Paired
from seglab.number_format import difference, interval, known, p_value, signed
from seglab.reports.comparison.sentences import crowding, times
from seglab.reports.document import Cell, PageSection, TableBlock

_PAIR_COLUMNS = ["variant", "difference", "95% interval", "p", "win – tie – loss", "effect", "run pairs"]


def _paired_cells(paired: Paired) -> list[Cell]:
    found = paired.difference
    return [
        Cell(difference(found), known(found.difference), strong=found.excludes_zero and not found.networks_only),
        Cell(interval(found), known(found.low)),
        Cell(p_value(found.p), known(found.p)),
        Cell(f"{paired.wins} – {paired.ties} – {paired.losses}", paired.wins - paired.losses),
        Cell(signed(paired.rank_biserial, 2), known(paired.rank_biserial)),
        Cell(str(paired.replicates), paired.replicates),
    ]


def pairs_section(ranking: CohortRanking, metric: str, unit: str) -> PageSection | None:
    """Each variant against the best; None when there is only one."""
    cohort = ranking.cohort
    rows = []
    for i in ranking.order:
        verdict = ranking.verdicts[i]
        if verdict.paired is not None:
            rows.append([Cell(cohort.variants[i].label), *_paired_cells(verdict.paired)])
    if not rows:
        return None
    name = cohort.variants[ranking.order[0]].label
    caption = (
        f"Difference of {metric}: this variant − {name}, with its 95% interval over {cohort.repeated} and "
        f"{unit}s. Interval and p are corrected for all pairs: p < 0.05 exactly where the interval leaves out 0. "
        f"Win, tie, loss: {unit}s in which it scored more, the same, less. Effect: rank-biserial correlation, −1 to 1."
    )
    return PageSection(f"Against the best: {cohort.title}", grids=[TableBlock(_PAIR_COLUMNS, rows, caption)])


def effects_section(ranking: CohortRanking, metric: str, together: int) -> PageSection | None:
    """What each factor is worth; None when nothing varies in matched pairs."""
    if not ranking.effects:
        return None
    rows = [
        [
            Cell(effect.factor),
            Cell(f"{effect.level} instead of {effect.reference}"),
            Cell(str(len(effect.contexts)), len(effect.contexts)),
            *_paired_cells(effect.paired),
        ]
        for effect in ranking.effects
    ]
    better = "Less is better." if lower_is_better(metric) else "Above 0 is a gain."
    caption = (
        f"Difference of {metric} between variants that differ in this factor alone, averaged over such pairs, with "
        f"its 95% interval over {ranking.cohort.repeated} and cases, corrected with its p for the pairs of "
        f"levels within the factor. {better} Of more than four levels each stands against the best, so a row is what "
        "changing from it costs; augmentations against none."
    )
    columns = ["factor", "change", "matched pairs", *_PAIR_COLUMNS[1:]]
    if any(effect.speed.pairs for effect in ranking.effects):
        place = columns.index("p") + 1
        columns.insert(place, "speed" + (" ⚠" if together > 1 else ""))
        for row, effect in zip(rows, ranking.effects, strict=True):
            row.insert(place, Cell(times(effect.speed), known(effect.speed.ratio)))
        caption += (
            " Speed: images a second in training, as a ratio: mean over the pairs of runs of one seed, split and "
            f"device, with the least and the greatest. {crowding(together)}"
        ).rstrip()
    return PageSection(f"What each factor is worth: {ranking.cohort.title}", grids=[TableBlock(columns, rows, caption)])
