"""What is done to a mask in the end: parts that a class has too many of are taken away, holes are filled.

Each step is about one class, or about all scored classes taken as one. What is taken away becomes background (class 0),
and only background is filled. Of a task with regions a step is about one region: what is taken away becomes what the
next wider region paints, and only that is filled.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from seglab.metrics.confusion import union_of
from seglab.task import Task

Kind = Literal["largest", "least", "holes"]
_IN_WORDS = {
    "largest": "of {of} the largest part alone",
    "least": "parts of {of} with fewer than {least} {unit} are taken away",
    "holes": "holes in {of} are filled",
}


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        kind: keep the "largest" part; parts of at "least" so many pixels or voxels; fill "holes".
        classes: that are taken as one; one class, or several for all of a foreground.
        least: of the second kind, how many pixels a part has that stays.
        under: class id of what is taken away, and of holes that are filled.
        fill: class id of what is filled; 0 for the first of `classes`.
    """

    kind: Kind
    classes: tuple[int, ...]
    least: int = 0
    under: int = 0
    fill: int = 0

    @classmethod
    def of(cls, kind: Kind, classes: tuple[int, ...], task: Task, least: int = 0) -> Step:
        """The step about some classes of a task; raises ValueError for what is no region of a task that has such."""
        if not task.regions:
            return cls(kind, classes, least)
        region = next((one for one in task.regions if one.classes == classes), None)
        if region is None:
            raise ValueError(f"classes {classes} are no region")
        wider = [one for one in task.regions if set(one.classes) > set(classes)]
        under = min(wider, key=lambda one: len(one.classes)).paints if wider else 0
        return cls(kind, classes, least, under, region.paints)

    def sentence(self, task: Task) -> str:
        """In words."""
        names = dict(zip(task.unions, task.score_names, strict=True))
        of = names.get(self.classes) or " and ".join(task.class_names[k] for k in self.classes)
        return _IN_WORDS[self.kind].format(of=of, least=self.least, unit="pixels" if task.rank == 2 else "voxels")

    def to_dict(self) -> dict[str, Any]:
        """In JSON's own types."""
        return {"kind": self.kind, "classes": list(self.classes), "least": self.least}

    @classmethod
    def from_dict(cls, values: dict[str, Any], task: Task) -> Step:
        """The inverse of `to_dict`.

        Raises:
            KeyError, TypeError, ValueError: a part is missing or cannot be.
        """
        kind, classes, least = values["kind"], tuple(int(k) for k in values["classes"]), int(values["least"])
        known = 0 < len(classes) == len(set(classes)) and all(0 < k < task.classes for k in classes)
        several = kind == "holes" and len(classes) > 1 and not task.regions
        if kind not in get_args(Kind) or not known or least < 0 or several:
            raise ValueError(f"postprocessing is {kind} {classes} {least}")
        return cls.of(kind, classes, task, least)


def can_be(task: Task) -> bool:
    """Whether a task has a background, which parts can be given to."""
    return 0 in task.unscored


def postprocessed(ids: np.ndarray, steps: Iterable[Step]) -> np.ndarray:
    """The mask after the steps, in their order; a new one where anything is done, and of the same type.

    Parts hang together across faces, edges and corners; a hole is closed across faces.
    """
    steps = tuple(steps)
    if not steps:
        return ids
    ids = ids.copy()
    for step in steps:
        inside = union_of(ids, step.classes)
        box = _box(inside)
        if box is None:
            continue
        _do(step, ids[box], inside[box])
    return ids


def part_sizes(inside: np.ndarray) -> list[int]:
    """How many pixels or voxels each part has that hangs together across faces, edges and corners."""
    from scipy import ndimage

    box = _box(inside)
    if box is None:
        return []
    parts, _ = ndimage.label(inside[box], np.ones((3,) * inside.ndim))
    found: list[int] = np.bincount(parts.ravel())[1:].tolist()
    return found


def _do(step: Step, ids: np.ndarray, inside: np.ndarray) -> None:
    from scipy import ndimage

    if step.kind == "holes":
        ids[ndimage.binary_fill_holes(inside) & (ids == step.under)] = step.fill or step.classes[0]
        return
    parts, count = ndimage.label(inside, np.ones((3,) * ids.ndim))
    if step.kind == "largest" and count < 2:
        return
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    kept = sizes >= step.least
    if step.kind == "largest":  # one alone, the first of several as large
        kept = np.arange(count + 1) == 1 + sizes[1:].argmax()
    gone = ~kept
    gone[0] = False
    ids[gone[parts]] = step.under


def _box(inside: np.ndarray) -> tuple[slice, ...] | None:
    """The smallest box around all that is inside; None where nothing is."""
    found = []
    for axis in range(inside.ndim):
        held = np.flatnonzero(inside.any(axis=tuple(other for other in range(inside.ndim) if other != axis)))
        if not len(held):
            return None
        found.append(slice(int(held[0]), int(held[-1]) + 1))
    return tuple(found)
