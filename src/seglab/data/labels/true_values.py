"""A true mask that arrives beside a model, to be scored against: its values to class ids, or why not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seglab.data.labels.label_map import whole_numbers
from seglab.data.labels.stored_values import class_ids
from seglab.errors import DataError

IGNORED = 255  # of a truth, unless it is a class
_LISTED = 5


def true_ids(
    stored: np.ndarray, values: Sequence[int], names: Sequence[str], ignore_label: int, where: str
) -> np.ndarray:
    """Class ids, uint8, of a true mask; 255, where it is no class, becomes `ignore_label`.

    Args:
        stored: numbers of any real type and shape; those nearly whole are rounded.
        values, names: of each class.
        ignore_label: in 0..255.
        where: its file.

    Raises:
        DataError: numbers that are not whole, or of no class.
    """
    whole, _ = whole_numbers(stored, where)
    ids = class_ids(whole, values, ignore_label)
    unknown = sorted(set(np.unique(whole[ids == ignore_label]).tolist()) - {IGNORED, *values})
    if unknown:
        listed = ", ".join(f"{value:g}" for value in unknown[:_LISTED]) + (" …" if len(unknown) > _LISTED else "")
        classes = ", ".join(f"{value} {name}" for value, name in zip(values, names, strict=True))
        raise other_values(where, listed, classes)
    return ids


def other_values(where: str, found: str, classes: str = "") -> DataError:
    """Of a truth that holds other values than those of the model's classes."""
    return DataError(
        "a truth of other values than the classes of the model",
        code="truth-values",
        where=where,
        found=found,
        expected=f"{classes or 'the values that /classes lists'}; {IGNORED} marks pixels that are ignored",
        remedy="write the value of its class into each pixel, such as 1 in place of 255",
    )
