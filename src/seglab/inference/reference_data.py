"""What the training images looked like, in a few numbers that show none of them, to tell later that images differ."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from seglab.data.preprocessing.case_fingerprint import CaseFingerprint

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_OF_CHANNELS = ("mean", "std", "low", "high")


def fingerprint(facts: Iterable[CaseFingerprint]) -> dict[str, Any]:
    """Quantiles over the training cases: of each channel's mean, spread and outer percentiles, of each class's share of
    the pixels, and of each axis's length. Empty without a case."""
    known = list(facts)
    if not known:
        return {}
    shares = [np.array(one.class_pixels) / max(1, sum(one.class_pixels)) for one in known]
    found = {name: _quantiles([getattr(one.intensity, name) for one in known]) for name in _OF_CHANNELS}
    found |= {"class_share": _quantiles(shares), "side": _quantiles([one.shape for one in known])}
    return {"cases": len(known), "quantiles": list(QUANTILES), **found}


def _quantiles(values: Any) -> list[list[float]]:
    """A row for each channel, class or axis."""
    return [[float(f"{x:.6g}") for x in row] for row in np.quantile(np.asarray(values, float), QUANTILES, axis=0).T]
