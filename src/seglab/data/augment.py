"""Random changes of training samples. What is drawn depends on the generator that is given, and on nothing else.

Mirror images and quarter turns are exact in 2D and 3D; affine and elastic changes are 2D and come from albumentations;
changes of intensity are ours, since normalised images are not confined to 0..1. A mask moves with its image by nearest
neighbour, and where the image is left, it holds the label to ignore.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Sequence
from itertools import combinations
from typing import Any, Protocol

import numpy as np
from scipy import ndimage

from seglab.constraints import Fraction, NonNegativeFloat, Probability
from seglab.errors import ConfigError
from seglab.task import Task

Pair = tuple[np.ndarray, np.ndarray]
# A deformation of some 2 pixels over distances of some 6: that of soft tissue and cells, too small to tear thin parts.
_ELASTIC_STRENGTH, _ELASTIC_SMOOTHING = 40.0, 6.0


class Augmentation(Protocol):
    """What a sampler calls for each training sample.

    Attributes:
        mix: share of samples into which the sampler has a box of another training sample pasted.
    """

    mix: float

    def __call__(
        self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator, spacing: Sequence[float] | None = None
    ) -> Pair:
        """A changed copy of an image `(*size, C)` float32 and its mask `(*size)`; `spacing` in mm along each axis."""

    def paste(
        self,
        image: np.ndarray,
        mask: np.ndarray,
        other_image: np.ndarray,
        other_mask: np.ndarray,
        rng: np.random.Generator,
    ) -> Pair:
        """A copy in which a box shows another sample of the same shape."""


def none(task: Task) -> None:
    """No change at all."""


class Augment:
    """Mirror images, quarter turns, affine and elastic change, then brightness, contrast, gamma, blur and noise.

    Call with an image `(*size, C)` float32 after normalisation, its mask `(*size)` and a generator; returns arrays
    of the same shapes and types and leaves the given ones as they are. Strengths of intensity changes are in standard
    deviations of the image itself, so they mean the same after every normalisation. Safe to call from several threads.

    Args:
        task: rank and ignore label.
        axes: spatial axes along which no direction is special: mirror images are taken along them, quarter turns in
            the planes between them. None: both of an image, the first (left to right) of a volume, since in a body
            front and back or head and feet do not change places.
        flip: probability of a mirror image, for each of `axes`.
        rotate90: probability of a quarter turn, for each plane between two of `axes` whose sides are equal.
        affine: probability of a rotation by up to `rotate_degrees` and a scaling by up to `scale` (2D).
        rotate_degrees: largest angle either way, in degrees.
        scale: largest relative change of size either way, of each axis.
        elastic: probability of a smooth deformation by some 2 pixels (Simard et al. 2003) (2D).
        intensity: probability of each of the five changes below.
        brightness: largest shift, in standard deviations.
        contrast: largest relative change of the distance from the mean.
        gamma: largest change of the exponent either way, on the image brought to 0..1.
        noise: largest standard deviation of added Gaussian noise, in standard deviations.
        blur: largest standard deviation of a Gaussian blur, in pixels or voxels.
        mix: share of samples into which a box of another training sample is pasted, see `paste`.

    Raises:
        ConfigError: an axis that the data does not have, or a scaling to nothing.
    """

    def __init__(
        self,
        task: Task,
        *,
        axes: Sequence[int] | None = None,
        flip: Probability = 0.5,
        rotate90: Probability = 0.5,
        affine: Probability = 0.0,
        rotate_degrees: NonNegativeFloat = 15.0,
        scale: Fraction = 0.1,
        elastic: Probability = 0.0,
        intensity: Probability = 0.2,
        brightness: NonNegativeFloat = 0.2,
        contrast: Fraction = 0.2,
        gamma: Fraction = 0.2,
        noise: NonNegativeFloat = 0.1,
        blur: NonNegativeFloat = 0.5,
        mix: Probability = 0.0,
    ):
        chosen = ((0, 1) if task.rank == 2 else (0,)) if axes is None else tuple(axes)
        if len(set(chosen)) != len(chosen) or any(axis not in range(task.rank) for axis in chosen):
            raise ConfigError(
                "axes that the data does not have",
                where="augment.axes",
                found=list(chosen),
                expected=f"different axes from 0 to {task.rank - 1}",
                remedy="name spatial axes, the first is 0, or null for the usual ones",
            )
        if scale == 1:
            raise ConfigError(
                "a scaling to nothing", where="augment.scale", found=scale, expected="below 1", remedy="such as 0.25"
            )
        self.mix = mix
        self._rank, self._ignore_label = task.rank, task.ignore_label
        self._axes, self._flip, self._rotate90 = tuple(sorted(chosen)), flip, rotate90
        self._intensity, self._brightness, self._contrast = intensity, brightness, contrast
        self._gamma, self._noise, self._blur = gamma, noise, blur
        self._warp = (affine, rotate_degrees, scale, elastic)
        self._warps = task.rank == 2 and (affine > 0 or elastic > 0)
        # albumentations keeps the generator in its pipeline, which threads must not share.
        self._own = threading.local()

    def __call__(
        self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator, spacing: Sequence[float] | None = None
    ) -> Pair:
        image, mask = self._turned(image, mask, rng)
        if self._warps:
            image, mask = self._warped(image, mask, rng)
        return self._recoloured(image, rng), mask

    def paste(
        self,
        image: np.ndarray,
        mask: np.ndarray,
        other_image: np.ndarray,
        other_mask: np.ndarray,
        rng: np.random.Generator,
    ) -> Pair:
        """A copy in which a box shows the other sample, image and mask alike (CutMix, Yun et al. 2019).

        The box holds a share of the volume drawn evenly from 0..1, less what sticks out: its middle lies anywhere.

        Raises:
            ValueError: samples of different shapes.
        """
        if image.shape != other_image.shape or mask.shape != other_mask.shape:
            raise ValueError(f"samples of different shapes: {image.shape}, {other_image.shape}")
        side = rng.random() ** (1 / mask.ndim)
        middles = rng.random(mask.ndim)
        box = tuple(
            slice(max(round((middle - side / 2) * n), 0), min(round((middle + side / 2) * n), n))
            for middle, n in zip(middles, mask.shape, strict=True)
        )
        image, mask = image.copy(), mask.copy()
        image[box], mask[box] = other_image[box], other_mask[box]
        return image, mask

    def _turned(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        flipped = tuple(axis for axis in self._axes if rng.random() < self._flip)
        image, mask = np.flip(image, flipped), np.flip(mask, flipped)
        for plane in combinations(self._axes, 2):
            turns = int(rng.integers(1, 4))
            if rng.random() < self._rotate90 and mask.shape[plane[0]] == mask.shape[plane[1]]:
                image, mask = np.rot90(image, turns, plane), np.rot90(mask, turns, plane)
        return image, mask

    def _warped(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        if not hasattr(self._own, "pipeline"):
            self._own.pipeline = _warp_pipeline(*self._warp, self._ignore_label)
        self._own.pipeline.set_random_state(rng, random.Random(int(rng.integers(2**63))))
        done = self._own.pipeline(image=np.ascontiguousarray(image), mask=np.ascontiguousarray(mask))
        return done["image"].reshape(image.shape), done["mask"]

    def _recoloured(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        # The same numbers are drawn whatever is chosen, so that one probability does not shift the other draws.
        brighter, steeper, bent, blurred, noisy = rng.random(5) < self._intensity
        amounts = rng.uniform(-1, 1, 5)
        if not (brighter or steeper or bent or blurred or noisy):
            return image
        mean, deviation = float(image.mean(dtype=np.float64)), float(image.std(dtype=np.float64))
        if brighter or steeper:
            slope = 1 + amounts[1] * self._contrast if steeper else 1.0
            shift = amounts[0] * self._brightness * deviation if brighter else 0.0
            image = image * np.float32(slope) + np.float32(mean * (1 - slope) + shift)
        if bent:
            low, high = float(image.min()), float(image.max())
            span = np.float32(max(high - low, 1e-6))
            image = ((image - np.float32(low)) / span) ** np.float32(1 + amounts[2] * self._gamma) * span
            image += np.float32(low)
        if blurred:
            sigmas = (abs(amounts[3]) * self._blur,) * self._rank + (0,)
            image = ndimage.gaussian_filter(image, sigmas, truncate=3.0)
        if noisy:
            spread = np.float32(abs(amounts[4]) * self._noise * deviation)
            image = image + rng.standard_normal(image.shape, dtype=np.float32) * spread
        return image


def _warp_pipeline(affine: float, rotate_degrees: float, scale: float, elastic: float, ignore_label: int) -> Any:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network for its newest version
    import albumentations as A

    border: dict[str, Any] = {"fill": 0, "fill_mask": ignore_label}
    turn, size = (-rotate_degrees, rotate_degrees), (1 - scale, 1 + scale)
    return A.Compose(
        [
            A.Affine(rotate=turn, scale={"x": size, "y": size}, p=affine, **border),
            A.ElasticTransform(alpha=_ELASTIC_STRENGTH, sigma=_ELASTIC_SMOOTHING, p=elastic, **border),
        ]
    )
