"""Masks that hold the value of a class at each pixel: back to class ids, and the refusal of one of another size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seglab.errors import DataError

_TABLED = 1 << 16  # values below are looked up in a table, which is ten times as fast as a search


def class_ids(stored: np.ndarray, values: Sequence[int], ignore_label: int) -> np.ndarray:
    """Class ids, uint8, of the values in a mask; what is the value of no class becomes `ignore_label`.

    Args:
        stored: numbers of any real type and shape.
        values: of each class id, different and not negative.
        ignore_label: in 0..255.
    """
    ids = np.arange(len(values), dtype=np.uint8)
    if stored.dtype.kind == "u" and stored.max(initial=0) < _TABLED:
        table = np.full(max(int(stored.max(initial=0)), *values) + 1, ignore_label, np.uint8)
        table[list(values)] = ids
        return table[stored]
    known = np.asarray(values)
    order = np.argsort(known)
    place = np.searchsorted(known[order], stored).clip(max=len(known) - 1)
    return np.where(known[order][place] == stored, ids[order][place], np.uint8(ignore_label))


def check_mask_size(mask: np.ndarray, shape: Sequence[int], where: str) -> None:
    """Refuse a mask that has not one value for each pixel or voxel of its image.

    Args:
        mask: of any rank.
        shape: of the image, without its channels.
        where: its file.

    Raises:
        DataError: of another size.
    """
    if mask.shape == tuple(shape):
        return
    raise DataError(
        "a mask of another size than its image",
        code="mask-size-differs",
        finding="size-mismatch",
        where=where,
        found="×".join(map(str, mask.shape)),
        expected="×".join(map(str, shape)),
        remedy="take it out of the folder, or export it at the size of the image",
    )
