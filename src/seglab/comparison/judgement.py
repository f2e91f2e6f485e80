"""The verdict on each composition of a contest: the best, tied with it, or worse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from seglab.comparison.contests import Contest
from seglab.comparison.effects import Effect, marginal_effects
from seglab.comparison.statistics import (
    ALPHA,
    Paired,
    Ranking,
    Resampling,
    compare_paired,
    holm,
    rank_methods,
    unit_means,
)
from seglab.comparison.tables import lower_is_better

Place = Literal["best", "tied", "worse", "not paired"]
RANKED = 20  # more names than this no diagram can hold


@dataclass(frozen=True)
class Verdict:
    """One composition against the best.

    Attributes:
        place: see `judge`.
        paired: best's score taken from this one's; None for the best itself and for what cannot be paired.
        p_holm: the test's p, corrected for all compositions of the contest.
    """

    place: Place
    paired: Paired | None
    p_holm: float


@dataclass(frozen=True)
class Judgement:
    """A contest and all that is said of it.

    Attributes:
        contest: what was judged.
        order: numbers of the compositions, the best first.
        means: of the runs' means, for each composition.
        sds: standard deviation over the runs; NaN with one run.
        verdicts: for each composition.
        effects: of the factors.
        ranking: mean ranks of the first `RANKED` of `order`; None with fewer than two compositions or cases in common.
        notes: what a reader must know.
    """

    contest: Contest
    order: list[int]
    means: np.ndarray
    sds: np.ndarray
    verdicts: list[Verdict]
    effects: list[Effect]
    ranking: Ranking | None
    notes: list[str]


def judge(contest: Contest, metric: str, resampling: Resampling) -> Judgement:
    """Hold every composition against the one with the best mean.

    A composition is worse when Wilcoxon's test, corrected by Holm for all that are held against the best, has p < 0.05
    and the interval of the difference lies below 0 (above, where less is better): the test knows the cases only, the
    interval the seeds too. Otherwise it is tied with the best.
    """
    sign = -1.0 if lower_is_better(metric) else 1.0
    runs = [contest.run_means(i) for i in range(len(contest.compositions))]
    means = np.array([scores.mean() for scores in runs])
    sds = np.array([scores.std(ddof=1) if len(scores) > 1 else np.nan for scores in runs])
    order = np.argsort(-sign * means, kind="stable").tolist()
    best = order[0]
    compared = compare_paired([contest.pair(i, best) for i in range(len(means))], resampling, contest.units)
    compared[best] = None
    corrected = holm([np.nan if paired is None else paired.p for paired in compared])
    verdicts = []
    for i, (paired, p) in enumerate(zip(compared, corrected, strict=True)):
        place: Place = "best" if i == best else "not paired"
        if paired is not None:
            worse = p < ALPHA and paired.difference.excludes_zero and sign * paired.difference.mean < 0
            place = "worse" if worse else "tied"
        verdicts.append(Verdict(place, paired, float(p)))
    effects, notes = marginal_effects(contest, sign * means, resampling)
    return Judgement(
        contest,
        order,
        means,
        sds,
        verdicts,
        effects,
        _ranking(contest, order[:RANKED], sign > 0),
        [*_remarks(contest, verdicts, len(runs[best])), *notes],
    )


def _ranking(contest: Contest, order: list[int], higher_is_better: bool) -> Ranking | None:
    """Ranks over the units that every composition has scored."""
    values = contest.values[order]
    common = np.isfinite(values).any(axis=1).all(axis=0)
    if len(order) < 2 or not common.any():
        return None
    scores = np.stack([unit_means(composition[:, common], contest.units[common]) for composition in values], axis=1)
    return rank_methods(scores, higher_is_better) if len(scores) > 1 else None


def _remarks(contest: Contest, verdicts: list[Verdict], replicates: int) -> list[str]:
    notes = []
    paired = [verdict.paired for verdict in verdicts if verdict.paired is not None]
    units = len(np.unique(contest.units))
    if len(contest.compositions) == 1:
        notes.append("One composition: there is nothing to compare it with.")
    if paired and min(p.replicates for p in paired) == 1:
        notes.append(
            "Some compositions have one pair of runs: their interval holds for these trained networks, and says "
            "nothing of other seeds. Train with seed=0,1,2 or more."
        )
    if replicates > 1 and paired and max(p.replicates for p in paired) < 3:
        notes.append(f"With two {contest.repeated} the spread over {contest.repeated} is hardly known.")
    fewest = min((p.units for p in paired), default=0)
    if paired and 2 * 0.5**fewest * len(paired) >= ALPHA:
        comparisons = "1 comparison" if len(paired) == 1 else f"{len(paired)} comparisons"
        notes.append(
            f"With {fewest} cases and {comparisons} no difference can reach p < {ALPHA}, however large: "
            "what is tied here is not known to be equal."
        )
    undefined = max((p.undefined for p in paired), default=0)
    if undefined:
        notes.append(f"Cases without a score on one side are left out of a pair: up to {undefined}.")
    unpaired = [c.label for c, v in zip(contest.compositions, verdicts, strict=True) if v.place == "not paired"]
    if unpaired:
        notes.append(f"No case in common with the best, so not paired: {', '.join(unpaired)}.")
    if contest.groups == 1 < len(contest.cases):
        notes.append(
            f"The {len(contest.cases)} cases are of one group, and cases of a group are alike: what is found here "
            "holds for this group, and says little of others."
        )
    elif contest.groups < len(contest.cases) and units == len(contest.cases):
        notes.append(
            f"The {len(contest.cases)} cases are of {contest.groups} groups, and cases of a group are alike: "
            "unit=group draws whole groups, and gives wider intervals."
        )
    return notes
