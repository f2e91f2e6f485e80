"""The sections of a comparison's page that hold differences: against the best, and of each factor."""

from __future__ import annotations

from seglab.comparison.descriptives import Paired
from seglab.comparison.document import Cell, Grid, Section
from seglab.comparison.judgement import Judgement
from seglab.comparison.tables import lower_is_better
from seglab.comparison.wording import crowding, interval, known, p_value, signed, times

_PAIR_COLUMNS = ["composition", "difference", "95% interval", "p", "win – tie – loss", "effect", "run pairs"]


def _paired_cells(paired: Paired) -> list[Cell]:
    difference = paired.difference
    return [
        Cell(
            signed(difference.difference),
            known(difference.difference),
            strong=difference.excludes_zero and not difference.networks_only,
        ),
        Cell(interval(difference), known(difference.low)),
        Cell(p_value(difference.p), known(difference.p)),
        Cell(f"{paired.wins} – {paired.ties} – {paired.losses}", paired.wins - paired.losses),
        Cell(signed(paired.rank_biserial, 2), known(paired.rank_biserial)),
        Cell(str(paired.replicates), paired.replicates),
    ]


def pairs_section(judgement: Judgement, metric: str, unit: str) -> Section | None:
    """Each composition against the best; None when there is only one."""
    contest = judgement.contest
    rows = []
    for i in judgement.order:
        verdict = judgement.verdicts[i]
        if verdict.paired is not None:
            rows.append([Cell(contest.compositions[i].label), *_paired_cells(verdict.paired)])
    if not rows:
        return None
    name = contest.compositions[judgement.order[0]].label
    caption = (
        f"Difference of {metric}: this composition − {name}, with its 95% interval over {contest.repeated} and "
        f"{unit}s. Interval and p are corrected for all pairs: p < 0.05 exactly where the interval leaves out 0. "
        f"Win, tie, loss: {unit}s in which it scored more, the same, less. Effect: rank-biserial correlation, −1 to 1."
    )
    return Section(f"Against the best: {contest.title}", grids=[Grid(_PAIR_COLUMNS, rows, caption)])


def effects_section(judgement: Judgement, metric: str, together: int) -> Section | None:
    """What each factor is worth; None when nothing varies in matched pairs."""
    if not judgement.effects:
        return None
    rows = [
        [
            Cell(effect.factor),
            Cell(f"{effect.level} instead of {effect.reference}"),
            Cell(str(len(effect.contexts)), len(effect.contexts)),
            *_paired_cells(effect.paired),
        ]
        for effect in judgement.effects
    ]
    better = "Less is better." if lower_is_better(metric) else "Above 0 is a gain."
    caption = (
        f"Difference of {metric} between compositions that differ in this factor alone, averaged over such pairs, with "
        f"its 95% interval over {judgement.contest.repeated} and cases, corrected with its p for the pairs of "
        f"levels within the factor. {better} Of more than four levels each stands against the best, so a row is what "
        "changing from it costs; augmentations against none."
    )
    columns = ["factor", "change", "matched pairs", *_PAIR_COLUMNS[1:]]
    if any(effect.speed.pairs for effect in judgement.effects):
        place = columns.index("p") + 1
        columns.insert(place, "speed" + (" ⚠" if together > 1 else ""))
        for row, effect in zip(rows, judgement.effects, strict=True):
            row.insert(place, Cell(times(effect.speed), known(effect.speed.ratio)))
        caption += (
            " Speed: images a second in training, as a ratio: mean over the pairs of runs of one seed, split and "
            f"device, with the least and the greatest. {crowding(together)}"
        ).rstrip()
    return Section(f"What each factor is worth: {judgement.contest.title}", grids=[Grid(columns, rows, caption)])
