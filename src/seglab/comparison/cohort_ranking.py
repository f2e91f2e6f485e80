"""The verdict on each variant of a cohort: the best, tied with it, worse, or undecided."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seglab.comparison.case_tables import lower_is_better
from seglab.comparison.cohorts import Cohort
from seglab.comparison.descriptives import Paired, describe_pair
from seglab.comparison.effects import Effect, marginal_effects
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
        notes: what a reader must know.
    """

    cohort: Cohort
    order: list[int]
    means: np.ndarray
    sds: np.ndarray
    verdicts: list[RankedVariant]
    effects: list[Effect]
    apart: np.ndarray
    power: Power
    notes: list[str]


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
    effects, notes = marginal_effects(cohort, ranking.means if higher else -ranking.means)
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
        [*_remarks(cohort, verdicts), *_reach(cohort, found, tied), *notes],
    )


def _remarks(cohort: Cohort, verdicts: list[RankedVariant]) -> list[str]:
    notes = []
    if len(cohort.variants) == 1:
        notes.append("One variant: there is nothing to compare it with.")
    paired = [verdict.paired for verdict in verdicts if verdict.paired is not None]
    if any(found.difference.networks_only for found in paired):
        notes.append(
            "Some variants have one run. The result is about these trained networks alone: another seed "
            "may reverse it, so none is called worse. Train each with seed=0,1,2 or more."
        )
    elif paired and min(found.replicates for found in paired) == 2:
        notes.append(
            f"With two {cohort.repeated} the spread over {cohort.repeated} is hardly known, so only large "
            "differences are found."
        )
    unpaired = [
        c.label for c, v in zip(cohort.variants, verdicts, strict=True) if v.place != "best" and v.paired is None
    ]
    if unpaired:
        notes.append(f"No case in common with the best, so undecided: {', '.join(unpaired)}.")
    mixed = [variant.label for variant in cohort.variants if variant.mixed]
    if mixed:
        notes.append(
            f"‡ The runs of {', '.join(mixed[:5])}{' and others' if len(mixed) > 5 else ''} are of different code or "
            "number formats: what that changes counts here as luck of the seed."
        )
    units = len(np.unique(cohort.units))
    if cohort.groups == 1 < len(cohort.cases):
        notes.append(
            f"The {len(cohort.cases)} cases are of one group, and cases of a group are alike: what is found here "
            "holds for this group, and says little of others."
        )
    elif cohort.groups < len(cohort.cases) and units == len(cohort.cases):
        notes.append(
            f"The {len(cohort.cases)} cases are of {cohort.groups} groups, and cases of a group are alike: "
            "unit=group draws whole groups, and gives wider intervals."
        )
    return notes


def _reach(cohort: Cohort, found: Power, tied: int) -> list[str]:
    """How small a difference the study finds, and what luck the best mean holds."""
    if np.isnan(found.detectable):
        return []
    unit = "groups" if len(np.unique(cohort.units)) < len(cohort.cases) else "cases"
    ways = [f"{found.seeds} {cohort.repeated} of each"] if found.seeds else []
    ways += [f"{found.cases} test {unit}"] if found.cases else []
    more = (
        f"With {' or with '.join(ways)} it would find half of that."
        if ways
        else f"Neither more {cohort.repeated} nor more test {unit} alone would find half of that."
    )
    notes = [f"A study of this size finds a difference of {found.detectable:.3f} four times in five. {more}"]
    if tied > 1:
        notes.append(
            f"The best mean is the highest of {tied} that are not told apart. Were they all equal, it would be about "
            f"{found.luck:.3f} too good by luck."
        )
    return notes


def mark(variant: Variant) -> str:
    """The variant's label, with a sign where its runs are of different code or number formats."""
    return variant.label + (" ‡" if variant.mixed else "")
