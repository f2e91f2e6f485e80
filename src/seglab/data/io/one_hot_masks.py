"""2D masks that have a channel for each class, in place of one number a pixel: what they are, and how to give them."""

from __future__ import annotations

import numpy as np

from seglab.errors import DataError


def one_hot(values: np.ndarray, where: str) -> DataError | None:
    """The refusal of a mask in which each pixel has at most one channel that is not 0; None of any other.

    Red, green and blue of 8 bits are colours, unless there is no black in them.

    Args:
        values: `(H, W, C)`, C of 2 or more.
        where: the file.
    """
    flags = values != 0
    marked = flags.sum(axis=-1)
    exactly, count = bool((marked == 1).all()), values.shape[-1]
    numbers = [np.unique(values[..., k][flags[..., k]]) for k in range(count)]
    if marked.max(initial=0) != 1 or max(len(of_one) for of_one in numbers) > 1:
        return None
    if count in (2, 4) and not any(len(of_one) for of_one in numbers[:-1]):  # transparency, over black
        return None
    colours = count == 3 and values.dtype == np.uint8
    if colours and not exactly:
        return None
    channel = "v.argmax(-1)" if exactly else "numpy.where(v.any(-1), v.argmax(-1) + 1, 0)"
    classes = f"data.label_values=[{','.join(map(str, range(count + (not exactly))))}]"
    remedy = (
        f"give each pixel the number of its channel{'' if exactly else ', 0 where there is none'}: v its pixels "
        f"(H, W, C), save {channel}.astype('uint8') as PNG or TIFF; its values are then {classes}"
    )
    highest = int(values.max())
    if colours and all(of_one.tolist() in ([], [highest]) for of_one in numbers):
        each = ",".join(f"[{','.join(str(highest * (k == c)) for c in range(3))}]" for k in range(3))
        remedy = f"{classes} data.label_colors=[{each}] reads it as it is; or {remedy}"
    return DataError(
        "a mask that is one-hot: a channel for each class, in place of one number a pixel",
        code="label-channels",
        finding="label-channels",
        where=where,
        found=f"{count} channels, of which {'exactly' if exactly else 'at most'} one is not 0 in each pixel",
        expected="one channel of class values (grey or palette)",
        remedy=remedy,
    )
