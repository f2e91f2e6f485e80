"""What a bundle's model answers to an image of nobody's: kept with it, and asked again where it has arrived."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seglab.errors import DataError
from seglab.inference.bundle import Bundle
from seglab.inference.example import example_image

if TYPE_CHECKING:
    from seglab.inference.predictor import Predictor

# Logits that are kept; of more, every so-manieth along each axis.
_KEPT = 1 << 18


@dataclass(frozen=True)
class Expected:
    """An image with what the network and the predictor answer.

    Attributes:
        image: `(*size, C)`, raw.
        logits: of every `step`-th pixel along each axis, `(…, K)` float32.
        mask: `(*size)` class ids.
        step: see `logits`.
    """

    image: np.ndarray
    logits: np.ndarray
    mask: np.ndarray
    step: int


def expected_of(predictor: Predictor, bundle: Bundle) -> Expected:
    """What a predictor answers; raises `DataError` where it gives no numbers."""
    image = example_image(bundle)
    if bundle.mixed:  # there is no one network whose logits these could be
        nothing = np.empty((0,) * (bundle.task.rank + 1), np.float32)
        return Expected(image, nothing, predictor.predict(image, predictor.example_spacing), 1)
    logits = predictor.network.logits(predictor.inputs(image, predictor.example_spacing))[0]
    step = max(1, math.ceil((logits.size / _KEPT) ** (1 / bundle.task.rank)))
    some = logits[(slice(None, None, step),) * bundle.task.rank]
    return Expected(image, some, predictor.predict(image, predictor.example_spacing), step)


def write_expected(file: Path, expected: Expected) -> None:
    """Keep it as an NPZ, the same for the same arrays."""
    np.savez_compressed(
        file, image=expected.image, logits=expected.logits, mask=expected.mask, step=np.array(expected.step)
    )


def read_expected(file: Path) -> Expected:
    """The inverse of `write_expected`; nothing is unpickled.

    Raises:
        DataError: no such file, or another.
    """
    try:
        with np.load(file, allow_pickle=False) as found:
            return Expected(found["image"], found["logits"], found["mask"], int(found["step"]))
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise DataError(
            "a bundle's example that cannot be read",
            code="bundle-damaged",
            where=str(file),
            found=f"{type(error).__name__}: {error}"[:200],
            expected="image, logits, mask and step, as they were saved",
            remedy="copy the bundle again from where it was saved",
        ) from error


def answers_as_saved(predictor: Predictor, bundle: Bundle, file: Path) -> tuple[float, float]:
    """Largest difference of a logit, and share of pixels of another class, from what a bundle was saved with."""
    saved = read_expected(file)
    if bundle.mixed:
        return 0.0, float((predictor.predict(saved.image, predictor.example_spacing) != saved.mask).mean())
    logits = predictor.network.logits(predictor.inputs(saved.image, predictor.example_spacing))[0]
    some = logits[(slice(None, None, saved.step),) * bundle.task.rank]
    mask = predictor.predict(saved.image, predictor.example_spacing)
    return float(np.abs(some - saved.logits).max()), float((mask != saved.mask).mean())
