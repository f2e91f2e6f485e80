"""Whether the images and masks of now are like those that a model was made with: a test with a stated error rate.

Each statistic of a window of units is held against its reference by the two-sample test of Kolmogorov and Smirnov; over
all of them the false discovery rate is held by Benjamini and Hochberg's procedure. A unit is a scene, a volume or a
patient where clients name them, or else one image: neighbouring frames are alike, and would count as news that is
none. One image stands for each.

Statistics of images tell that the input has changed. A fall of the soft Dice confidence, held apart, tells that masks
are likely to be worse, whatever the input; a mask without any foreground counts as one of confidence 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

WINDOW = 100  # units, at least
_OF_QUALITY = "soft_dice"


@dataclass(frozen=True)
class Feature:
    """One statistic, now and then.

    Attributes:
        name: of it.
        kind: `image`, `mask` or `quality`.
        n, reference_n: units.
        median, reference_median: of it.
        distance: largest difference of the two shares of units that are below a value, in 0..1.
        p: probability of such a distance, or a larger one, where nothing has changed.
        q: smallest false discovery rate at which it is called changed.
    """

    name: str
    kind: str
    n: int
    reference_n: int
    median: float
    reference_median: float
    distance: float
    p: float
    q: float


@dataclass(frozen=True)
class Drift:
    """What a window shows.

    Attributes:
        features: of images and masks, the least like the reference first.
        quality: whether masks are likely to be worse; None where that is not known.
        units: in the window.
        alpha: error rate that changes are called at.
        reason: why nothing is said; empty where something is.
    """

    features: tuple[Feature, ...]
    quality: Feature | None
    units: int
    alpha: float
    reason: str = ""

    @property
    def changed(self) -> tuple[Feature, ...]:
        """Statistics that have changed, at a false discovery rate of `alpha`."""
        return tuple(one for one in self.features if one.q <= self.alpha)

    @property
    def worse(self) -> bool:
        """Whether the confidence has fallen, at an error rate of `alpha`."""
        return self.quality is not None and self.quality.p <= self.alpha


def find_drift(
    now: Mapping[str, Mapping[str, Sequence[float]]],
    reference: Mapping[str, Mapping[str, Sequence[float]]],
    units: int,
    alpha: float = 0.01,
) -> Drift:
    """Hold a window against the reference.

    Args:
        now: by kind (`image`, `mask`) and statistic the values of the window, one for each unit.
        reference: the same of the training images and validation masks, as a bundle's `samples` have it.
        units: in the window; of fewer than a hundred nothing is said.
        alpha: error rate, of all statistics together and of the quality for itself.
    """
    if not reference:
        return Drift((), None, units, alpha, "the model has no reference: it was trained by a version without one")
    if units < WINDOW:
        return Drift((), None, units, alpha, f"{units} units are too few: {WINDOW} are wanted")
    found, quality = [], None
    for kind, statistics in reference.items():
        for name, then in statistics.items():
            values = np.asarray(now.get(kind, {}).get(name, ()), float)
            if len(values) < WINDOW // 2 or len(then) < 2:
                continue
            if name == _OF_QUALITY:
                quality = _feature(name, "quality", values, np.asarray(then, float), "greater")
            else:
                found.append(_feature(name, kind, values, np.asarray(then, float), "two-sided"))
    adjusted = benjamini_hochberg([one.p for one in found])
    features = [Feature(**{**vars(one), "q": q}) for one, q in zip(found, adjusted, strict=True)]
    return Drift(tuple(sorted(features, key=lambda one: (one.q, one.p, -one.distance))), quality, units, alpha)


def _feature(name: str, kind: str, now: np.ndarray, then: np.ndarray, alternative: str) -> Feature:
    """`greater`: the distribution function of now lies above, which is to say that values have fallen."""
    from scipy.stats import ks_2samp

    found = ks_2samp(now, then, alternative=alternative, method="auto")
    p = float(found.pvalue)
    medians = float(np.median(now)), float(np.median(then))
    return Feature(name, kind, len(now), len(then), *medians, float(found.statistic), p, p)


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the same order: the smallest false discovery rate at which each is rejected."""
    values = np.asarray(p, float)
    order = np.argsort(values)[::-1]
    adjusted = np.empty(len(values))
    ranks = np.arange(len(values), 0, -1)
    adjusted[order] = np.minimum.accumulate(values[order] * len(values) / ranks)
    return [float(min(1.0, x)) for x in adjusted]
