"""Answers with the seconds of one whole prediction by sliding windows, or with the process's peak memory.

python windows_keras.py <policy>; prints `=> ready`, then one number for each line on standard input: seconds; for a
line `memory`, the peak in MB; for `growth`, by how much it is above the peak after a single window; for `blending`, the
share of the last prediction that was not the network.
"""

from __future__ import annotations

import os
import resource
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.inference.predictor import Predictor
from seglab.models.unet import unet
from seglab.runtime.reproducibility import keep_freed_memory
from seglab.task import Task

VOLUME, WINDOW, WIDTH = (192, 192, 160), (64, 64, 64), 16


def peak_mb() -> float:
    """Most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main(policy: str) -> None:
    """Predict a volume for each line."""
    keep_freed_memory()
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(policy)
    task = Task(3, 1, ("background", "object"))
    predictor = Predictor(
        unet(task, WINDOW, depth=3, width=WIDTH), task, Preprocessing("scale", 1), WINDOW, "patch", overlap=0.5
    )
    network, spent = predictor._network, 0.0

    def timed(windows: np.ndarray) -> np.ndarray:
        nonlocal spent
        began = time.perf_counter()
        predicted = network(windows)
        spent += time.perf_counter() - began
        return predicted

    predictor._network = timed
    image = np.random.default_rng(0).random((*VOLUME, 1), np.float32)
    predictor.predict(image[: WINDOW[0], : WINDOW[1], : WINDOW[2]])
    after_one = peak_mb()
    print("=> ready", flush=True)
    blending = float("nan")
    for line in sys.stdin:
        if line.strip() == "memory":
            value = peak_mb()
        elif line.strip() == "growth":
            value = peak_mb() - after_one
        elif line.strip() == "blending":
            value = blending
        else:
            spent, began = 0.0, time.perf_counter()
            predictor.predict(image)
            value = time.perf_counter() - began
            blending = 1 - spent / value
        print(f"=> {value}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
