"""The mask of a volume that is never in memory: its windows are read from their chunks, its mask is handed on by parts.

The volume is covered with bars: parts of its second and third axis, over the whole length of the first. Along a bar the
rows that windows cover are held, and let go once no window reaches into them any more. How wide a bar is depends on the
windows and not on the volume, so neither does the memory. Windows that reach into two bars are run for both. Where the
network has another spacing, each window is resampled, and each row of what it answers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from seglab.data.io.zarr_volumes import Box, ZarrVolume, whole
from seglab.data.preprocessing.channel_check import check_channels
from seglab.data.preprocessing.normalisation import zscore_by
from seglab.data.preprocessing.streamed_stats import range_of_tiles, stats_of_tiles
from seglab.errors import DataError
from seglab.inference.checks import check_image
from seglab.inference.memory_forecast import check_room
from seglab.inference.mixed_predictor import MixedPredictor
from seglab.inference.predictor import Predictor
from seglab.inference.sliding_window import Prepare, Progress
from seglab.inference.streamed_grid import StreamedGrid
from seglab.runtime.memory import available_bytes

# Voxels of a chunk of a mask along each axis; bars begin and end with one.
MASK_CHUNK = 128
# Bytes of sums that a bar holds, where that makes it no narrower than so many windows.
_HELD_BYTES, _LEAST_WINDOWS = 2**24, 4
# Of a volume, while it is looked through.
_TILE_BYTES = 2**23
_FLOAT = 4


def fitting_level(levels: Sequence[ZarrVolume], target: Sequence[float] | None) -> ZarrVolume:
    """The level that a network sees: that of its spacing; else the coarsest that is as fine; else, and where it has no
    spacing, the finest."""
    if target is None:
        return levels[0]
    same = [
        one
        for one in levels
        if all(round(n * own / want) == n for n, own, want in zip(one.shape, one.spacing, target, strict=False))
    ]
    finer = [one for one in levels if all(own <= want for own, want in zip(one.spacing, target, strict=True))]
    return same[0] if same else finer[-1] if finer else levels[0]


def whole_for(predictor: Predictor) -> str:
    """Why a predictor needs a volume in whole; empty where its mask can be made by parts."""
    if isinstance(predictor, MixedPredictor):
        return "an ensemble whose members see a volume in different ways"
    if predictor.preprocessing.prompts:
        return "a network that is asked by a prompt"
    if predictor.preprocessing.previous:
        return "a cascade, whose second stage sees the whole mask of the first"
    if predictor.resize_mode not in ("pad", "patch"):
        return f"a network that sees all of a volume at once (resize_mode={predictor.resize_mode})"
    return "steps after the mask; postprocessing=false leaves them out" if predictor.postprocessing else ""


def mask_by_parts(
    predictor: Predictor, volume: ZarrVolume, progress: Progress | None = None
) -> Iterator[tuple[Box, np.ndarray]]:
    """The mask that `Predictor.predict` makes of the same voxels, and where each part of it lies.

    Args:
        predictor: one that `whole_for` has a reason for is given the volume in whole, and gives the mask so.
        volume: to predict.
        progress: told the windows that are done and how many there are.

    Yields:
        Boxes that cover the volume once, bar after bar, along each of them in rising order; and their class ids
        `(x, y, z)`.

    Raises:
        DataError: as `Predictor.predict`; a volume that is needed in whole and does not fit into memory; a damaged
            chunk.
    """
    if reason := whole_for(predictor):
        yield _whole_mask(predictor, volume, reason, progress)
        return
    grid = StreamedGrid(volume, predictor.spacing, predictor.interpolation)
    bars = _bars(predictor, volume)
    spans = [grid.under(bar) for bar in bars]
    reaches = [predictor.windows.reach(grid.spatial, span) for span in spans]
    check_room(_bytes_held(predictor, grid, max(reaches, key=lambda reach: reach[0])[1]), volume.shape[:3])
    prepare = _prepared_by(predictor, grid)
    count, done = sum(one for one, _ in reaches), 0

    def tell(now: int, _: int) -> None:
        if progress:
            progress(done + now, count)

    for bar, span, (here, covered) in zip(bars, spans, reaches, strict=True):
        blocks = predictor.deciding_blocks(grid.along(covered), prepare, within=span, progress=tell)
        for rows, channels in grid.restored(blocks, bar):
            yield (rows, bar[0], bar[1]), predictor.ids_of(channels)
        done += here


def _whole_mask(
    predictor: Predictor, volume: ZarrVolume, reason: str, progress: Progress | None
) -> tuple[Box, np.ndarray]:
    x, y, z, _ = volume.shape
    needed, free = math.prod(volume.shape) * (volume.dtype.itemsize + _FLOAT), available_bytes()
    if needed > free:
        raise DataError(
            "a volume that does not fit into memory, for a model that needs it in whole",
            code="zarr-whole",
            where=volume.path,
            found=f"{x}×{y}×{z} voxels, {needed / 1e9:.1f} GB with {free / 1e9:.1f} free; {reason}",
            expected="a model that goes over a volume in windows, or a volume that fits",
            remedy="name a coarser level, such as volume.zarr/1, cut the volume, or use another model",
        )
    image = whole(volume).astype(np.float32)
    check_image(image)
    return (slice(0, x), slice(0, y), slice(0, z)), predictor.predict(image, volume.spacing, progress)


def _bars(predictor: Predictor, volume: ZarrVolume) -> list[tuple[slice, slice]]:
    windows, (x, y, z, _) = predictor.windows, volume.shape
    held = windows.rows_held((x, y, z)) * predictor.task.logit_channels * _FLOAT
    side = max(math.isqrt(_HELD_BYTES // held), _LEAST_WINDOWS * max(windows.window[1:]))
    side = -(-side // MASK_CHUNK) * MASK_CHUNK
    cuts = [[slice(start, min(start + side, n)) for start in range(0, n, side)] for n in (y, z)]
    return list(itertools.product(*cuts))


def _bytes_held(predictor: Predictor, grid: StreamedGrid, covered: tuple[slice, ...]) -> int:
    """At the peak, roughly: a chunk as it is read, a band of the volume and its successor, the sums and what is made of
    finished ones."""
    windows, volume = predictor.windows, grid.volume
    across = math.prod(part.stop - part.start for part in covered)
    sums = 4 * windows.rows_held(grid.spatial) * across * predictor.task.logit_channels * _FLOAT
    band = 2 * grid.band_bytes(windows.window[0], covered)
    return max(2 * volume.chunk_bytes, _TILE_BYTES) + band + sums + MASK_CHUNK * across


def _prepared_by(predictor: Predictor, grid: StreamedGrid) -> Prepare:
    """What is done to a window, after all of the volume was looked through."""
    preprocessing, volume = predictor.preprocessing, grid.volume
    check_channels(volume.shape, preprocessing.channels, volume.path)
    low, high, wrong = range_of_tiles(lambda: map(volume.read, volume.tiles(_TILE_BYTES)))
    if wrong:
        raise DataError(
            "an image with NaN or infinite values",
            code="image-not-finite",
            where=volume.path,
            found=f"{wrong} of {math.prod(volume.shape)} voxels",
            expected="finite numbers",
            remedy="write a number in their place, such as that of the background (numpy.nan_to_num)",
        )
    preprocessing.check_range(np.dtype(np.float32), low, high)
    if preprocessing.mode != "zscore":
        return preprocessing.apply
    stats = stats_of_tiles(lambda: grid.tiles(_TILE_BYTES))
    return lambda part: zscore_by(part, stats)
