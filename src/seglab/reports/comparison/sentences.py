"""The sentences of a comparison: its answer, and what a reader must know of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seglab.comparison.cohort_ranking import CohortRanking, RankedVariant
from seglab.comparison.cohorts import Cohort
from seglab.comparison.effects import Speed
from seglab.comparison.remarks import CohortRemark, Decided, NotPaired, OlderRuns, Unmatched, WithoutScore
from seglab.number_format import plain, with_sd
from seglab.statistics import Power


def summary(ranking: CohortRanking, metric: str) -> str:
    """The answer in one sentence."""
    cohort = ranking.cohort
    best = cohort.variants[ranking.order[0]].label
    mean = with_sd(ranking.means[ranking.order[0]], ranking.sds[ranking.order[0]])
    tied = [cohort.variants[i].label for i in ranking.order if ranking.verdicts[i].place == "tied"]
    worse = sum(verdict.place == "worse" for verdict in ranking.verdicts)
    open_ = sum(verdict.place == "undecided" for verdict in ranking.verdicts)
    if len(cohort.variants) == 1:
        runs = len(cohort.variants[0].runs)
        return f"{best}: {metric} {mean} over {runs} run{'s' * (runs != 1)}."
    sentence = f"{best} has the best {metric}, {mean}."
    if tied:
        listed = ", ".join(tied[:5]) + (f" and {len(tied) - 5} more" if len(tied) > 5 else "")
        sentence += f" Not shown to be worse: {listed}."
    if open_:
        sentence += f" Undecided, for want of seeds or cases: {'one variant' if open_ == 1 else f'{open_} variants'}."
    if worse:
        sentence += f" {worse} variant{'s are' if worse > 1 else ' is'} significantly worse."
    return sentence


def standing(ranking: CohortRanking, variant: int) -> str:
    """The verdict on one of several; one alone has none."""
    return ranking.verdicts[variant].place if len(ranking.cohort.variants) > 1 else ""


def with_allowed(label: str, allowed: str) -> str:
    """The label, with the findings of the data check that were allowed to pass."""
    return f"{label} ⚠ allowed: {allowed}" if allowed else label


def times(found: Speed) -> str:
    """`1.85 × (1.60 to 2.10)`: the ratio, with the least and the greatest of several; a dash where none is known."""
    spread = f" ({found.low:.2f} to {found.high:.2f})" if found.pairs > 1 else ""
    return f"{plain(found.ratio, '{:.2f} ×')}{spread}"


def crowding(together: int) -> str:
    """Why times do not compare, where runs went on at one time; else nothing."""
    if together < 2:
        return ""
    return (
        f"⚠ Up to {together} of these runs ran at the same time on one machine: times and speeds are of a share of it."
    )


def sentences(remarks: Sequence[CohortRemark]) -> list[str]:
    """What a reader must know of the cohorts."""
    return [text for remark in remarks for text in _of_remark(remark)]


def _of_remark(remark: CohortRemark) -> list[str]:
    match remark:
        case WithoutScore(run, metric):
            return [f"{run} has no defined {metric} on any case and is left out."]
        case OlderRuns(variant, count):
            return [f"{variant}: {count} older run(s) of a seed that ran again are left out."]
        case NotPaired():
            return [_not_paired(remark)]
        case Decided(column, failed, empty):
            texts = []
            if failed:
                texts.append(f"On {_cases(failed)} some run has no {column} though truth is not empty: it counts 0.")
            if empty:
                texts.append(
                    f"On {_cases(empty)} truth is empty and some run predicted something: an empty prediction "
                    f"counts 1 there, any other 0."
                )
            return texts


def _cases(count: int) -> str:
    return f"{count} case{'s' * (count != 1)}"


def _not_paired(remark: NotPaired) -> str:
    families = []
    for number, (runs, digests) in enumerate(remark.families, start=1):
        listed = ", ".join(runs[:6]) + (f" and {len(runs) - 6} more" if len(runs) > 6 else "")
        families.append(f"({number}) {listed}: {', '.join(digests[:4])}{' …' if len(digests) > 4 else ''}")
    return f"Not paired, for their {remark.differing} differ: " + "; ".join(families) + "."


def ranking_notes(ranking: CohortRanking) -> list[str]:
    """What a reader must know of a ranking: doubts, how small a difference it finds, factors without a pair."""
    cohort, verdicts = ranking.cohort, ranking.verdicts
    tied = sum(verdict.place in ("best", "tied") for verdict in verdicts)
    return [
        *_doubts(cohort, verdicts),
        *_reach(cohort, ranking.power, tied),
        *(_of_factor(factor) for factor in ranking.unmatched),
    ]


def _doubts(cohort: Cohort, verdicts: Sequence[RankedVariant]) -> list[str]:
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


def _of_factor(found: Unmatched) -> str:
    if found.alone == found.variants:
        return f"{found.factor}: no two variants differ in it alone, so its effect cannot be told from the others'."
    return f"{found.factor}: {found.alone} of {found.variants} variants have no partner and play no part."
