"""Normalisation: fitted on the training split, stored with the weights, applied the same way everywhere.

It comes first: an image is normalised at its original size, and only then resized, padded or cut into patches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np

from seglab.data.cases import Case, Source
from seglab.errors import ConfigError, DataError, nearest

Mode = Literal["scale", "standard", "zscore"]
LOW_PERCENTILE, HIGH_PERCENTILE = 0.5, 99.5
# A channel with less spread than this is constant; dividing by it would only blow up rounding errors.
SMALLEST_SPREAD = 1e-6


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes what the model sees.

    Modes, per channel:

    - `scale`: `x / unit`, so 0..1 for whole-number images;
    - `standard`: `(x / unit − mean) / std` with mean and std of the training pixels;
    - `zscore`: each image clipped to its own 0.5–99.5 percentiles, then to mean 0 and standard deviation 1;
      for scanners whose numbers mean nothing across images, such as MRI. A constant channel becomes 0.

    Attributes:
        mode: one of the above.
        channels: channels C that the model was made for.
        unit: the largest value of the training images' number type (255 for 8 bit, 65535 for 16 bit, 1 for floats).
            An image of 8 or 16 bit is divided by the largest value of its own type, any other (float, int64) by
            `unit`: it is taken to hold the numbers that the training files held.
        mean, std: per channel after division by the unit; 0 and 1 unless `standard`.
    """

    mode: Mode
    channels: int
    unit: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise ConfigError(
                "an unknown normalisation",
                where="data.normalize",
                found=self.mode,
                expected="one of " + ", ".join(get_args(Mode)),
                remedy=nearest(str(self.mode), get_args(Mode)),
            )
        object.__setattr__(self, "mean", tuple(self.mean) or (0.0,) * self.channels)
        object.__setattr__(self, "std", tuple(self.std) or (1.0,) * self.channels)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Normalise `(…, C)` of any number type; returns a new float32 array of the same shape.

        Raises:
            DataError: another number of channels than the model was made for.
        """
        if image.shape[-1] != self.channels:
            raise DataError(
                "an image with another number of channels than the training images",
                where="image",
                found=f"shape {image.shape}: {image.shape[-1]} channels",
                expected=f"{self.channels} in the last axis",
                remedy="convert it, or train on such images",
            )
        if self.mode == "zscore":
            return _zscore(image)
        scaled: np.ndarray = image.astype(np.float32) / np.float32(unit_of(image.dtype, self.unit))
        if self.mode == "standard":
            scaled = (scaled - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        return scaled

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` gives the same preprocessing, bit for bit."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """The preprocessing that `to_dict` wrote."""
        return cls(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})


def fit_preprocessing(source: Source, cases: Sequence[Case], mode: Mode) -> Preprocessing:
    """Preprocessing of `mode`, with what it needs taken from `cases`, which must be the training split."""
    channels = source.task.channels
    if mode == "zscore":
        return Preprocessing(mode, channels)
    unit, pixels = 0.0, 0
    total, squares = np.zeros(channels), np.zeros(channels)
    for case in cases:
        image = source.read(case).image
        unit = max(unit, unit_of(image.dtype, 1.0))
        if mode == "standard":
            flat = image.reshape(-1, channels).astype(np.float64) / unit_of(image.dtype, 1.0)
            pixels += len(flat)
            total += flat.sum(axis=0)
            squares += np.square(flat).sum(axis=0)
    if mode != "standard" or not pixels:
        return Preprocessing(mode, channels, unit or 1.0)
    mean = total / pixels
    std = np.sqrt(np.maximum(squares / pixels - mean**2, 0))
    std = np.where(std < SMALLEST_SPREAD, 1.0, std)
    return Preprocessing(mode, channels, unit, tuple(map(float, mean)), tuple(map(float, std)))


def unit_of(dtype: np.dtype, for_floats: float) -> float:
    """The value that stands for full brightness: 255 or 65535 of an image of 8 or 16 bit, 1 of a binary one.

    Of every other type it is `for_floats`: signed and wide integers are what arithmetic or JSON made of an image.
    """
    if dtype.kind == "b":
        return 1.0
    return float(np.iinfo(dtype).max) if dtype.kind == "u" and dtype.itemsize <= 2 else for_floats


def _zscore(image: np.ndarray) -> np.ndarray:
    flat = image.reshape(-1, image.shape[-1]).astype(np.float64)
    low, high = np.percentile(flat, [LOW_PERCENTILE, HIGH_PERCENTILE], axis=0)
    clipped = np.clip(flat, low, high)
    mean, std = clipped.mean(axis=0), clipped.std(axis=0)
    # Relative to the size of the numbers: a constant image of 1e6 has rounding errors, not contrast.
    constant = std <= SMALLEST_SPREAD * np.maximum(np.abs(mean), 1e-30)
    result = (clipped - mean) / np.where(constant, 1.0, std)
    return np.where(constant, 0.0, result).astype(np.float32).reshape(image.shape)
