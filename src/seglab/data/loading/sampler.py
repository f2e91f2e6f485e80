"""Samples of an epoch from prepared cases. What is drawn depends on (seed, epoch, case, draw) and on nothing else.

Free of TensorFlow and Keras: worker processes import this module and little more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from seglab.config.sections import DataConfig
from seglab.data.augment import Augmentation
from seglab.data.preprocessing.case_preprocessing import CaseStore
from seglab.data.preprocessing.geometry import CHANNELS_AT_ONCE, cut, grid_starts, hide_covered, pad_start
from seglab.data.preprocessing.intensity_stats import IntensityStats
from seglab.data.preprocessing.normalisation import SMALLEST_SPREAD, Preprocessing
from seglab.data.randomness import generator
from seglab.task import Task

# Before the arrays in shared memory.
_HEADER = 64


@dataclass(frozen=True)
class Item:
    """One sample of an epoch: a case, and which draw from it (training) or which box of its grid (validation)."""

    case: str
    draw: int
    start: tuple[int, ...] | None = None


class Sampler:
    """Draws the samples of one split.

    How a case is brought to the input size is `card.resize_mode`:

    - `resize`: the whole image, masks as `resize_mask` says;
    - `letterbox`: the whole image with its proportions, in the middle of a border;
    - `pad`, `patch`: boxes of the input size, with a border where the image is smaller. Training draws boxes at random,
      a share of `foreground_share` of them around a pixel or voxel of a foreground class, which is one of
      `task.scored` (each class of the case as often as the others); validation takes a fixed grid in which every voxel
      counts once.

    A border is 0 after normalisation, in a mask the ignore label. Training takes `patches_per_case` samples of each
    case in an epoch, each drawn and augmented anew; into a share `augmentation.mix` of them a box of a sample of
    another case is pasted before they are augmented.

    Safe to use from several threads; can be pickled when `arrays` and `augmentation` can.

    Args:
        arrays: the prepared cases.
        cases: ids of the split, in order.
        task, preprocessing: of the training data.
        card: size, batch size, fit.
        seed: of order, draws and augmentation.
        training: shuffle, draw and augment; otherwise samples come in order and always the same.
        augmentation: changes training samples; None for none.
    """

    label_type: type[np.unsignedinteger[Any]] = np.uint8

    def __init__(
        self,
        arrays: CaseStore,
        cases: Sequence[str],
        task: Task,
        preprocessing: Preprocessing,
        card: DataConfig,
        *,
        seed: int,
        training: bool,
        augmentation: Augmentation | None = None,
    ):
        self.arrays, self.cases, self.task, self.card = arrays, list(cases), task, card
        self.size = tuple(card.size)
        self.seed, self.training = seed, training
        self.augmentation = augmentation if training else None
        self._whole = card.resize_mode in ("resize", "letterbox")
        self.image_channels = task.channels
        self._normalization = Normalization(preprocessing)
        self.items = [item for case in cases for item in self._items_of(case)]
        self._order: tuple[int, np.ndarray] | None = None

    def _items_of(self, case: str) -> list[Item]:
        if self.training:
            return [Item(case, draw) for draw in range(self.card.patches_per_case)]
        if self._whole:
            return [Item(case, 0)]
        shape = self.arrays.outlines[case].shape
        return [Item(case, draw, start) for draw, start in enumerate(grid_starts(shape, self.size))]

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-len(self.items) // self.card.batch_size)

    def batch(self, epoch: int, step: int) -> list[Item]:
        """What the batch of a step holds; the last one of an epoch may be shorter."""
        if not 0 <= step < len(self):
            raise IndexError(f"batch {step} of {len(self)}")
        first = step * self.card.batch_size
        return [self.items[i] for i in self._epoch_order(epoch)[first : first + self.card.batch_size]]

    def _epoch_order(self, epoch: int) -> np.ndarray:
        if not self.training:
            return np.arange(len(self.items))
        order = self._order
        if order is None or order[0] != epoch:
            order = epoch, generator(self.seed, "order", epoch).permutation(len(self.items))
            self._order = order
        return order[1]

    def draw(self, epoch: int, item: Item, image: np.ndarray, mask: np.ndarray) -> None:
        """Write a sample into an image `(*size, C)` float32 and a mask `(*size)` of any integer type."""
        rng = generator(self.seed, "sample", epoch, item.case, item.draw)
        if self.augmentation is None:
            self._cut(item, rng, image, mask)
            return
        drawn = self._new(item, rng)
        if getattr(self.augmentation, "mix", 0) > 0 and len(self.cases) > 1:
            # A stream of its own: whether samples are mixed changes nothing else about them.
            dice = generator(self.seed, "mix", epoch, item.case, item.draw)
            if dice.random() < self.augmentation.mix:
                others = [case for case in self.cases if case != item.case]
                other = Item(others[dice.integers(len(others))], item.draw)
                drawn = self.augmentation.paste(*drawn, *self._pasted(other, dice), dice)
        image[...], mask[...] = self.augmentation(*drawn, rng, self.arrays.outlines[item.case].spacing)

    def _pasted(self, item: Item, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A sample of which a box is pasted into another."""
        return self._new(item, rng)

    def _new(self, item: Item, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        image = np.empty((*self.size, self.image_channels), np.float32)
        mask = np.empty(self.size, self.label_type)
        self._cut(item, rng, image, mask)
        return image, mask

    def _cut(self, item: Item, rng: np.random.Generator, image: np.ndarray, mask: np.ndarray) -> None:
        """The box of an item, normalised: its pixels first and alone, then the border around them."""
        whole_image, whole_mask = self.arrays.read(item.case)
        start = item.start
        if start is None:
            start = pad_start(whole_mask.shape, self.size) if self._whole else self._random_start(item, whole_mask, rng)
        inside = tuple(slice(max(s, 0), s + n) for s, n in zip(start, self.size, strict=True))
        intensity = self.arrays.outlines[item.case].intensity
        part = whole_image[inside][..., : self.image_channels]
        if part.shape == image.shape:
            self._normalization(part, intensity, image)
        else:
            normalised = np.empty(part.shape, np.float32)
            self._normalization(part, intensity, normalised)
            image[...] = cut(normalised, [min(s, 0) for s in start], self.size, 0)
        ignore = self.task.ignore_label
        box = cut(whole_mask, start, self.size, ignore)
        mask[...] = self._labels(box if item.start is None else hide_covered(box, start, ignore), whole_image, start)

    def _labels(self, labels: np.ndarray, image: np.ndarray, start: Sequence[int]) -> np.ndarray:
        """What is augmented as a mask: the labels `(*size)` of a box at `start` of an image."""
        return labels

    def _random_start(self, item: Item, mask: np.ndarray, rng: np.random.Generator) -> tuple[int, ...]:
        """A box inside of the image; along an axis where the image is smaller, with the image in its middle."""
        focus, offsets = rng.random() < self.card.foreground_share, rng.random(len(self.size))
        counts = self.arrays.outlines[item.case].places
        there = [k for k in self.task.scored if counts[k]] if focus else []
        middle = pad_start(mask.shape, self.size)
        spare = [full - n for full, n in zip(mask.shape, self.size, strict=True)]
        if there:
            of_class = self.arrays.places(item.case, there[rng.integers(len(there))])
            around = np.unravel_index(int(of_class[rng.integers(len(of_class))]), mask.shape)
            # The drawn voxel lies anywhere in the box, not always in its centre.
            drawn = [
                int(np.clip(a - int(o * n), 0, max(s, 0)))
                for a, o, n, s in zip(around, offsets, self.size, spare, strict=True)
            ]
        else:
            drawn = [int(o * (s + 1)) for o, s in zip(offsets, spare, strict=True)]
        return tuple(d if s > 0 else m for d, s, m in zip(drawn, spare, middle, strict=True))


class Normalization:
    """`Preprocessing.apply` of a part of an image, as if the whole had been normalised.

    The statistics of `zscore` are not taken anew for each draw but from the case's intensity. Of an 8 bit image each of
    the 256 values is worked out once and looked up.
    """

    def __init__(self, preprocessing: Preprocessing):
        self._preprocessing = preprocessing = preprocessing.of_images
        values = np.arange(256, dtype=np.uint8)[:, None].repeat(preprocessing.channels, axis=1)
        self._table = None if preprocessing.mode == "zscore" else preprocessing.apply(values)

    def __call__(self, image: np.ndarray, intensity: IntensityStats, out: np.ndarray) -> None:
        """Write a normalised `(…, C)` image into float32 `out` of the same shape."""
        if image.dtype == np.uint8:
            table = self._table
            if table is None:
                table = np.empty((256, image.shape[-1]), np.float32)
                _zscore(np.arange(256, dtype=np.float32)[:, None].repeat(image.shape[-1], axis=1), intensity, table)
            _map_values(table, image, out)
        elif self._preprocessing.mode == "zscore":
            _zscore(image, intensity, out)
        else:
            out[...] = self._preprocessing.apply(image)


def _map_values(table: np.ndarray, image: np.ndarray, out: np.ndarray) -> None:
    for first in range(0, image.shape[-1], CHANNELS_AT_ONCE):
        some = slice(first, first + CHANNELS_AT_ONCE)
        part = np.ascontiguousarray(image[..., some])
        lines = part.reshape(part.shape[0], -1, part.shape[-1])
        out[..., some] = cv2.LUT(lines, np.ascontiguousarray(table[None, :, some])).reshape(part.shape)


def _zscore(image: np.ndarray, intensity: IntensityStats, out: np.ndarray) -> None:
    """Clipped to the percentiles, then mean 0 and standard deviation 1; 0 where a channel is constant."""
    for c in range(image.shape[-1]):
        mean, std = intensity.clipped_mean[c], intensity.clipped_std[c]
        if std <= SMALLEST_SPREAD * max(abs(mean), 1e-30):
            out[..., c] = 0
            continue
        channel = np.clip(image[..., c], intensity.low[c], intensity.high[c], dtype=np.float32)
        channel -= np.float32(mean)
        np.multiply(channel, np.float32(1 / std), out=out[..., c])


@dataclass(frozen=True)
class DrawBatch:
    """What a worker process does: draw the batch of `(epoch, step)` into shared memory."""

    sampler: Sampler

    @property
    def shared_bytes(self) -> int:
        """Memory that `views` needs."""
        sampler = self.sampler
        pixels = sampler.card.batch_size * math.prod(sampler.size)
        return _HEADER + pixels * (4 * sampler.task.channels + 1)

    def views(self, memory: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of shared memory: the row that is being drawn `(1,)`, images `(B, *size, C)` float32, masks uint8."""
        sampler = self.sampler
        shape = sampler.card.batch_size, *sampler.size
        row = np.frombuffer(memory, np.int64, 1)
        x = np.frombuffer(memory, np.float32, math.prod(shape) * sampler.task.channels, _HEADER)
        y = np.frombuffer(memory, np.uint8, math.prod(shape), _HEADER + x.nbytes)
        return row, x.reshape(*shape, sampler.task.channels), y.reshape(shape)

    def __call__(self, request: tuple[int, int], memory: memoryview | None) -> None:
        row, x, y = self.views(memory)
        epoch, step = request
        for number, item in enumerate(self.sampler.batch(epoch, step)):
            row[0] = number
            self.sampler.draw(epoch, item, x[number], y[number])
