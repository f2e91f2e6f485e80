"""Studies of methods whose true differences are known: methods × seeds × cases, drawn at random.

A score is case + method × case + the seed's luck + the rest. What the variations change is said in `VARIATIONS`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

METHODS = (2, 4, 8, 12)
SEEDS = (2, 3, 5, 10)
CASES = (10, 30, 100)
SEED_SDS = (0.0, 0.01, 0.03)
RESIDUAL_SDS = (0.02, 0.10)
CASE_SD, METHOD_CASE_SD, FOLD_SD = 0.10, 0.01, 0.02
NUMBERS_AT_ONCE = 200_000  # what stays in the processor's own memory

VARIATIONS = {
    "plain": "all parts normal, the same for every method",
    "one large": "the seed's SD of the other methods is a tenth",
    "two large": "the seed's SD of all but two methods is a tenth",
    "half large": "the seed's SD of every second method is a tenth",
    "geometric": "the methods' seed SDs run from a tenth to the whole, evenly in the logarithm",
    "skewed": "all parts skewed to the left (gamma, shape 0.5), around 0.95",
    "ceiling": "around 0.97, and cut at 1",
    "folds": "each seed is scored on a fold of its own, some folds being harder",
    "splits": "each seed is scored on its own 30% of the cases",
    "halves": "each seed is scored on its own half of the cases",
    "missing": "a tenth of the scores is missing, at random",
    "groups": "cases come in twos (both eyes of a patient) that share half of everything, and are declared as groups",
    "blocks": "every second method lacks a third of the cases and, with more than two seeds, its last seed",
}
UNEQUAL = ("one large", "two large", "half large", "geometric")
SKEW = 0.5
PER_GROUP = 2


@dataclass(frozen=True)
class Design:
    """One cell of the grid.

    Attributes:
        methods, seeds, cases: how many.
        seed: SD of the seed's luck, of the method where it is largest.
        residual: SD of what one case under one seed adds.
        variation: a key of `VARIATIONS`.
    """

    methods: int
    seeds: int
    cases: int
    seed: float
    residual: float
    variation: str = "plain"

    @property
    def size(self) -> tuple[int, int, int]:
        """Methods, seeds, cases."""
        return self.methods, self.seeds, self.cases


def designs(size: tuple[int, int, int], variations: tuple[str, ...] = tuple(VARIATIONS)) -> list[Design]:
    """All cells of one size; those that would be the same as another left out."""
    cells = []
    for variation in variations:
        if variation == "two large" and size[0] == 2:
            continue
        sds = SEED_SDS[1:] if variation in UNEQUAL else SEED_SDS
        cells += [Design(*size, seed, residual, variation) for seed in sds for residual in RESIDUAL_SDS]
    return cells


class Draws:
    """Random numbers that all designs of a size share, in batches that fit into the processor's memory.

    Args:
        rng: source of all numbers.
        size: methods, seeds, cases.
        studies: how many in this batch.
    """

    def __init__(self, rng: np.random.Generator, size: tuple[int, int, int], studies: int) -> None:
        self.studies, self.size = studies, size
        self._parts = {
            "normal": self._four(rng.standard_normal),
            "gamma": self._four(lambda shape: _skewed(rng, shape)),
        }
        self._fold = rng.normal(0, FOLD_SD, (studies, 1, size[1], 1))
        self._lacking = rng.random((studies, *size)) < 0.1
        self._order = np.argsort(rng.random((size[1], size[2])), axis=1)

    def _four(self, draw) -> tuple[np.ndarray, ...]:
        methods, seeds, cases = self.size
        shapes = (1, 1, cases), (methods, 1, cases), (methods, seeds, 1), (methods, seeds, cases)
        return tuple(draw((self.studies, *shape)) for shape in shapes)

    def scores(self, design: Design) -> np.ndarray:
        """Scores `(studies, methods, seeds, cases)` of methods that are all equal, NaN where there is none."""
        case, both, seed, rest = self._parts["gamma" if design.variation == "skewed" else "normal"]
        each = (spread(design) * design.seed)[:, None, None]
        level = {"skewed": 0.95, "ceiling": 0.97}.get(design.variation, 0.8)
        wide = 0.03 if design.variation in ("skewed", "ceiling") else CASE_SD
        scores = level + wide * case + METHOD_CASE_SD * both + each * seed + design.residual * rest
        if design.variation == "ceiling":
            return np.minimum(scores, 1.0)
        together = groups(design)
        if together is not None:
            first = np.searchsorted(together, together)
            for part, sd in ((case, wide), (both, METHOD_CASE_SD), (rest, design.residual)):
                scores += sd * (np.sqrt(0.5) * (part + part[..., first]) - part)
        if design.variation in ("folds", "splits", "halves"):
            scores += self._fold
            scores[:, :, ~self._scored(design)] = np.nan
        if design.variation == "missing":
            scores[self._lacking] = np.nan
        if design.variation == "blocks":
            scores[:, 1::2, :, -(design.cases // 3) :] = np.nan
            if design.seeds > 2:
                scores[:, 1::2, -1] = np.nan
        return scores

    def _scored(self, design: Design) -> np.ndarray:
        """Which seed is scored on which case, the same in all studies of the batch, `(seeds, cases)`."""
        if design.variation == "folds":
            return np.arange(design.cases) % design.seeds == np.arange(design.seeds)[:, None]
        return self._order < round(design.cases * (0.3 if design.variation == "splits" else 0.5))


def groups(design: Design) -> np.ndarray | None:
    """The group of each case; None where each is drawn by itself."""
    if design.variation != "groups":
        return None
    return np.arange(design.cases) * (design.cases // PER_GROUP) // design.cases


def spread(design: Design) -> np.ndarray:
    """The seed's SD of each method, relative to the largest."""
    share = np.ones(design.methods)
    if design.variation in ("one large", "two large"):
        share[1 if design.variation == "one large" else 2 :] = 0.1
    elif design.variation == "half large":
        share[1::2] = 0.1
    elif design.variation == "geometric":
        share = np.geomspace(1, 0.1, design.methods)
    return share


def batches(seed: int, size: tuple[int, int, int], studies: int) -> Iterator[Draws]:
    """Draws of in all `studies` studies of one size: the same for the same seed, whatever else is drawn."""
    rng = np.random.default_rng([seed, *size])
    at_once = max(1, NUMBERS_AT_ONCE // int(np.prod(size)))
    for start in range(0, studies, at_once):
        yield Draws(rng, size, min(at_once, studies - start))


def _skewed(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Mean 0, SD 1, most a little above and a few far below."""
    return (SKEW - rng.standard_gamma(SKEW, shape)) / np.sqrt(SKEW)
