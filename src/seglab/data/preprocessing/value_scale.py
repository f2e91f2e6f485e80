"""What the numbers of an image count in, and the one scale of a data set.

The rule: a number means the same whatever type it is stored in, and a data set has one unit, by which every number of
it is divided, in the statistics, in training and for whoever predicts. So the numbers 0 to 255 are the same image in
8 bits, in 16 bits and as floats. Which unit that is follows from the numbers of all images: 255 where none of 8 or 16
bits goes beyond, 65535 where one does, 1 where all are floats. Images that cannot be on one scale (8 bits beside 16
that are used, whole numbers beside floats of 0 to 1) are a finding of the data check, and such an image is refused by
a model that was trained on another scale, unless each image is normalised by itself (`zscore`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

import numpy as np

from seglab.data.preprocessing.case_fingerprint import CaseFingerprint

# "own": each image counts in the largest value of its own type, as in bundles of before the rule.
# "mixed": of a data set whose images are on several, which was let through.
Scale = Literal["own", "bytes", "words", "shares", "reals", "mixed"]
UNITS: dict[Scale, float] = {"bytes": 255.0, "words": 65535.0, "shares": 1.0, "reals": 1.0}
IN_WORDS: dict[Scale, str] = {
    "bytes": "numbers from 0 to 255, in any type",
    "words": "numbers from 0 to 65535, in 16 bits or as floats",
    "shares": "floats from 0 to 1",
    "reals": "numbers of any size",
}
# Resampling overshoots: floats may leave their scale by this share of it.
_OVER = 0.2
# Floats up to here are shares of 1; whole numbers that are stored as floats are taken to go beyond.
_MOST_SHARE = 2.0


def scales_of(dtype: np.dtype, low: float, high: float) -> set[Scale]:
    """The scales that an image of this type with these smallest and largest values may be on; of one that is constant
    (black), all."""
    scales: set[Scale] = {"reals"}
    if low == high and 0 <= low <= 1:
        return set(UNITS)
    if dtype.kind in "iub":
        fits = {
            "shares": low >= 0 and high <= 1,
            "bytes": low >= 0 and high <= 255,
            "words": low >= 0 and high <= 65535,
        }
        if dtype == np.uint8:  # of 16 bits it would be a dark one that somebody saved anew
            fits["words"] = high <= 1
    elif high <= _MOST_SHARE:
        fits = {"shares": low >= -_OVER}
    else:
        fits = {n: low >= -_OVER * UNITS[n] and high <= (1 + _OVER) * UNITS[n] for n in ("bytes", "words")}
    return scales | {name for name in get_args(Scale) if fits.get(name)}


def scale_of(facts: CaseFingerprint) -> set[Scale]:
    """As `scales_of`, of an image file: one of 8 or 16 bits is on a scale of whole numbers."""
    dtype = np.dtype(facts.dtype)
    scales = scales_of(dtype, min(facts.intensity.minimum), max(facts.intensity.maximum))
    return scales - {"reals"} if dtype.kind == "u" else scales


def common_scale(facts: Iterable[CaseFingerprint]) -> tuple[Scale, float]:
    """The scale of a data set and its unit; `mixed` where its images have none in common."""
    known = list(facts)
    whole = any(np.dtype(one.dtype).kind == "u" for one in known)
    common = set.intersection(*map(scale_of, known)) if known else {"reals"}
    order: tuple[Scale, ...] = ("bytes", "words") if whole else ("shares", "reals")
    for scale in order:
        if scale in common:
            return scale, UNITS[scale]
    deep = any(np.dtype(one.dtype).kind == "u" and max(one.intensity.maximum) > UNITS["bytes"] for one in known)
    return "mixed", (UNITS["words"] if deep else UNITS["bytes"]) if whole else 1.0
