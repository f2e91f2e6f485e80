"""What a reader must know of a comparison, as data: `seglab.reports.comparison.sentences` puts it into words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True)
class WithoutScore:
    """A run that is left out, for it has no defined score on any case."""

    run: str
    metric: str


@dataclass(frozen=True)
class OlderRuns:
    """Runs of a variant that are left out, for their seed ran again."""

    variant: str
    count: int


@dataclass(frozen=True)
class Decided:
    """Cases without a score that `seglab.comparison.definedness.settle` has decided.

    Attributes:
        column: the score.
        failed: cases on which some run has no score though truth is not empty, so that it counts 0.
        empty: cases whose truth is empty and on which some run predicted something.
    """

    column: str
    failed: int
    empty: int


@dataclass(frozen=True)
class NotPaired:
    """Families of runs that cannot be paired with one another.

    Attributes:
        differing: what differs.
        families: of each family the short ids of its runs, and its digests.
    """

    differing: Literal["split digests", "data digests"]
    families: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]


@dataclass(frozen=True)
class Unmatched:
    """A factor of which `alone` variants out of `variants` have no partner that differs in it alone."""

    factor: str
    alone: int
    variants: int


CohortRemark: TypeAlias = WithoutScore | OlderRuns | Decided | NotPaired
