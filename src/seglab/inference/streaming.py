"""The mask of a volume that is never in memory: its windows are read from their chunks, its mask is handed on by parts.

The volume is covered with bars: parts of its second and third axis, over the whole length of the first. Along a bar the
rows that windows cover are held, and let go once no window reaches into them any more. How wide a bar is depends on the
windows and not on the volume, so neither does the memory. Windows that reach into two bars are run for both.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from seglab.data.io.zarr_volumes import Region, ZarrVolume, whole
from seglab.data.preprocessing.normalisation import zscore_by
from seglab.data.preprocessing.spacing import resampled_shape
from seglab.data.preprocessing.streamed_stats import range_of_tiles, stats_of_tiles
from seglab.errors import DataError
from seglab.inference.checks import check_image
from seglab.inference.memory_forecast import check_room
from seglab.inference.parts import MixedPredictor
from seglab.inference.predictor import Predictor
from seglab.inference.sliding_window import Prepare, Progress

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
    same = [one for one in levels if resampled_shape(one.shape[:3], one.spacing, target) == one.shape[:3]]
    finer = [one for one in levels if all(own <= want for own, want in zip(one.spacing, target, strict=True))]
    return same[0] if same else finer[-1] if finer else levels[0]


def can_stream(predictor: Predictor, volume: ZarrVolume) -> bool:
    """Whether a mask can be made by parts: the network goes over the volume's own voxels in windows, and nothing is
    done to the mask as a whole."""
    if isinstance(predictor, MixedPredictor) or predictor.postprocessing or predictor.preprocessing.prompts:
        return False
    target, shape = predictor.spacing, volume.shape[:3]
    same = target is None or resampled_shape(shape, volume.spacing, target) == shape
    return same and predictor.resize_mode in ("pad", "patch")


def mask_by_parts(
    predictor: Predictor, volume: ZarrVolume, progress: Progress | None = None
) -> Iterator[tuple[Region, np.ndarray]]:
    """The mask that `Predictor.predict` makes of the same voxels, and where each part of it lies.

    Args:
        predictor: of which `can_stream` holds; another one is given the volume in whole, and gives the mask so.
        volume: to predict.
        progress: told the windows that are done and how many there are.

    Yields:
        Regions that cover the volume once, bar after bar, along each of them in rising order; and their class ids
        `(x, y, z)`.

    Raises:
        DataError: as `Predictor.predict`; and a damaged chunk.
    """
    x, y, z, _ = volume.shape
    if not can_stream(predictor, volume):
        image = whole(volume).astype(np.float32)
        check_image(image)
        yield (slice(0, x), slice(0, y), slice(0, z)), predictor.predict(image, volume.spacing, progress)
        return
    bars = _bars(predictor, volume)
    check_room(_bytes_held(predictor, volume, bars[0]), volume.shape[:3])
    prepare = _prepared_by(predictor, volume)
    reaches = [predictor.windows.reach(volume.shape[:3], bar) for bar in bars]
    count, done = sum(one for one, _ in reaches), 0

    def tell(now: int, _: int) -> None:
        if progress:
            progress(done + now, count)

    for bar, (here, seen) in zip(bars, reaches, strict=True):
        for rows, ids in predictor.mask_blocks(_Band(volume, seen), prepare, within=bar, progress=tell):
            yield (rows, bar[0], bar[1]), ids
        done += here


@dataclass
class _Band:
    """A volume that windows are cut from in rising order along its first axis, of which memory holds the rows of chunks
    that they reach into, in a part of the other axes."""

    volume: ZarrVolume
    seen: tuple[slice, ...]

    def __post_init__(self) -> None:
        self.shape = self.volume.shape
        self._first, self._held = 0, self.volume.read((slice(0, 0), self.seen[0], self.seen[1]))

    def __getitem__(self, place: tuple[slice, ...]) -> np.ndarray:
        """A window `(*place, C)` in float32, as volumes are that are read in whole."""
        stop = self._first + len(self._held)
        if place[0].stop > stop:
            step = self.volume.chunks[0]
            upto = min(-(-place[0].stop // step) * step, self.shape[0])
            kept = self._held[place[0].start - self._first :]
            self._held = np.concatenate([kept, self.volume.read((slice(stop, upto), self.seen[0], self.seen[1]))])
            self._first = place[0].start
        firsts = (self._first, self.seen[0].start, self.seen[1].start)
        here = tuple(slice(p.start - first, p.stop - first) for p, first in zip(place, firsts, strict=True))
        return self._held[here].astype(np.float32)


def _bars(predictor: Predictor, volume: ZarrVolume) -> list[tuple[slice, slice]]:
    windows, (_, y, z) = predictor.windows, volume.shape[:3]
    held = windows.rows_held(volume.shape[:3]) * predictor.task.logit_channels * _FLOAT
    side = max(math.isqrt(_HELD_BYTES // held), _LEAST_WINDOWS * max(windows.window[1:]))
    side = -(-side // MASK_CHUNK) * MASK_CHUNK
    cuts = [[slice(start, min(start + side, n)) for start in range(0, n, side)] for n in (y, z)]
    return list(itertools.product(*cuts))


def _bytes_held(predictor: Predictor, volume: ZarrVolume, bar: tuple[slice, slice]) -> int:
    """At the peak, roughly: a chunk as it is read, a band of the volume and its successor, the sums and what is made of
    finished ones."""
    windows, (x, _, _, channels) = predictor.windows, volume.shape
    across = math.prod(part.stop - part.start for part in windows.reach(volume.shape[:3], bar)[1])
    rows = min(x, windows.window[0] + volume.chunks[0])
    band = 2 * rows * across * channels * volume.dtype.itemsize
    sums = 3 * windows.rows_held(volume.shape[:3]) * across * predictor.task.logit_channels * _FLOAT
    return max(2 * volume.chunk_bytes, _TILE_BYTES) + band + sums + MASK_CHUNK * across


def _prepared_by(predictor: Predictor, volume: ZarrVolume) -> Prepare:
    """What is done to a window, after all of the volume was looked through."""
    preprocessing = predictor.preprocessing
    _check_channels(volume, preprocessing.channels)

    def tiles() -> Iterator[np.ndarray]:
        for region in volume.tiles(_TILE_BYTES):
            yield volume.read(region)

    low, high, wrong = range_of_tiles(tiles)
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
    stats = stats_of_tiles(tiles)
    return lambda part: zscore_by(part, stats)


def _check_channels(volume: ZarrVolume, channels: int) -> None:
    if volume.shape[3] != channels:
        raise DataError(
            "an image with another number of channels than the training images",
            code="image-channels-of-training",
            where=volume.path,
            found=f"{volume.shape[3]} channels, in {'×'.join(map(str, volume.shape[:3]))} voxels",
            expected=f"{channels}",
            remedy="save the channels that the model knows as an image of their own",
        )
