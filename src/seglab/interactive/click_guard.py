"""The guard: a click never makes a mask worse where it was right.

A click says that the mask is wrong at one place. So a click on the object may only add what hangs together with it, one
beside the object may only take away, neither goes far beyond the region that the click can be about, and what was
clicked on is always obeyed. Of several answers the best one is taken whose click does not blow the mask up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from seglab.interactive.prompt import BACKGROUND, FOREGROUND, Bools, Logits, Prompt
from seglab.interactive.prompt_models import Candidates

# How far from the click its change may go, in distances from there to the border of the previous mask: the region that
# was clicked on in its middle is no deeper than that border is far. Beside the object it is less: a click there is most
# often about a rim that was taken wrongly, with the object right behind it.
REACH = {FOREGROUND: 3.0, BACKGROUND: 1.5}
# What a click may add, in sizes of the previous mask: how far it is from the mask says little of how large the rest of
# the object is.
_GROWTH = 4.0
# The disk that is drawn where a model does not obey a click, in the same distances.
_DISK = 0.3
# Logits of what was drawn or kept by the guard.
_SURE = 1.0


@dataclass(frozen=True)
class Verdict:
    """What the guard did.

    Attributes:
        action: `accepted` (nothing), `limited` (changes that no click asks for were undone), `repaired` (a click that
            the model did not obey was drawn in) or `kept` (no click asks for a change: the previous mask).
        reason: the same in a sentence.
        undone: pixels of the model's answer that are not in the result.
    """

    action: str
    reason: str
    undone: int = 0


def best_guarded(
    prompt: Prompt, before: Logits | None, candidates: Candidates, reach: Mapping[int, float] = REACH
) -> tuple[int, Logits, Verdict]:
    """Which candidate is shown to the user, its guarded logits, and what was done to them.

    It is the one of the highest score of those that do not grow the mask beyond `_GROWTH`; where each would, the one
    that adds least. Arguments as of `guarded`.
    """
    was: Any = None if before is None else before > 0
    found: list[tuple[int, int, Logits, Verdict]] = []
    for index in np.argsort(-candidates.scores, kind="stable").tolist():
        logits, verdict = guarded(prompt, before, candidates.logits[index], reach)
        if was is None or not was.any():
            return index, logits, verdict
        found.append((int(((logits > 0) & ~was).sum()), index, logits, verdict))
        if found[-1][0] <= _GROWTH * was.sum():
            break
    return min(found, key=lambda one: one[0])[1:]


def guarded(
    prompt: Prompt, before: Logits | None, logits: Logits, reach: Mapping[int, float] = REACH
) -> tuple[Logits, Verdict]:
    """The logits that are shown to the user, and what was done to the model's.

    Args:
        prompt: that the model was asked.
        before: logits of the mask that the user saw when the newest clicks were made; None where there was none.
        logits: the model's answer, of the same shape.
        reach: see `REACH`.
    """
    if before is None:
        return _obeying(prompt, logits.copy(), None, 0)
    was, now = before > 0, logits > 0
    places = prompt.pixels
    asked = was[places] != (prompt.labels == FOREGROUND)
    if not asked.any():
        undone = int((was != now).sum())
        return before.copy(), Verdict("kept", "the mask agreed with every click already", undone)
    allowed = np.zeros(was.shape, bool)
    for label, changed in ((FOREGROUND, now & ~was), (BACKGROUND, was & ~now)):
        chosen = asked & (prompt.labels == label)
        if chosen.any() and changed.any():
            allowed |= _at(changed, tuple(axis[chosen] for axis in places), was, reach[label])
    result = np.where(allowed, logits, before)
    # Where the mask stays, the model's word on how sure it is is taken when it agrees.
    same = (was == now) & ~allowed
    result[same] = logits[same]
    return _obeying(prompt, result, was, int(((result > 0) != now).sum()))


def _at(changed: Bools, places: tuple[npt.NDArray[Any], ...], was: Bools, reach: float) -> Bools:
    """The part of a change that hangs together with clicks and is in their reach."""
    near = np.zeros(changed.shape, bool)
    for place in zip(*places, strict=True):
        far = reach * _to_border(was, place)
        box = tuple(
            slice(max(int(at - far), 0), min(int(at + far) + 2, length))
            for at, length in zip(place, changed.shape, strict=True)
        )
        off = np.ogrid[box]
        near[box] |= sum((axis - at) ** 2 for axis, at in zip(off, place, strict=True)) <= far * far
    parts, _ = ndimage.label(changed & near)
    clicked = np.unique(parts[places])
    return np.isin(parts, clicked[clicked > 0])


def _to_border(was: Bools, place: tuple[int, ...]) -> float:
    """Distance from a pixel's centre to the border of what it lies in, half a pixel before the nearest of the other
    kind; in a mask of one kind to the image's own edge."""
    there = was == was[place]
    ring = np.pad(there, 1, constant_values=bool(not there.all()))
    if was.ndim == 2:
        distance: Any = cv2.distanceTransform(ring.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    else:
        distance = ndimage.distance_transform_edt(ring)
    return float(distance[tuple(at + 1 for at in place)]) - 0.5


def _obeying(prompt: Prompt, logits: Logits, was: Bools | None, undone: int) -> tuple[Logits, Verdict]:
    """The logits with a disk at each click that they do not obey."""
    wanted = prompt.labels == FOREGROUND
    places = prompt.pixels
    wrong = (logits[places] > 0) != wanted
    for number in np.flatnonzero(wrong):
        place = tuple(int(axis[number]) for axis in places)
        size = 1.0 if was is None else _DISK * _to_border(was, place)
        others = np.stack([axis[wanted != wanted[number]] for axis in places], axis=-1)
        if len(others):  # not over a click of the other kind
            size = min(size, float(np.sqrt(((others - place) ** 2).sum(1)).min()) / 2)
        off = np.ogrid[tuple(slice(0, length) for length in logits.shape)]
        disk = sum((axis - at) ** 2 for axis, at in zip(off, place, strict=True)) <= size * size
        logits[disk] = _SURE if wanted[number] else -_SURE
    if wrong.any():
        several = f"{int(wrong.sum())} clicks that the model did not obey were drawn in"
        return logits, Verdict("repaired", several, undone)
    if undone:
        return logits, Verdict("limited", f"{undone} changed pixels that no click asks for stay as they were", undone)
    return logits, Verdict("accepted", "the mask agrees with every click")
