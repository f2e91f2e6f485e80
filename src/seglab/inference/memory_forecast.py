"""Memory that a prediction takes beside its image, known before the work. Measured in its test.

An image that meets the network in windows as it is, is normalised window by window and its mask made in blocks of rows,
so that the mask and a band of rows are all there is. What is resized, resampled or normalised by its own percentiles
(`zscore`) is held as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from seglab.errors import DataError
from seglab.inference.sliding_window import ELEMENTS_PER_CALL, SlidingWindow
from seglab.runtime.memory import available_bytes

_FLOAT = 4
# A number of an image while it is normalised by percentiles: four doubles, and what comes of it.
_ZSCORE = 4 * 8 + _FLOAT
# A pixel while its class is chosen: of two by a threshold; else the largest probability so far, the next and the one
# after, and where the next is larger.
_OF_TWO, _OF_MANY = _FLOAT + 1, 3 * _FLOAT + 1
# A mask while it is written: it, its values as stored, and three times its size free to read it again.
_WRITING = 5
# Below this nobody's memory is asked for: it is less than TensorFlow takes to load.
_FREE = 2**28


def prediction_bytes(
    spatial: Sequence[int],
    grid: Sequence[int],
    tiles: SlidingWindow,
    *,
    channels: int,
    itemsize: int,
    classes: int,
    resized: bool,
    zscore: bool,
    answer: int = 0,
    kept: int = 0,
) -> int:
    """Bytes at the peak beside the image as it is read, without those of the network itself.

    Args:
        spatial: the image's size.
        grid: its size at the network's spacing; the same where that has none.
        tiles: the windows that it is covered with.
        channels: C of the image.
        itemsize: bytes of each of its numbers.
        classes: K of the task.
        resized: whether it is brought to the network's size as a whole.
        zscore: whether it is normalised by its own percentiles.
        answer: channels of float32 that are held on the grid; 0 where a mask is made of them, block by block.
        kept: channels of float32 that are held at the image's size.
    """
    pixels, held = math.prod(spatial), math.prod(grid)
    resampled = tuple(spatial) != tuple(grid)
    deciding = _OF_TWO if classes == 2 else _OF_MANY
    mask = pixels * np.min_scalar_type(classes - 1).itemsize
    checked = pixels * channels  # whether each number is finite
    arriving = 2 * _FLOAT * channels * pixels if resized and itemsize > 2 else 0
    if resized:
        return max(checked, arriving, mask + pixels * (deciding + _FLOAT * kept))
    resampling = _FLOAT * channels * (2 * held + pixels) if resampled else 0
    normalising = held * channels * (_ZSCORE + _FLOAT * resampled) if zscore else 0
    prepared = held * channels * _FLOAT * (resampled + zscore)
    batch = _FLOAT * max(ELEMENTS_PER_CALL, math.prod(tiles.window)) * (channels + 2 * (answer or classes))
    if answer:
        leaving = _FLOAT * (held * answer + pixels * (kept + resampled)) + mask + pixels * deciding
    else:
        rows = math.prod(grid[1:]) * tiles.rows_held(grid)
        leaving = mask + rows * (2 * _FLOAT * (classes if classes > 2 else 1) + deciding)
    return max(checked, resampling, normalising, prepared + leaving + batch)


def writing_bytes(image: np.ndarray, classes: int) -> int:
    """Bytes at the peak of writing its mask, beyond those of the image, which is let go before."""
    mask = math.prod(image.shape[:-1]) * np.min_scalar_type(classes - 1).itemsize
    return _WRITING * mask - image.nbytes


def check_room(needed: int, spatial: Sequence[int]) -> None:
    """Refuse a prediction that would not fit into memory, before it is begun; raises `DataError`."""
    if needed < _FREE:
        return
    free = available_bytes()
    if needed > free:
        raise DataError(
            "an image too large to be predicted in the memory of this machine",
            code="image-memory",
            where="image",
            found=f"{'×'.join(map(str, spatial))} pixels, which need {needed / 1e9:.1f} GB, with {free / 1e9:.1f} free",
            expected="room for what is made of it, beside the image itself",
            remedy="cut it into smaller files, use a machine with more memory, or close other programs",
        )
