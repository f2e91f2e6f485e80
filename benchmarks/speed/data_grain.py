"""Another peer of the data benchmark: `data_grain.py road <folder> <settings>`: Grain; knows no Keras."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import grain.python as grain
import numpy as np
from data_scenes import BATCH, WORKERS, Scenes


class Augmented(grain.RandomMapTransform):
    """From a number to its augmented sample; each worker opens the arrays for itself."""

    def __init__(self, folder: Path, settings: dict[str, Any]):
        self.folder, self.settings = folder, settings
        self.scenes: Scenes | None = None

    def random_map(self, element: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The sample of this number; Grain draws `rng` from its seed and the position in the order."""
        if self.scenes is None:
            cv2.setNumThreads(1)
            self.scenes = Scenes(self.folder, self.settings)
        return self.scenes.sample(element, rng)


def main(folder: Path, settings: dict[str, Any]) -> None:
    """Get ready, say so, answer each line with seconds for one sample of an epoch."""
    count = len(Scenes(folder, settings))
    loader = grain.DataLoader(
        data_source=range(count),
        sampler=grain.IndexSampler(count, grain.NoSharding(), shuffle=True, num_epochs=None, seed=0),
        operations=[Augmented(folder, settings), grain.Batch(BATCH)],
        worker_count=WORKERS,
    )
    batches = iter(loader)
    print("=> ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        for _batch in range(count // BATCH):
            next(batches)
        print(f"=> {(time.perf_counter() - start) / (count // BATCH * BATCH)}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[2]), json.loads(sys.argv[3]))
