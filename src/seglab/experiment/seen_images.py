"""What a run keeps of the images that it learned from, so that a later one can tell which of its own look like them.

Equal images are told by their digests; one that was cropped, mirrored or saved anew has another digest, and the same
fine structure (`seglab.data.preprocessing.image_detail`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seglab.data.check.duplicates import DuplicateSearch
from seglab.data.check.leaks import MOST_COMPARED
from seglab.data.check.shrinking import evenly
from seglab.data.preprocessing.case_fingerprint import CaseFingerprint
from seglab.data.preprocessing.image_detail import SIDE, decode
from seglab.data.splits import Split
from seglab.runtime.waiting import step

# Of what a run keeps: some 2,000 images, or 300 volumes; of more cases a sample.
_MOST_CHARACTERS = 6_000_000
_HELD_OUT = ("test", "val")
_SHOWN = 3


@dataclass
class SeenImages:
    """Images that weights have seen.

    Attributes:
        details, shapes: of those that were kept.
        count: how many there were.
    """

    details: list[str] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    count: int = 0


@dataclass(frozen=True)
class NearDuplicates:
    """Cases that are held out and look like images that weights have seen.

    Attributes:
        rows: for each split that has some, one phrase.
        missed: how likely it is that a near-duplicate was not compared with its other, 0 where all were compared.
    """

    rows: tuple[str, ...]
    missed: float


def kept_details(facts: Mapping[str, CaseFingerprint], split: Split) -> dict[str, Any]:
    """What a run records of its training and validation images, as JSON values."""
    ids = [i for i in (*split.train, *split.val) if _structured(facts.get(i))]
    most = _MOST_CHARACTERS // max(len(facts[ids[0]].detail), 1) if ids else 0
    kept = [{"shape": list(facts[i].shape), "detail": facts[i].detail} for i in evenly(ids, most)]
    return {"count": len(ids), "images": kept}


def add_seen(seen: SeenImages, recorded: Mapping[str, Any], rank: int) -> None:
    """Add what a run has recorded, which may be one from elsewhere.

    Raises:
        ValueError, KeyError, TypeError: it is not what `kept_details` makes.
    """
    details = [str(image["detail"]) for image in recorded["images"]]
    shapes = [tuple(int(size) for size in image["shape"]) for image in recorded["images"]]
    if any(len(shape) != rank or min(shape) < 1 for shape in shapes):
        raise ValueError("shapes of another rank")
    if any(len(decode([detail], rank)) != 1 for detail in details):  # each for itself: a sum of lengths may be right
        raise ValueError(f"details of other than {SIDE[rank]} places along an axis")
    seen.details += details
    seen.shapes += shapes
    seen.count += max(int(recorded["count"]), len(details))


def find_near_duplicates(
    facts: Mapping[str, CaseFingerprint], split: Split, seen: SeenImages, equal: AbstractSet[str]
) -> NearDuplicates:
    """The held-out cases of a split that look like images which weights have seen.

    Args:
        facts: of the cases.
        split: which cases are held out.
        seen: the images.
        equal: cases that are known to be among them anyway.
    """
    known = len(seen.details)
    cases = [i for name in _HELD_OUT for i in getattr(split, name) if i not in equal and _structured(facts.get(i))]
    if not known or not cases:
        return NearDuplicates((), 0.0)
    held = evenly(cases, max(MOST_COMPARED // known, 1))
    with step("looking for images that the first weights have seen"):
        likeness = DuplicateSearch(
            [*(facts[i].detail for i in held), *seen.details],
            [*(facts[i].shape for i in held), *seen.shapes],
            [str(n) for n in range(len(held) + known)],
        )
        matches = likeness.matches(np.arange(len(held)), np.arange(len(held), len(held) + known))
    found = {held[match.held]: f"{held[match.held]}: {match.relation}, {match.agreement:.2f}" for match in matches}
    rows = []
    for name, word in zip(_HELD_OUT, ("test", "validation"), strict=True):
        of_split = [images for case_id, images in found.items() if case_id in set(getattr(split, name))]
        if of_split:
            rows.append(
                f"{len(of_split)} of {len(getattr(split, name))} {word} cases look like images that helped to train or "
                f"to choose these weights ({_shown(of_split)})"
            )
    return NearDuplicates(tuple(rows), 1 - known / seen.count * len(held) / len(cases))


def _structured(facts: CaseFingerprint | None) -> bool:
    """Whether there is anything to see: any two images of one value look alike."""
    return facts is not None and not facts.flat


def _shown(words: Sequence[str]) -> str:
    return "; ".join(words[:_SHOWN]) + ("; …" if len(words) > _SHOWN else "")
