"""What a predictor needs of a network, whatever runs it: images of one size in, logits out.

What logits mean is told once more here, in numpy, for runtimes other than Keras; see `seglab.models.heads`.
"""

from __future__ import annotations

import math
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.special import expit

from seglab.task import Task

Forward = Callable[[np.ndarray], np.ndarray]
"""`(B, *size, C)` float32 to `(B, *size, …)` float32."""
Answer = Literal["deciding", "probabilities", "drawing"]
"""What is made of logits: the probabilities that a mask is made of (of each class, or of the foreground alone for a
binary task); the probabilities of all classes; or the former and, after them, the logarithms of the latter."""


class LoadedNetwork(ABC):
    """A network that is loaded and runs.

    Attributes:
        name: of what runs it, as `seglab.inference.backends.BACKENDS` has it.
        size: spatial size of its input.
        channels: C of its input.
        outputs: channels of its logits.
        precision: that its convolutions are executed in, read back from the runtime and not what was asked for:
            `float32`, `bfloat16`, `float16` or `int8`.
    """

    name: str
    size: tuple[int, ...]
    channels: int
    outputs: int
    precision: str

    @abstractmethod
    def logits(self, images: np.ndarray) -> np.ndarray:
        """`(B, *size, C)` float32 to logits `(B, *size, outputs)` float32, for any B."""

    def close(self) -> None:  # noqa: B027
        """Let the memory go; a network that is closed is not asked again."""

    def answering(self, answer: Answer, task: Task, temperature: float = 1.0) -> Forward:
        """The network with an activation.

        Args:
            answer: what is wanted.
            task: tells whether the head is a sigmoid or a softmax.
            temperature: logits are divided by it.
        """
        activation = _ACTIVATIONS[answer]

        def forward(images: np.ndarray) -> np.ndarray:
            logits = self.logits(images)
            with np.errstate(invalid="ignore", over="ignore"):  # an infinite logit has no answer, which is told later
                return activation(logits if temperature == 1 else logits / np.float32(temperature), task)

        return forward


class OneByOne(LoadedNetwork):
    """A network whose file holds one fixed shape: one image at a time, `(1, *size, C)`. Threads ask in turn."""

    @cached_property
    def _turn(self) -> threading.Lock:
        return threading.Lock()

    @abstractmethod
    def run(self, one: np.ndarray) -> np.ndarray:
        """What the file returns for one input as it stands, of its own shape and type; valid until the next call."""

    def logits(self, images: np.ndarray) -> np.ndarray:
        found = np.empty((len(images), *self.size, self.outputs), np.float32)
        with self._turn:
            for image, target in zip(images, found, strict=True):
                target[...] = self.run(image[None])[0]
        return found


def probabilities(logits: np.ndarray, task: Task) -> np.ndarray:
    """Class probabilities `(…, K)` float32 of logits `(…, task.logit_channels)`; of regions, as many as these."""
    if task.binary:
        return np.concatenate([expit(-logits), expit(logits)], axis=-1)
    if task.regions:
        return np.asarray(expit(logits))
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shifted /= shifted.sum(axis=-1, keepdims=True)
    return shifted


def log_probabilities(logits: np.ndarray, task: Task) -> np.ndarray:
    """Logarithms of the class probabilities `(…, K)` float32, exact however small these are; of R regions `(…, 2 R)`:
    to be in each, then to be outside of each."""
    zero = np.float32(0)
    if task.binary:
        return np.concatenate([-np.logaddexp(zero, logits), -np.logaddexp(zero, -logits)], axis=-1)
    if task.regions:
        return np.concatenate([-np.logaddexp(zero, -logits), -np.logaddexp(zero, logits)], axis=-1)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def deciding(logits: np.ndarray, task: Task) -> np.ndarray:
    """The probabilities that a mask is made of: `(…, 1)` of the foreground for a binary task, else `(…, K)`."""
    return expit(logits) if task.binary else probabilities(logits, task)


_ACTIVATIONS: dict[Answer, Callable[[np.ndarray, Task], np.ndarray]] = {
    "deciding": deciding,
    "probabilities": probabilities,
    "drawing": lambda logits, task: np.concatenate([deciding(logits, task), log_probabilities(logits, task)], axis=-1),
}


def own_threads(group: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores that this process may run on, of which a container may have less time than they give (cgroup v2)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = (group / "cpu.max").read_text().split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):  # no container, or one without a quota: `max`
        return max(1, cores)
