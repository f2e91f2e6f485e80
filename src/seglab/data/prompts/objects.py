"""The objects of a labelled case: what somebody may point at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

# Specks of a mask that nobody would point at.
SMALLEST_OBJECT = 16


@dataclass(frozen=True)
class SceneObject:
    """One object, kept as small as can be.

    Attributes:
        class_id: that its pixels have.
        start: lowest corner of its tight box.
        shape: sides of that box.
        bits: which pixels of the box are the object's, packed.
    """

    class_id: int
    start: tuple[int, ...]
    shape: tuple[int, ...]
    bits: bytes

    @property
    def inside(self) -> np.ndarray:
        """Boolean, of `shape`."""
        count = int(np.prod(self.shape))
        return np.unpackbits(np.frombuffer(self.bits, np.uint8), count=count).astype(bool).reshape(self.shape)


def objects_of(
    mask: np.ndarray, classes: Sequence[int], instances: np.ndarray | None = None, smallest: int = SMALLEST_OBJECT
) -> tuple[SceneObject, ...]:
    """The objects of some classes, in the order of classes and then of their first pixel.

    Pixels of a class with one instance id are one object. Pixels without an id (0), and all of them where there are no
    ids, are as many objects as they have components; pixels touch across faces, edges and corners.

    Args:
        mask: `(*spatial)` class ids.
        classes: to look for.
        instances: `(*spatial)` ids, 0 where a pixel has none; None without any.
        smallest: objects of fewer pixels or voxels are left out.
    """
    found = []
    for class_id in classes:
        for inside, box in _regions(mask == class_id, instances):
            if np.count_nonzero(inside) >= smallest:
                start = tuple(int(side.start) for side in box)
                found.append(SceneObject(int(class_id), start, inside.shape, np.packbits(inside).tobytes()))
    return tuple(found)


def _regions(of_class: np.ndarray, instances: np.ndarray | None) -> Iterator[tuple[np.ndarray, tuple[slice, ...]]]:
    if not of_class.any():
        return
    alone = of_class if instances is None else of_class & (instances == 0)
    labels, count = ndimage.label(alone, np.ones((3,) * of_class.ndim))
    if instances is not None:
        ids, which = np.unique(np.where(of_class, instances, 0), return_inverse=True)
        which = which.reshape(of_class.shape)
        if ids[0] != 0:
            which += 1
        labels = np.where(which > 0, which + count, labels)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is not None:
            yield labels[box] == number, box
