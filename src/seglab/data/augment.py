"""Random changes of training samples. What is drawn depends on the generator that is given, and on nothing else.

Flips and quarter turns are exact in 2D and 3D; affine and elastic changes are 2D and come from albumentations;
changes of intensity are ours, since normalised images are not confined to 0..1. A mask moves with its image by nearest
neighbour, and where the image is left, it holds the label to ignore.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from scipy import ndimage

from seglab.constraints import Fraction, NonNegativeFloat, Probability
from seglab.errors import ConfigError
from seglab.task import Task

Augmentation = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]


def none(task: Task) -> None:
    """No change at all."""


class Augment:
    """Flips, quarter turns, affine and elastic change, then brightness, contrast, gamma, blur and noise.

    Call with an image `(*size, C)` float32 after normalisation, its mask `(*size)` and a generator; returns new arrays
    of the same shapes and types. Strengths of intensity changes are in standard deviations of the image itself, so
    they mean the same after every normalisation.

    Args:
        task: rank and ignore label.
        flip: probability of a mirror image, for each axis of `flip_axes`.
        flip_axes: spatial axes that may be mirrored; None for all.
        rotate90: probability of a quarter turn, in planes whose sides are equal.
        affine: probability of a rotation by up to `rotate_degrees` and a scaling by up to `scale` (2D).
        rotate_degrees: largest angle either way, in degrees.
        scale: largest relative change of size either way.
        elastic: probability of a smooth deformation (Simard et al. 2003) (2D).
        intensity: probability of each of the five changes below.
        brightness: largest shift, in standard deviations.
        contrast: largest relative change of the distance from the mean.
        gamma: largest change of the exponent either way, on the image brought to 0..1.
        noise: largest standard deviation of added Gaussian noise, in standard deviations.
        blur: largest standard deviation of a Gaussian blur, in pixels or voxels.

    Raises:
        ConfigError: an axis that the data does not have.
    """

    def __init__(
        self,
        task: Task,
        *,
        flip: Probability = 0.5,
        flip_axes: Sequence[int] | None = None,
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
    ):
        axes = tuple(range(task.rank)) if flip_axes is None else tuple(flip_axes)
        if any(axis not in range(task.rank) for axis in axes):
            raise ConfigError(
                "an axis that the data does not have",
                where="augment.flip_axes",
                found=list(axes),
                expected=f"axes from 0 to {task.rank - 1}",
                remedy="name spatial axes, the first is 0, or null for all",
            )
        self.task, self.flip, self.flip_axes, self.rotate90 = task, flip, axes, rotate90
        self.intensity, self.brightness, self.contrast = intensity, brightness, contrast
        self.gamma, self.noise, self.blur = gamma, noise, blur
        self._warp_settings = (affine, rotate_degrees, scale, elastic)

    def __call__(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        image, mask = self._mirrored(image, mask, rng)
        if self.task.rank == 2 and (self._warp_settings[0] or self._warp_settings[3]):
            image, mask = self._warped(image, mask, rng)
        return np.ascontiguousarray(self._recoloured(image, rng), np.float32), np.ascontiguousarray(mask)

    def _mirrored(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        axes = tuple(axis for axis in self.flip_axes if rng.random() < self.flip)
        image, mask = np.flip(image, axes), np.flip(mask, axes)
        for plane in combinations(range(self.task.rank), 2):
            turns = int(rng.integers(1, 4))
            if rng.random() < self.rotate90 and mask.shape[plane[0]] == mask.shape[plane[1]]:
                image, mask = np.rot90(image, turns, plane), np.rot90(mask, turns, plane)
        return image, mask

    def _warped(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        # A pipeline of its own for each call: albumentations keeps the state of its generator in the pipeline, which
        # worker threads would otherwise share.
        pipeline = _warp(*self._warp_settings, self.task.ignore_label)
        pipeline.set_random_seed(int(rng.integers(2**31)))
        done = pipeline(image=np.ascontiguousarray(image), mask=np.ascontiguousarray(mask, np.uint8))
        return done["image"].reshape(image.shape), done["mask"]

    def _recoloured(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        chosen = rng.random(5) < self.intensity
        amounts = rng.uniform(-1, 1, 5)
        deviation = float(image.std()) or 1.0
        if chosen[0]:
            image = image + np.float32(amounts[0] * self.brightness * deviation)
        if chosen[1]:
            mean = image.mean(dtype=np.float64)
            image = (image - np.float32(mean)) * np.float32(1 + amounts[1] * self.contrast) + np.float32(mean)
        if chosen[2]:
            low, high = float(image.min()), float(image.max())
            span = max(high - low, 1e-6)
            image = ((image - low) / span) ** np.float32(1 + amounts[2] * self.gamma) * span + low
        if chosen[3]:
            sigmas = (abs(amounts[3]) * self.blur,) * self.task.rank + (0,)
            image = ndimage.gaussian_filter(image, sigmas, truncate=3.0)
        if chosen[4]:
            spread = np.float32(abs(amounts[4]) * self.noise * deviation)
            image = image + rng.standard_normal(image.shape, dtype=np.float32) * spread
        return image


def _warp(affine: float, rotate_degrees: float, scale: float, elastic: float, ignore_label: int) -> Any:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network for its newest version
    import albumentations as A

    border: dict[str, Any] = {"fill": 0, "fill_mask": ignore_label}
    return A.Compose(
        [
            A.Affine(rotate=(-rotate_degrees, rotate_degrees), scale=(1 - scale, 1 + scale), p=affine, **border),
            A.ElasticTransform(alpha=40, sigma=6, p=elastic, **border),
        ]
    )
