"""Batches of one split. What a batch holds depends on (seed, epoch, case, draw), never on workers or on a restart."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from seglab.data.augment import Augmentation
from seglab.data.cases import Case
from seglab.data.geometry import cut, grid_starts, hide_covered, pad_start, resize_image, resize_mask
from seglab.data.material import Material
from seglab.data.memory import SourceInMemory
from seglab.data.randomness import generator
from seglab.schema import DataCard

# Enough places to draw boxes around, for each class of a case; all voxels of large organs would fill the memory.
MOST_PLACES = 10_000


@dataclass(frozen=True)
class Item:
    """One sample of an epoch: a case, and which draw from it (training) or which box of its grid (validation)."""

    case: Case
    draw: int
    start: tuple[int, ...] | None = None


class Batches(keras.utils.PyDataset):
    """Batches `(x (B, *size, C) float32, y (B, *size) int32)`; the last one of an epoch may be shorter.

    How a case is brought to the input size is `card.fit`:

    - `resize`: the whole image, masks by nearest neighbour;
    - `pad`, `patch`: boxes of the input size, padded with 0 and the ignore label where the image is smaller. Training
      draws boxes at random, a share of `foreground_share` of them around a voxel of a foreground class (each class of
      the case as often as the others); validation takes a fixed grid in which every voxel counts once.

    Training takes `patches_per_case` samples of each case in an epoch, each drawn and augmented anew.
    Images are normalised once and then kept; safe to read from several threads.

    Args:
        material: cases and preprocessing.
        split: `train` shuffles, draws and augments; any other split is read in order, always the same.
        card: size, batch size, fit.
        seed: of order, draws and augmentation.
        augmentation: changes training samples; None for none.

    Attributes:
        epoch: which epoch the batches are of.
    """

    def __init__(
        self, material: Material, split: str, card: DataCard, *, seed: int, augmentation: Augmentation | None = None
    ):
        super().__init__(workers=max(card.workers, 1))
        self.material, self.card, self.seed, self.augmentation = material, card, seed, augmentation
        self.size = tuple(card.size)
        self.training = split == "train"
        self.epoch = 0
        self._prepared: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._places: dict[str, list[np.ndarray]] = {}
        self._items = [item for case in material.cases(split) for item in self._items_of(case)]
        self._order: tuple[int, np.ndarray] | None = None

    def _items_of(self, case: Case) -> list[Item]:
        if self.training:
            return [Item(case, draw) for draw in range(self.card.patches_per_case)]
        if self.card.fit == "resize":
            return [Item(case, 0)]
        shape = self._sample(case)[1].shape
        return [Item(case, draw, start) for draw, start in enumerate(grid_starts(shape, self.size))]

    def __len__(self) -> int:
        return -(-len(self._items) // self.card.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        items = self._of(index)
        x = np.empty((len(items), *self.size, self.material.task.channels), np.float32)
        y = np.empty((len(items), *self.size), np.int32)
        for row, item in enumerate(items):
            x[row], y[row] = self._draw(item)
        return x, y

    def case_ids(self, step: int) -> list[str]:
        """Ids of the cases in the batch of this step of the current epoch."""
        return [item.case.id for item in self._of(step)]

    def _of(self, step: int) -> list[Item]:
        if not 0 <= step < len(self):
            raise IndexError(f"batch {step} of {len(self)}")
        first = step * self.card.batch_size
        return [self._items[i] for i in self._epoch_order()[first : first + self.card.batch_size]]

    def _epoch_order(self) -> np.ndarray:
        if not self.training:
            return np.arange(len(self._items))
        order = self._order
        if order is None or order[0] != self.epoch:
            order = self.epoch, generator(self.seed, "order", self.epoch).permutation(len(self._items))
            self._order = order
        return order[1]

    def _draw(self, item: Item) -> tuple[np.ndarray, np.ndarray]:
        image, mask = self._sample(item.case)
        rng = generator(self.seed, "sample", self.epoch, item.case.id, item.draw)
        if self.card.fit != "resize":
            ignore = self.material.task.ignore_label
            start = self._random_start(item.case, mask, rng) if item.start is None else item.start
            image, mask = cut(image, start, self.size, 0), cut(mask, start, self.size, ignore)
            if item.start is not None:
                mask = hide_covered(mask, start, ignore)
        if self.training and self.augmentation is not None:
            image, mask = self.augmentation(image, mask, rng)
        return image, mask

    def _sample(self, case: Case) -> tuple[np.ndarray, np.ndarray]:
        """The whole case, normalised (and resized where that is the fit), from memory the second time."""
        held = self._prepared.get(case.id)
        if held is None:
            sample = self.material.source.read(case)
            if sample.mask is None:
                raise ValueError(f"the source gave no mask for {case.id}, though its cases have labels")
            image, mask = self.material.preprocessing.apply(sample.image), sample.mask
            if self.card.fit == "resize":
                image, mask = resize_image(image, self.size), resize_mask(mask, self.size)
            held = self._prepared[case.id] = np.ascontiguousarray(image, np.float32), mask
            if isinstance(self.material.source, SourceInMemory):
                self.material.source.forget(case)
        return held

    def _random_start(self, case: Case, mask: np.ndarray, rng: np.random.Generator) -> tuple[int, ...]:
        """A box inside of the image; along an axis where the image is smaller, with the image in its middle."""
        focus, offsets = rng.random() < self.card.foreground_share, rng.random(len(self.size))
        places = self._places_of(case, mask) if focus else []
        middle = pad_start(mask.shape, self.size)
        spare = [full - n for full, n in zip(mask.shape, self.size, strict=True)]
        if places:
            of_class = places[rng.integers(len(places))]
            around = np.unravel_index(int(of_class[rng.integers(len(of_class))]), mask.shape)
            # The drawn voxel lies anywhere in the box, not always in its centre.
            drawn = [
                int(np.clip(a - int(o * n), 0, max(s, 0)))
                for a, o, n, s in zip(around, offsets, self.size, spare, strict=True)
            ]
        else:
            drawn = [int(o * (s + 1)) for o, s in zip(offsets, spare, strict=True)]
        return tuple(d if s > 0 else m for d, s, m in zip(drawn, spare, middle, strict=True))

    def _places_of(self, case: Case, mask: np.ndarray) -> list[np.ndarray]:
        """Flat indices of the voxels of each foreground class that the case has, evenly thinned out."""
        held = self._places.get(case.id)
        if held is None:
            voxels = [np.flatnonzero(mask == class_id) for class_id in range(1, self.material.task.classes)]
            held = [places[:: -(-len(places) // MOST_PLACES)].copy() for places in voxels if len(places)]
            self._places[case.id] = held
        return held
