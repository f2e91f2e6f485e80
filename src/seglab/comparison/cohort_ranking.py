"""The verdict on each variant of a cohort: the best, tied with it, worse, or undecided."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seglab.comparison.case_tables import lower_is_better
from seglab.comparison.cohorts import Cohort
from seglab.comparison.descriptives import Paired, describe_pair
from seglab.comparison.effects import Effect, marginal_effects
from seglab.comparison.remarks import Unmatched
from seglab.comparison.variants import Variant
from seglab.statistics import Power, pairwise_differences, power, rank_methods
from seglab.statistics.ranking import Verdict

RANKED = 20  # more names than this no diagram can hold


@dataclass(frozen=True)
class RankedVariant:
    """One variant against the best.

    Attributes:
        place: of `seglab.statistics.rank_methods`.
        paired: this one's score less the best's; None for the best itself and without a case in common.
    """

    place: Verdict
    paired: Paired | None


@dataclass(frozen=True)
class CohortRanking:
    """A cohort and all that is said of it.

    Attributes:
        cohort: what was ranked.
        order: numbers of the variants, the best first.
        means: for each variant, as if all had scored the same cases.
        sds: standard deviation over the runs; NaN with one run.
        verdicts: for each variant.
        effects: of the factors.
        apart: which of the first `RANKED` of `order` differ, `(ranked, ranked)`.
        power: what the study could have found.
        unmatched: factors of which some variants have no partner.
    """

    cohort: Cohort
    order: list[int]
    means: np.ndarray
    sds: np.ndarray
    verdicts: list[RankedVariant]
    effects: list[Effect]
    apart: np.ndarray
    power: Power
    unmatched: list[Unmatched]


def rank_variants(cohort: Cohort, metric: str) -> CohortRanking:
    """Rank the variants by `seglab.statistics.rank_methods`, which alone says what is worse than the best."""
    higher = not lower_is_better(metric)
    ranking = rank_methods(cohort.values, higher, groups=cohort.units)
    runs = [cohort.run_means(i) for i in range(len(cohort.variants))]
    sds = np.array([scores.std(ddof=1) if len(scores) > 1 else np.nan for scores in runs])
    best = cohort.values[ranking.best]
    verdicts = [
        RankedVariant(
            standing.verdict,
            describe_pair(values, best, standing, cohort.units)
            if standing.verdict != "best" and standing.cases
            else None,
        )
        for values, standing in zip(cohort.values, ranking, strict=True)
    ]
    effects, unmatched = marginal_effects(cohort, ranking.means if higher else -ranking.means)
    tied = sum(verdict.place in ("best", "tied") for verdict in verdicts)
    assert ranking.parts is not None  # a cohort has a score
    found = power(ranking.parts, len(ranking.order), tied)
    return CohortRanking(
        cohort,
        list(ranking.order),
        ranking.means,
        sds,
        verdicts,
        effects,
        pairwise_differences(cohort.values, ranking.order[:RANKED], groups=cohort.units),
        found,
        unmatched,
    )


def mark(variant: Variant) -> str:
    """The variant's label, with a sign where its runs are of different code or number formats."""
    return variant.label + (" ‡" if variant.mixed else "")
