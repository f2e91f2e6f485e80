"""A process of its own, without TensorFlow, that predicts a volume in Zarr; what may be asked of it is on its command
line: image, folder of masks, bytes of address space or 0, seconds that a window takes, `parts` or `whole`."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import numpy as np

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.inference.loaded_network import LoadedNetwork
from seglab.inference.postprocessing import Step
from seglab.inference.predict_files import plan_files, predict_plan
from seglab.inference.predictor import Predictor
from seglab.task import Task


class AboveHalf(LoadedNetwork):
    """The object is what is brighter than 0.5."""

    name, size, channels, outputs, precision = "numpy", (64, 64, 64), 1, 1, "float32"

    def __init__(self, seconds: float):
        self.seconds = seconds

    def logits(self, images: np.ndarray) -> np.ndarray:
        time.sleep(self.seconds)
        return images * np.float32(10) - np.float32(5)


def main(image: str, out: str, limit: str, seconds: str, way: str) -> None:
    steps = (Step("largest", (1,)),) if way == "whole" else ()
    network, task = AboveHalf(float(seconds)), Task(3, 1, ("background", "object"))
    predictor = Predictor(
        network, task, Preprocessing("scale", 1, 255.0), (64, 64, 64), "patch", overlap=0, postprocessing=steps
    )
    if int(limit):
        resource.setrlimit(resource.RLIMIT_AS, (int(limit), int(limit)))
    predict_plan(predictor, plan_files(task, [Path(image)], out))
    status = Path("/proc/self/status").read_text()  # the peak of `getrusage` may be that of the parent
    print(int(status.partition("VmHWM:")[2].split()[0]) // 1024)


if __name__ == "__main__":
    main(*sys.argv[1:])
