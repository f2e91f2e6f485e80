"""What the peers of the data benchmark read: seglab's cached arrays, normalised and augmented as seglab does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

WORKERS, BATCH = 2, 8


class Scenes:
    """Arrays mapped into memory with seglab's transforms; knows neither Keras nor a peer.

    Args:
        folder: where seglab has built its cache of the scenes.
        settings: of the augmentation.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]):
        from seglab.data.augment import Augment
        from seglab.task import Task

        root = next(iter((folder / "cache").glob("*/*.arrays.json"))).parent
        self.pairs = [(f, f.replace(".image.", ".mask.")) for f in sorted(map(str, root.glob("*.image.npy")))]
        self.augment = Augment(Task(2, 3, tuple("abcdefgh")), **settings)

    def __len__(self) -> int:
        return len(self.pairs)

    def sample(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """One augmented pair, float32 and int32."""
        image, mask = (np.load(path, mmap_mode="r") for path in self.pairs[index])
        image = (image.astype(np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.2)
        image, mask = self.augment(image, np.array(mask), rng, (1.0, 1.0))
        return np.ascontiguousarray(image), np.ascontiguousarray(mask).astype(np.int32)
