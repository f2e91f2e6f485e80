"""What a factor is worth: pairs of compositions that differ in that factor alone, averaged over everything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from seglab.comparison.contests import Contest
from seglab.comparison.grouping import FACTORS
from seglab.comparison.statistics import Paired, Resampling, describe_differences, holm

_ALL_PAIRS_UP_TO = 4
_WITHOUT = "NoAugmentation"


@dataclass(frozen=True)
class Effect:
    """Level `level` of a factor in place of `reference`.

    Attributes:
        factor: such as `loss` or `augmentation`.
        level, reference: names of the levels.
        contexts: labels of the matched pairs, first and second.
        paired: difference level − reference over seeds and cases, averaged over the contexts.
        p_holm: its p, corrected for the comparisons within the factor.
    """

    factor: str
    level: str
    reference: str
    contexts: list[tuple[str, str]]
    paired: Paired
    p_holm: float = np.nan


def marginal_effects(contest: Contest, resampling: Resampling) -> tuple[list[Effect], list[str]]:
    """Effects of every factor that varies, and notes on what has no matched pair.

    For each seed and case the differences of the matched pairs are averaged, then resampled over seeds and cases. The
    contexts are not resampled: the effect is that over these very ones. With more than four levels each is held against
    the one that most compositions have, else every pair is. Without augmentation is always the reference.
    """
    effects: list[Effect] = []
    notes: list[str] = []
    factors = sorted({factor for composition in contest.compositions for factor in composition.parts})
    for factor in factors:
        name = FACTORS.get(factor, factor)
        found, matched = [], set()
        for reference, level in _level_pairs([c.parts[factor] for c in contest.compositions]):
            pairs = _matched(contest, factor, level, reference)
            paired = _average(contest, pairs, resampling)
            if paired is None:
                continue
            matched |= {i for pair in pairs for i in pair}
            labels = [(contest.compositions[i].label, contest.compositions[j].label) for i, j in pairs]
            found.append(Effect(name, level, reference, labels, paired))
        corrected = holm([effect.paired.p for effect in found])
        effects += [replace(effect, p_holm=float(p)) for effect, p in zip(found, corrected, strict=True)]
        alone = len(contest.compositions) - len(matched)
        if not found:
            notes.append(
                f"{name}: no two compositions differ in it alone, so its effect cannot be told from the others'."
            )
        elif alone:
            notes.append(
                f"{name}: {alone} of {len(contest.compositions)} compositions have no partner and play no part."
            )
    return effects, notes


def _level_pairs(levels: Sequence[str]) -> list[tuple[str, str]]:
    """(reference, level) to hold against each other."""
    distinct = sorted(dict.fromkeys(levels), key=lambda level: (level != _WITHOUT, level))
    if len(distinct) <= _ALL_PAIRS_UP_TO:
        return list(combinations(distinct, 2))
    common = _WITHOUT if _WITHOUT in distinct else max(distinct, key=levels.count)
    return [(common, level) for level in distinct if level != common]


def _matched(contest: Contest, factor: str, level: str, reference: str) -> list[tuple[int, int]]:
    """Numbers of the compositions that differ in `factor` alone, the one with `level` first."""
    rest = [
        (parts[factor], tuple(sorted((key, value) for key, value in parts.items() if key != factor)))
        for parts in (composition.parts for composition in contest.compositions)
    ]
    others = {around: j for j, (of, around) in enumerate(rest) if of == reference}
    return [(i, others[around]) for i, (of, around) in enumerate(rest) if of == level and around in others]


def _average(contest: Contest, pairs: Sequence[tuple[int, int]], resampling: Resampling) -> Paired | None:
    """The differences of all pairs, averaged for each replicate and case over the pairs that have it."""
    total = np.zeros(contest.values.shape[1:])
    count = np.zeros_like(total)
    for i, j in pairs:
        first, second = contest.pair(i, j)
        differences = first - second
        defined = np.isfinite(differences)
        total[: len(differences)] += np.where(defined, differences, 0)
        count[: len(differences)] += defined
    with np.errstate(invalid="ignore"):
        return describe_differences([total / count], resampling, contest.units)[0]
