"""Statistics of an image that is read by parts: the numbers of `intensity_stats_of`, without the image in memory.

Numbers of 8 or 16 bits are counted in one pass. Others are taken as float32, as volumes are when they are read in
whole; their percentiles are exact all the same: the bits of a float, turned so that they sort as the number does, are
counted by their upper half in one pass, and by their lower half, in those upper halves that hold a percentile, in
another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from seglab.data.preprocessing.intensity_stats import (
    HIGH_PERCENTILE,
    LOW_PERCENTILE,
    IntensityStats,
    Numbers,
    stats_of_counts,
)

Tiles = Callable[[], Iterable[np.ndarray]]
"""Gives, each time anew, the parts `(…, C)` of an image, that cover it once."""
_HALF = 1 << 16


def range_of_tiles(tiles: Tiles) -> tuple[float, float, int]:
    """Smallest and largest number of all channels, and how many are not finite."""
    low, high, wrong = np.inf, -np.inf, 0
    for tile in tiles():
        if tile.dtype.kind == "f":
            wrong += int(tile.size - np.isfinite(tile).sum())
        low, high = min(low, float(tile.min())), max(high, float(tile.max()))
    return low, high, wrong


def stats_of_tiles(tiles: Tiles) -> IntensityStats:
    """The statistics of an image of finite numbers."""
    kind = next(iter(tiles())).dtype
    small = kind.kind in "iu" and kind.itemsize <= 2
    rows = _of_small(tiles, kind) if small else _of_floats(tiles)
    return IntensityStats(*(tuple(row[i] for row in rows) for i in range(len(IntensityStats._fields))))


def _of_small(tiles: Tiles, kind: np.dtype) -> list[Numbers]:
    first = int(np.iinfo(kind).min)
    counts: np.ndarray | int = 0
    for channels in _channels(tiles):
        counts = counts + np.stack([np.bincount(one.astype(np.int64) - first, minlength=_HALF) for one in channels])
    return [stats_of_counts(one, first) for one in np.atleast_2d(counts)]


def _of_floats(tiles: Tiles) -> list[Numbers]:
    upper: np.ndarray | int = 0
    low, high, total, count = np.array(np.inf), np.array(-np.inf), np.array(0.0), 0
    for channels in _channels(tiles):
        upper = upper + np.stack([np.bincount(_keys(one) >> 16, minlength=_HALF) for one in channels])
        low, high = np.minimum(low, channels.min(axis=1)), np.maximum(high, channels.max(axis=1))
        total, count = total + channels.sum(axis=1, dtype=np.float64), count + channels.shape[1]
    mean = total / count
    places = [percentile / 100 * (count - 1) for percentile in (LOW_PERCENTILE, HIGH_PERCENTILE)]
    ranks = sorted({min(int(place) + more, count - 1) for place in places for more in (0, 1)})
    at_rank = _numbers_at(tiles, np.atleast_2d(upper), ranks)
    bounds = []
    for place in places:
        one, after = at_rank[int(place)], at_rank[min(int(place) + 1, count - 1)]
        bounds.append(one + (after - one) * (place - int(place)))
    square, clipped, clipped_square = np.zeros_like(mean), np.zeros_like(mean), np.zeros_like(mean)
    middle = (bounds[0] + bounds[1]) / 2  # sums of what is left without it lose no digits
    for channels in _channels(tiles):
        wide = channels.astype(np.float64)
        square += np.square(wide - mean[:, None]).sum(axis=1)
        near = np.clip(wide, bounds[0][:, None], bounds[1][:, None]) - middle[:, None]
        clipped += near.sum(axis=1)
        clipped_square += np.square(near).sum(axis=1)
    inner = clipped / count
    spread = np.sqrt(np.maximum(clipped_square / count - np.square(inner), 0))
    columns = (low, high, mean, np.sqrt(square / count), *bounds, middle + inner, spread)
    return [tuple(float(column[c]) for column in columns) for c in range(len(mean))]


def _numbers_at(tiles: Tiles, upper: np.ndarray, ranks: list[int]) -> dict[int, np.ndarray]:
    """The numbers of each channel that would stand at these places, were its voxels sorted: `(C,)` each."""
    below = np.cumsum(upper, axis=1)
    bins = np.stack([np.searchsorted(one, ranks, side="right") for one in below])
    lower = {(c, int(b)): np.zeros(_HALF, np.int64) for c, some in enumerate(bins) for b in some}
    for channels in _channels(tiles):
        for c, one in enumerate(channels):
            keys = _keys(one)
            for b in dict.fromkeys(bins[c].tolist()):
                lower[c, b] += np.bincount(keys[keys >> 16 == b] & (_HALF - 1), minlength=_HALF)
    found = {}
    for number, rank in enumerate(ranks):
        keys = np.empty(len(bins), np.uint32)
        for c, some in enumerate(bins):
            b = int(some[number])
            before = int(below[c, b] - upper[c, b])
            keys[c] = (b << 16) + int(np.searchsorted(np.cumsum(lower[c, b]), rank - before, side="right"))
        found[rank] = _of_keys(keys).astype(np.float64)
    return found


def _channels(tiles: Tiles) -> Iterator[np.ndarray]:
    """Each tile as `(C, N)`; what is not of 8 or 16 bits in float32."""
    for tile in tiles():
        flat = tile.reshape(-1, tile.shape[-1]).T
        yield flat if tile.dtype.kind in "iu" and tile.dtype.itemsize <= 2 else flat.astype(np.float32)


def _keys(numbers: np.ndarray) -> np.ndarray:
    """Unsigned numbers that sort as these floats do."""
    bits = np.ascontiguousarray(numbers).view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))


def _of_keys(keys: np.ndarray) -> np.ndarray:
    bits = np.where(keys >> 31, keys ^ np.uint32(1 << 31), ~keys)
    return bits.astype(np.uint32).view(np.float32)
