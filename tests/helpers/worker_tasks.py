"""Tasks for worker processes, in a module without TensorFlow: what a task's module imports, its worker imports."""

from __future__ import annotations

import os
import signal
import sys
import time

from seglab.data.augment import Augment
from seglab.data.sources.image_folder import ImageFolder
from seglab.errors import DataError


class Answer:
    """A task that does as it is told."""

    def __call__(self, request, memory):
        if request == "modules":
            return sorted({name.split(".")[0] for name in sys.modules} & {"tensorflow", "keras", "mlflow", "torch"})
        if request == "threads":
            import cv2

            return cv2.getNumThreads(), os.environ["OMP_NUM_THREADS"]
        if request == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if request == "exit":
            print("the last words", file=sys.stderr, flush=True)
            os._exit(3)
        if request == "bad file":
            raise DataError("a file that cannot be read", where="x.png", remedy="remove it")
        if request == "stand still":
            time.sleep(3600)
        if request == "mistake":
            raise KeyError("no such thing")
        if memory is not None:
            memory[: len(request)] = request
        return request


class SlowFolder(ImageFolder):
    """Takes so many seconds for each case."""

    def __init__(self, root, seconds):
        super().__init__(root=root)
        self.seconds = seconds

    def read(self, case):
        time.sleep(self.seconds)
        return super().read(case)


class Poisoned(Augment):
    """Fails, or kills its process, at one case's mask: the one with the most foreground."""

    def __init__(self, task, limit, deed):
        super().__init__(task)
        self.limit, self.deed = limit, deed

    def __call__(self, image, mask, rng, spacing=None):
        if (mask == 1).sum() == self.limit:
            if self.deed == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ZeroDivisionError("one pixel too many")
        return super().__call__(image, mask, rng, spacing)
