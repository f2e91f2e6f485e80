"""The augmentation of a run: what is done to a sample, in which order, and the settings that a config may give."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Literal, Protocol

import numpy as np

from seglab.config.types import Fraction, NonNegativeFloat, Strength
from seglab.data.augment.boxes import drop, paste
from seglab.data.augment.image_warps import ImageWarp
from seglab.data.augment.intensity import Intensity
from seglab.data.augment.volume_warps import VolumeWarp
from seglab.errors import ConfigError
from seglab.task import Task

Pair = tuple[np.ndarray, np.ndarray]


class Augmentation(Protocol):
    """What a sampler calls for each training sample.

    Attributes:
        mix: share of samples into which the sampler has a box of another training sample pasted.

    One that makes mirror images names their axes in `mirrored`, a tuple, so that the data check can look at them.
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
    """Mirror images and quarter turns, one warp, changes of intensity, and boxes without content.

    Call with an image `(*size, C)` float32 after normalisation, its mask `(*size)` and a generator; returns arrays
    of the same shapes and types and leaves the given ones as they are. With the `spacing` of a volume, rotation,
    scaling, deformation and blur are those of the body in mm; without it voxels are taken to be cubes. Pixels of images
    are taken to be square. Strengths of intensity changes are in standard deviations of the image itself, so they mean
    the same after every normalisation. Safe to call from several threads and to send to another process.

    Args:
        task: rank and ignore label.
        axes: spatial axes along which no direction is special: mirror images are taken along them, quarter turns in
            the planes between them. None: both of an image, the first (left to right) of a volume, since in a body
            front and back or head and feet do not change places. "all": every axis.
        flip: probability of a mirror image, for each of `axes`.
        rotate90: probability of a quarter turn, for each plane between two of `axes` with equal sides and spacing.
        affine: probability of a rotation, scaling and shift, all at once.
        rotate_degrees: largest angle either way, in degrees; in a volume about each of the three axes.
        scale: largest relative change of size either way, of all axes alike.
        shift: largest shift either way, as a share of each side.
        elastic: probability of a smooth deformation (Simard et al. 2003).
        elastic_pixels: its standard deviation, in pixels, or in a volume in voxels of the finest axis.
        grid: probability of stretching the 5 × 5 (× 5) cells of a grid by up to 30% along each axis.
        intensity: probability of each of the seven changes below.
        brightness: largest shift, in standard deviations.
        contrast: largest relative change of the distance from the mean.
        color: largest shift of each channel on its own, in standard deviations.
        gamma: largest change of the exponent either way, on the image brought to 0..1.
        bias: largest relative gain of a smooth uneven sensitivity, its largest loss being 1 / (1 + bias).
        noise: largest standard deviation of added Gaussian noise, in standard deviations.
        blur: largest standard deviation of a Gaussian blur, in pixels, or in a volume in voxels of the finest axis.
        dropout: probability of 1 to 8 boxes that show nothing but the mean; the mask keeps its labels.
        mix: share of samples into which a box of another training sample is pasted, see `paste`.

    Raises:
        ConfigError: an axis that the data does not have, or a scaling to nothing.
    """

    paste = staticmethod(paste)

    def __init__(
        self,
        task: Task,
        *,
        axes: Sequence[int] | Literal["all"] | None = None,
        flip: Fraction = 0.5,
        rotate90: Fraction = 0.5,
        affine: Fraction = 0.0,
        rotate_degrees: NonNegativeFloat = 15.0,
        scale: Fraction = 0.1,
        shift: Fraction = 0.0,
        elastic: Fraction = 0.0,
        elastic_pixels: Strength = 1.0,
        grid: Fraction = 0.0,
        intensity: Fraction = 0.2,
        brightness: Strength = 0.2,
        contrast: Fraction = 0.2,
        color: Strength = 0.0,
        gamma: Fraction = 0.2,
        bias: Strength = 0.0,
        noise: Strength = 0.1,
        blur: Strength = 0.5,
        dropout: Fraction = 0.0,
        mix: Fraction = 0.0,
    ):
        if scale == 1:
            raise ConfigError(
                "a scale factor that shrinks images to nothing",
                code="augmentation-scale",
                where="augment.scale",
                found=scale,
                expected="below 1",
                remedy="such as 0.25",
            )
        self.mix = mix
        self._rank, self._axes = task.rank, _chosen(axes, task.rank)
        self._flip, self._rotate90, self._dropout = flip, rotate90, dropout
        self.mirrored = self._axes if flip else ()
        warp = ImageWarp if task.rank == 2 else VolumeWarp
        settings = (task.ignore_label, affine, rotate_degrees, scale, shift, elastic, elastic_pixels, grid)
        self._warp = warp(*settings) if affine or elastic or grid else None
        self._recolour = Intensity(intensity, brightness, contrast, color, gamma, bias, noise, blur)

    def __call__(
        self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator, spacing: Sequence[float] | None = None
    ) -> Pair:
        steps = np.ones(self._rank) if spacing is None or self._rank == 2 else np.asarray(spacing, float)
        image, mask = self._turned(image, mask, rng, steps)
        if self._warp is not None:
            image, mask = self._warp(image, mask, rng, steps)
        image = self._recolour(image, rng, steps)
        if self._dropout and rng.random() < self._dropout:
            image = drop(image, rng)
        return image, mask

    def _turned(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator, steps: np.ndarray) -> Pair:
        flipped = tuple(axis for axis in self._axes if rng.random() < self._flip)
        image, mask = np.flip(image, flipped), np.flip(mask, flipped)
        for plane in combinations(self._axes, 2):
            turns = int(rng.integers(1, 4))
            alike = len({(mask.shape[axis], steps[axis]) for axis in plane}) == 1
            if rng.random() < self._rotate90 and alike:
                image, mask = np.rot90(image, turns, plane), np.rot90(mask, turns, plane)
        return image, mask


def _chosen(axes: Sequence[int] | Literal["all"] | None, rank: int) -> tuple[int, ...]:
    if axes is None:
        return (0, 1) if rank == 2 else (0,)
    if axes == "all":
        return tuple(range(rank))
    if len(set(axes)) != len(axes) or any(axis not in range(rank) for axis in axes):
        raise ConfigError(
            "augmentation axes that the data does not have",
            code="augmentation-axes",
            where="augment.axes",
            found=list(axes),
            expected=f"different axes from 0 to {rank - 1}",
            remedy="name spatial axes, the first is 0, or all, or null for the usual ones",
        )
    return tuple(sorted(int(axis) for axis in axes))
