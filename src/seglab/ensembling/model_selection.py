"""Which of several candidates, by the scores of cases that none of their networks was trained on: the simplest that is
not shown to be worse."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seglab.comparison.definedness import settle
from seglab.reports.comparison.sentences import sentences
from seglab.statistics import Difference, Ranking, compare_pair, rank_methods

MOST_TOGETHER = 4
"""Of more configurations than these, those with the best recorded mean are tried together."""


@dataclass(frozen=True)
class Candidate:
    """A configuration, or several whose probabilities are averaged.

    Attributes:
        label: of it.
        configurations: their numbers.
        parameters: of all its networks of one fold together.
    """

    label: str
    configurations: tuple[int, ...]
    parameters: int

    @property
    def cost(self) -> tuple[int, int]:
        """What simpler means: fewer networks, then fewer parameters."""
        return len(self.configurations), self.parameters


@dataclass(frozen=True)
class Selection:
    """What was chosen, and why.

    Attributes:
        candidates: the simplest first.
        ranking: their standings, in that order.
        chosen: number of the candidate.
        notes: what a reader must know.
    """

    candidates: Sequence[Candidate]
    ranking: Ranking
    chosen: int
    notes: Sequence[str]


def candidates_of(labels: Sequence[str], parameters: Sequence[int], means: Sequence[float]) -> list[Candidate]:
    """Every configuration, and every set of two and more of the best four, the simplest first.

    Args:
        labels, parameters: of the configurations.
        means: their recorded mean scores, which only say which of many are tried together.
    """
    best = sorted(np.argsort(-np.nan_to_num(np.asarray(means)), kind="stable")[:MOST_TOGETHER].tolist())
    sets = [(number,) for number in range(len(labels))]
    sets += [some for count in range(2, len(best) + 1) for some in itertools.combinations(best, count)]
    found = [Candidate(" + ".join(labels[i] for i in some), some, sum(parameters[i] for i in some)) for some in sets]
    return sorted(found, key=lambda one: one.cost)


def choose(
    candidates: Sequence[Candidate], dice: np.ndarray, tested: np.ndarray, groups: Sequence[object]
) -> Selection:
    """The simplest candidate that `rank_methods` does not show to be worse than the best.

    Args:
        candidates: the simplest first.
        dice: `(candidates, places, cases)`, NaN where a case has none or was not tested there.
        tested: `(places, cases)`, where a case was tested.
        groups: of each case.
    """
    present = np.broadcast_to(tested, dice.shape)
    labels = [one.label for one in candidates]
    values, decided = settle("dice", dice, present, np.zeros(dice.shape, bool), labels)
    ranking = rank_methods(values, groups=groups)
    good = [i for i, standing in enumerate(ranking) if standing.verdict != "worse" and standing.cases]
    return Selection(candidates, ranking, good[0] if good else 0, sentences([decided]))


def gain(
    column: str, after: np.ndarray, before: np.ndarray, tested: np.ndarray, groups: Sequence[object], tried: int = 1
) -> Difference:
    """How much better the same cases are after a change than before it, paired, with its interval.

    Args:
        column: of the score, such as `dice/tumour`.
        after, before: `(places, cases)`.
        tested: where a case was tested, of the same shape.
        groups: of each case.
        tried: how many changes were tried, of which this is one; the interval is that of as many methods as have so
            many pairs, or a few more.
    """
    values = np.stack([before, after])
    settled, _ = settle(
        column, values, np.broadcast_to(tested, values.shape), np.zeros(values.shape, bool), ("before", "after")
    )
    return compare_pair(
        settled[1], settled[0], methods=next(m for m in itertools.count(2) if m * (m - 1) // 2 >= tried), groups=groups
    )
