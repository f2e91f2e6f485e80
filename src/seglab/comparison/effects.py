"""What a factor is worth: pairs of variants that differ in that factor alone, averaged over everything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from seglab.comparison.cohorts import Cohort
from seglab.comparison.descriptives import Paired, case_means, describe_pair
from seglab.comparison.remarks import Unmatched
from seglab.comparison.runs import StoredRun
from seglab.run_record import Metric, RunRecord
from seglab.statistics import compare_pair

_ALL_PAIRS_UP_TO = 4
_WITHOUT = "NoAugmentation"
Rates = dict[tuple[str, str, str], float]
Context = tuple[tuple[str, str], ...]
"""All parts of a variant but one."""


@dataclass(frozen=True)
class Speed:
    """Images a second in training, `level` over `reference`, of pairs of runs: same context, split, seed and device.

    Attributes:
        ratio: geometric mean over the pairs; NaN without any.
        low, high: the least and the greatest.
        pairs: how many.
    """

    ratio: float
    low: float
    high: float
    pairs: int


@dataclass(frozen=True)
class Effect:
    """Level `level` of a factor in place of `reference`.

    Attributes:
        factor: such as `loss` or `augmentation`.
        level, reference: names of the levels.
        contexts: labels of the matched pairs, first and second.
        paired: difference level − reference over seeds and cases, averaged over the contexts; interval and p are
            corrected for the number of levels.
        speed: how much faster it trains.
    """

    factor: str
    level: str
    reference: str
    contexts: list[tuple[str, str]]
    paired: Paired
    speed: Speed


def marginal_effects(cohort: Cohort, means: np.ndarray) -> tuple[list[Effect], list[Unmatched]]:
    """Effects of every factor that varies, and the factors of which some variants have no matched pair.

    For each seed and case the scores of the matched pairs are averaged, and both averages compared as two methods are.
    The contexts are no sample: the effect is that over these very ones. Up to four levels are all held against one
    another; of more each is held against the best, so that a row says what changing from it costs. Without augmentation
    is always the reference.

    Args:
        cohort: the variants with their scores.
        means: of each variant, the higher the better.
    """
    effects: list[Effect] = []
    unmatched: list[Unmatched] = []
    rates = [_rates(variant.runs) for variant in cohort.variants]
    factors = sorted({factor for variant in cohort.variants for factor in variant.parts})
    for factor in factors:
        found, matched = [], set()
        contexts = _contexts(cohort, factor)
        for reference, level in _level_pairs([c.parts[factor] for c in cohort.variants], means):
            pairs = _matched(contexts[level], contexts[reference])
            paired = _average(cohort, pairs, len(contexts))
            if paired is None:
                continue
            matched |= {i for pair in pairs for i in pair}
            labels = [(cohort.variants[i].label, cohort.variants[j].label) for i, j in pairs]
            found.append(
                Effect(factor, level, reference, labels, paired, _speed([(rates[i], rates[j]) for i, j in pairs]))
            )
        effects += found
        alone = len(cohort.variants) - len(matched)
        if alone or not found:
            unmatched.append(Unmatched(factor, alone, len(cohort.variants)))
    return effects, unmatched


def _level_pairs(levels: Sequence[str], means: np.ndarray) -> list[tuple[str, str]]:
    """(reference, level) to hold against each other.

    The best of many levels is that with the highest mean among those that most variants have: a level which stands
    in few contexts has few partners.
    """
    distinct = sorted(dict.fromkeys(levels), key=lambda level: (level != _WITHOUT, level))
    if len(distinct) <= _ALL_PAIRS_UP_TO:
        return list(combinations(distinct, 2))
    scores: dict[str, list[float]] = {}
    for level, mean in zip(levels, means, strict=True):
        scores.setdefault(level, []).append(mean)
    best = max(distinct, key=lambda level: (level == _WITHOUT, len(scores[level]), np.mean(scores[level])))
    return [(best, level) for level in distinct if level != best]


def _contexts(cohort: Cohort, factor: str) -> dict[str, list[tuple[int, Context]]]:
    """For each level of `factor` the numbers of its variants, and all else that each is made of."""
    found: dict[str, list[tuple[int, Context]]] = {}
    for number, variant in enumerate(cohort.variants):
        rest = tuple(sorted((key, value) for key, value in variant.parts.items() if key != factor))
        found.setdefault(variant.parts[factor], []).append((number, rest))
    return found


def _matched(level: Sequence[tuple[int, Context]], reference: Sequence[tuple[int, Context]]) -> list[tuple[int, int]]:
    """Numbers of the variants that differ in nothing else, the one with `level` first."""
    others = {rest: number for number, rest in reference}
    return [(number, others[rest]) for number, rest in level if rest in others]


def _average(cohort: Cohort, pairs: Sequence[tuple[int, int]], levels: int) -> Paired | None:
    """Both levels averaged for each replicate and case over the contexts, each context less its own level of a case."""
    sides = np.array([[cohort.values[i], cohort.values[j]] for i, j in pairs])
    if not len(sides):
        return None
    level = np.array([case_means(np.concatenate(context)) for context in sides])[:, None, None]
    defined = np.isfinite(sides)
    with np.errstate(invalid="ignore"):
        first, second = np.where(defined, sides - level, 0).sum(axis=0) / defined.sum(axis=0)
    if not (np.isfinite(first).any(axis=0) & np.isfinite(second).any(axis=0)).any():
        return None
    difference = compare_pair(first, second, methods=levels, groups=cohort.units)
    return describe_pair(first, second, difference, cohort.units)


def _speed(pairs: Sequence[tuple[Rates, Rates]]) -> Speed:
    """How many times as fast the first of each pair of variants trains, over the pairs of their runs."""
    ratios = [first[key] / second[key] for first, second in pairs for key in first if key in second]
    if not ratios:
        return Speed(np.nan, np.nan, np.nan, 0)
    return Speed(float(np.exp(np.mean(np.log(ratios)))), min(ratios), max(ratios), len(ratios))


def _rates(runs: Sequence[StoredRun]) -> Rates:
    """Images a second of each run by split, seed and device: the median over the epochs, where it was recorded."""
    found = {}
    for run in runs:
        _, rates = run.curve(Metric.IMAGES_PER_SECOND)
        if len(rates) and np.median(rates) > 0:
            record = RunRecord.of(run)
            key = record.split_digest, run.seed, record.device
            found[key] = float(np.median(rates))
    return found
