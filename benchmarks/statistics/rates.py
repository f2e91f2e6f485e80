"""Rates of one rule over many studies: false alarms, coverage, what it finds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from benchmarks.statistics.designs import Design, batches, groups
from seglab.statistics.differences import DifferencesFromReference, adjusted_means, against
from seglab.statistics.studentized_range import critical
from seglab.statistics.variance_components import VarianceComponents, estimate, units_of

EFFECTS = (0.0, 0.01, 0.02, 0.05)  # by how much every second method is worse


@dataclass(frozen=True)
class FoundRuns:
    """Verdicts of many studies.

    Attributes:
        best: the method with the best mean, `(studies,)`.
        difference: of each method from it, `(studies, methods)`.
        half: half the width of its interval.
    """

    best: np.ndarray
    difference: np.ndarray
    half: np.ndarray

    @property
    def others(self) -> np.ndarray:
        """All methods but the best."""
        others = np.ones(self.difference.shape, bool)
        others[np.arange(len(self.best)), self.best] = False
        return others

    @property
    def worse(self) -> np.ndarray:
        """Which methods are called worse than the best."""
        return (self.difference + self.half < 0) & self.others


@dataclass(frozen=True)
class Rates:
    """What a rule did in one design.

    Attributes:
        design, effect, rule: of what.
        studies: how many.
        wrong: studies with a false `worse`: of a method that is as good as the best, or better than the one called so.
        covered, intervals: how many intervals held the true difference, and how many there were.
        found, to_find: how many truly worse methods were called so, and how many there were.
    """

    design: Design
    effect: float
    rule: str
    studies: int = 0
    wrong: int = 0
    covered: int = 0
    intervals: int = 0
    found: int = 0
    to_find: int = 0

    @property
    def error(self) -> float:
        """Share of studies with a false `worse`."""
        return self.wrong / self.studies

    @property
    def coverage(self) -> float:
        """Share of the intervals that held the truth."""
        return self.covered / self.intervals

    @property
    def power(self) -> float:
        """Share of the truly worse methods that were called so."""
        return self.found / self.to_find if self.to_find else np.nan


COUNTS = tuple(field.name for field in fields(Rates) if field.default == 0)


def rates(
    size: tuple[int, int, int],
    designs: Sequence[Design],
    studies: int,
    effects: Sequence[float] | None = None,
    seed: int = 0,
) -> list[Rates]:
    """Run all designs of one size on the same random numbers: our rule, and Tukey's with one variance for all.

    Args:
        size: methods, seeds, cases.
        designs: of that size.
        studies: how many of each.
        effects: by how much every second method is worse; all `EFFECTS` of plain designs and two of the others when
            left out.
        seed: of the random numbers.
    """
    parts: dict[tuple[Design, float], list[tuple[np.ndarray, DifferencesFromReference, VarianceComponents]]] = {}
    for draws in batches(seed, size, studies):
        for design in designs:
            for effect, found in _against_best(draws.scores(design), groups(design), effects or usual_effects(design)):
                parts.setdefault((design, effect), []).append(found)
    results = []
    for (design, effect), found in parts.items():
        best = np.concatenate([of for of, _, _ in found])
        difference = np.concatenate([of.difference for _, of, _ in found])
        truth = true_means(design.methods, effect)
        for rule, half in (("ours", _our_half), ("pooled", _pooled_half)):
            halves = np.concatenate([half(*of) for of in found])
            results.append(counted(Rates(design, effect, rule), FoundRuns(best, difference, halves), truth))
    return results


def usual_effects(design: Design) -> tuple[float, ...]:
    """All differences where the tables of power look, two of them elsewhere."""
    return EFFECTS if design.variation == "plain" else (0.0, 0.02)


def true_means(methods: int, effect: float) -> np.ndarray:
    """Every second method is worse by `effect`."""
    return -effect * (np.arange(methods) % 2)


def _against_best(
    scores: np.ndarray, groups: np.ndarray | None, effects: Sequence[float]
) -> Iterator[tuple[float, tuple[np.ndarray, DifferencesFromReference, VarianceComponents]]]:
    """Everything that the intervals need; the variances do not change when a method's scores all move."""
    means = adjusted_means(scores)
    parts = estimate(scores, units_of(groups, scores.shape[3]))
    for effect in effects:
        truth = true_means(scores.shape[1], effect)
        best = (means + truth).argmax(axis=1)
        found = against(scores, best, parts)
        yield effect, (best, replace(found, difference=found.difference + truth - truth[best][:, None]), parts)


def _our_half(best: np.ndarray, differences: DifferencesFromReference, parts: VarianceComponents) -> np.ndarray:
    return differences.half_width(parts.seeds.shape[1])


def _pooled_half(best: np.ndarray, differences: DifferencesFromReference, parts: VarianceComponents) -> np.ndarray:
    """The usual rule, which takes all methods' seeds to spread alike: Tukey's, with one variance for all."""
    methods = parts.seeds.shape[1]
    each = 1 / np.maximum(parts.seeds, 1)
    both = each + np.take_along_axis(each, best[:, None], axis=1)
    freedom = float(np.maximum(parts.seeds - 1, 0)[0].sum()) - (parts.seeds[0].max() - 1 if parts.paired else 0)
    return critical(methods, max(freedom, 1.0), 0.05) * np.sqrt(parts.pooled[:, None] * both + differences.cases)


def counted(rates: Rates, found: FoundRuns, truth: np.ndarray) -> Rates:
    """Compare verdicts and intervals with the truth."""
    true = truth[None] - truth[found.best][:, None]
    printed = found.others & np.isfinite(found.half)
    inferior = np.broadcast_to(truth < truth.max(), true.shape)
    return replace(
        rates,
        studies=rates.studies + len(true),
        wrong=rates.wrong + int((found.worse & (true >= 0)).any(axis=1).sum()),
        covered=rates.covered + int((printed & (np.abs(found.difference - true) <= found.half)).sum()),
        intervals=rates.intervals + int(printed.sum()),
        found=rates.found + int((found.worse & (true < 0)).sum()),
        to_find=rates.to_find + int(inferior.sum()),
    )
