"""Masks that are unlike any of the training split: rules that need no truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seglab.task import Task

RULES = {
    "empty": "no pixel of a scored class",
    "full": "one class everywhere, and a scored one",
    "area": "a class takes more of the image than in any training image, or less, by half",
}
_MARGIN = 1.5


def broken_rules(shares: Sequence[float], task: Task, reference: Mapping[str, Any]) -> list[str]:
    """Those of `RULES` that a mask breaks.

    Args:
        shares: of each class id, in 0..1.
        task: whose classes these are.
        reference: of the bundle; without class shares in it the areas are not checked.
    """
    held = [share for number, share in enumerate(shares) if number in task.scored]
    found = []
    if not any(held):
        found.append("empty")
    if max(held) == 1.0:
        found.append("full")
    known = reference.get("class_share", ())
    for number, quantiles in enumerate(known):
        least, most = quantiles[0], quantiles[-1]
        outside = shares[number] > most * _MARGIN or shares[number] < least / _MARGIN
        if number in task.scored and outside and "area" not in found:
            found.append("area")
    return found
