"""What is done to a mask in the end: parts that a class has too many of are taken away, holes are filled.

Each step is about one class, or about all scored classes taken as one. What is taken away becomes background (class 0),
and only background is filled.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np

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
    """

    kind: Kind
    classes: tuple[int, ...]
    least: int = 0

    def sentence(self, task: Task) -> str:
        """In words."""
        of = " and ".join(task.class_names[k] for k in self.classes)
        return _IN_WORDS[self.kind].format(of=of, least=self.least, unit="pixels" if task.rank == 2 else "voxels")

    def to_dict(self) -> dict[str, Any]:
        """In JSON's own types."""
        return {**asdict(self), "classes": list(self.classes)}

    @classmethod
    def from_dict(cls, values: dict[str, Any], task: Task) -> Step:
        """The inverse of `to_dict`.

        Raises:
            KeyError, TypeError, ValueError: a part is missing or cannot be.
        """
        kind, classes, least = values["kind"], tuple(int(k) for k in values["classes"]), int(values["least"])
        known = 0 < len(classes) == len(set(classes)) and all(0 < k < task.classes for k in classes)
        if kind not in get_args(Kind) or not known or least < 0 or (kind == "holes" and len(classes) > 1):
            raise ValueError(f"postprocessing is {kind} {classes} {least}")
        return cls(kind, classes, least)


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
        inside = ids == step.classes[0] if len(step.classes) == 1 else np.isin(ids, step.classes)
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
        ids[ndimage.binary_fill_holes(inside) & (ids == 0)] = step.classes[0]
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
    ids[gone[parts]] = 0


def _box(inside: np.ndarray) -> tuple[slice, ...] | None:
    """The smallest box around all that is inside; None where nothing is."""
    found = []
    for axis in range(inside.ndim):
        held = np.flatnonzero(inside.any(axis=tuple(other for other in range(inside.ndim) if other != axis)))
        if not len(held):
            return None
        found.append(slice(int(held[0]), int(held[-1]) + 1))
    return tuple(found)
