"""A volume in chunks on the grid that the windows of a network go over, and the way back, part by part."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from seglab.data.io.zarr_volumes import ZarrVolume
from seglab.data.preprocessing.spacing import Interpolation, Resampler, resampler_of

_FLOAT = 4


class StreamedGrid:
    """The volume at the network's spacing, to the bits that it would have in memory.

    Args:
        volume: to be read.
        target: the network's spacing; None where it takes volumes as they are.
        interpolation: of axes that this makes finer.

    Attributes:
        spatial: voxels of the grid along each axis.
    """

    def __init__(self, volume: ZarrVolume, target: Sequence[float] | None, interpolation: Interpolation):
        self.volume, own = volume, volume.shape[:3]
        forward = Resampler(own, own) if target is None else resampler_of(own, volume.spacing, target, interpolation)
        self.spatial = forward.new
        self._forward, self._back = forward, Resampler(self.spatial, own)

    @property
    def _same(self) -> bool:
        return self.spatial == self.volume.shape[:3]

    def under(self, bar: tuple[slice, slice]) -> tuple[slice, ...]:
        """What a part of the volume's second and third axis takes of the grid's."""
        return self._back.needs((slice(0, self.volume.shape[0]), *bar))[1:]

    def along(self, covered: tuple[slice, ...]) -> _Band:
        """The grid for windows that follow one another along the first axis, within a part of the others."""
        return _Band(self.volume, self._forward, covered)

    def band_bytes(self, rows: int, covered: tuple[slice, ...]) -> int:
        """Of the volume that is held for a window of so many rows, in a part of the other axes."""
        some = (slice(0, min(rows, self.spatial[0])), *covered)
        x, y, z = (part.stop - part.start for part in self._forward.needs(some))
        held = min(x + self.volume.chunks[0], self.volume.shape[0])
        return held * y * z * self.volume.shape[3] * self.volume.dtype.itemsize

    def tiles(self, at_most: int) -> Iterator[np.ndarray]:
        """Parts of the grid that cover it once, each of about so many bytes, or of one chunk of the volume."""
        if self._same:
            yield from map(self.volume.read, self.volume.tiles(at_most))
            return
        side = max(1, int((at_most / _FLOAT / self.volume.shape[3]) ** (1 / 3)))
        for place in itertools.product(
            *([slice(k, min(k + side, n)) for k in range(0, n, side)] for n in self.spatial)
        ):
            x, y, z = self._forward.needs(place)
            yield self._forward.part(self.volume.read((x, y, z)), place)

    def restored(
        self, blocks: Iterable[tuple[slice, np.ndarray]], bar: tuple[slice, slice]
    ) -> Iterator[tuple[slice, Iterator[np.ndarray]]]:
        """Blocks of rows of the grid, `(rows, …, K)` in rising order, as rows of the volume: their K channels."""
        if self._same:
            for rows, block in blocks:
                yield rows, (block[..., k] for k in range(block.shape[-1]))
            return
        last = [self._back.needs((slice(row, row + 1), *bar))[0].stop for row in range(self.volume.shape[0])]
        done, first, held = 0, 0, np.empty(0, np.float32)
        for rows, block in blocks:
            held = np.concatenate([held, block]) if len(held) else block
            upto = int(np.searchsorted(last, rows.stop, side="right"))
            if upto == done:
                continue
            place = (slice(done, upto), *bar)
            needed = self._back.needs(place)[0]
            part = held[needed.start - first : needed.stop - first]
            yield place[0], (self._back.part(part[..., k], place) for k in range(part.shape[-1]))
            done = upto
            if done < len(last):
                start = self._back.needs((slice(done, done + 1), *bar))[0].start
                first, held = start, held[start - first :].copy()


class _Band:
    """The grid as windows ask for it; memory holds the rows of chunks of the volume that the last one reached into."""

    def __init__(self, volume: ZarrVolume, forward: Resampler, covered: tuple[slice, ...]):
        self._volume, self._forward = volume, forward
        self.shape = (*forward.new, volume.shape[3])
        _, *self._across = forward.needs((slice(0, forward.new[0]), *covered))
        self._first, self._held = 0, self._rows(0, 0)

    def __getitem__(self, place: tuple[slice, ...]) -> np.ndarray:
        """A window `(*place, C)` in float32, as volumes are that are read in whole."""
        needed = self._forward.needs(place)
        stop = self._first + len(self._held)
        if needed[0].stop > stop:
            step = self._volume.chunks[0]
            kept = self._held[max(needed[0].start - self._first, 0) :]
            upto = min(-(-needed[0].stop // step) * step, self._volume.shape[0])
            self._held = np.concatenate([kept, self._rows(stop, upto)])
            self._first = upto - len(self._held)
        firsts = (self._first, self._across[0].start, self._across[1].start)
        here = tuple(slice(p.start - first, p.stop - first) for p, first in zip(needed, firsts, strict=True))
        return self._forward.part(self._held[here], place)

    def _rows(self, start: int, stop: int) -> np.ndarray:
        return self._volume.read((slice(start, stop), self._across[0], self._across[1]))
