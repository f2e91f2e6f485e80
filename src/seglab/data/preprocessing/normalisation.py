"""Normalisation: fitted on the training split, stored with the weights, applied the same way everywhere.

An image is resampled and resized in its own numbers first, then normalised; borders and patches come after it, so that
the 0 of a border is the mean where there is one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from seglab.data.mask_channels import is_mask, one_hot
from seglab.data.preprocessing.case_fingerprint import CaseFingerprint
from seglab.data.preprocessing.case_preprocessing import CaseStore
from seglab.data.preprocessing.channel_check import check_channels
from seglab.data.preprocessing.intensity_stats import HIGH_PERCENTILE, LOW_PERCENTILE, IntensityStats
from seglab.data.preprocessing.value_scale import IN_WORDS, Scale, common_scale, scales_of
from seglab.errors import ConfigError, DataError, nearest
from seglab.task import Task

Mode = Literal["scale", "standard", "zscore", "window"]
# A channel with less spread than this is constant; dividing by it would only blow up rounding errors.
SMALLEST_SPREAD = 1e-6
# Enough voxels of a case for percentiles; all of a large organ in all cases would fill the memory.
MOST_VOXELS = 100_000
_FACTORS = {
    "bytes": "of 16 bits by division by 257, of floats from 0 to 1 by 255 times",
    "words": "of 8 bits by 257 times, of floats from 0 to 1 by 65535 times",
    "shares": "of 8 bits by division by 255, of 16 bits by 65535",
}


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes what the model sees.

    Modes, per channel:

    - `scale`: `x / unit`, so 0..1 for whole-number images;
    - `standard`: `(x / unit − mean) / std` with mean and std of the training pixels;
    - `zscore`: each image clipped to its own 0.5–99.5 percentiles, then to mean 0 and standard deviation 1;
      for scanners whose numbers mean nothing across images, such as MRI. A constant channel becomes 0;
    - `window`: `x / unit` clipped to `low`..`high`, the 0.5 and 99.5 percentiles of the training foreground (the scored
      classes), then to mean 0 and standard deviation 1 of what that foreground is after clipping; for numbers with a
      meaning, such as the Hounsfield units of CT (after Isensee et al. 2021, https://doi.org/10.1038/s41592-020-01008-z).

    Attributes:
        mode: one of the above.
        channels: channels C that the model was made for.
        unit: what every number is divided by, whatever type it is stored in: 255, 65535 or 1; see
            `seglab.data.preprocessing.value_scale`.
        mean, std: per channel after division by the unit; 0 and 1 unless `standard` or `window`.
        low, high: per channel after division by the unit, of `window`; otherwise empty.
        scale: what the numbers of the data set count in. "own" is of bundles of before there was one unit: an image of
            8 or 16 bit is divided by the largest value of its own type, any other by `unit`.
        prompts: channels behind those of the image that pass as they are: a prompt, see `seglab.data.prompts`.
        previous: foreground classes of the first stage whose mask lies behind the channels of the image, one channel of
            class ids, and becomes a channel for each of them; 0 where there is no first stage.
    """

    mode: Mode
    channels: int
    unit: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    scale: Scale = "own"
    prompts: int = 0
    previous: int = 0

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise ConfigError(
                "an unknown normalisation",
                code="unknown-normalization",
                where="data.normalize",
                found=self.mode,
                expected="one of " + ", ".join(get_args(Mode)),
                remedy=nearest(str(self.mode), get_args(Mode)),
            )
        object.__setattr__(self, "mean", tuple(self.mean) or (0.0,) * self.channels)
        object.__setattr__(self, "std", tuple(self.std) or (1.0,) * self.channels)

    @property
    def of_images(self) -> Preprocessing:
        """The same for an image without a prompt, and without a first stage's mask."""
        return replace(self, prompts=0, previous=0)

    @property
    def image_channels(self) -> int:
        """Channels of an image with its prompt, without a first stage's mask."""
        return self.channels + self.prompts

    @property
    def given_channels(self) -> int:
        """Channels of what `apply` takes."""
        return self.image_channels + bool(self.previous)

    @property
    def network_channels(self) -> int:
        """Channels of what `apply` gives."""
        return self.image_channels + self.previous

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Normalise `(…, C)` of any number type; returns a new float32 array `(…, C)`, or what a mask of a first stage
        makes of the channels.

        Raises:
            DataError: another number of channels than the model was made for; no prompt, or no mask of a first stage,
                for one that needs it.
        """
        if self.previous:
            self.check_previous(image)
            of_image = self.of_images.apply(image[..., :-1])
            return np.concatenate([of_image, one_hot(image[..., -1], self.previous)], axis=-1)
        if self.prompts:
            seen, prompt = np.split(image, [self.channels], axis=-1)
            if prompt.shape[-1] != self.prompts:
                raise DataError(
                    "a promptable network, and an image without a prompt",
                    code="image-without-prompt",
                    where="image",
                    found=f"{image.shape[-1]} channels",
                    expected=f"{self.channels} of the image and {self.prompts} of a prompt",
                    remedy="ask it for one object at a time: seglab segment model=click_unet checkpoint=<its bundle> …",
                )
            return np.concatenate([self.of_images.apply(seen), prompt.astype(np.float32)], axis=-1)
        check_channels(image.shape, self.channels)
        if self.mode == "zscore":
            return _zscore(image)
        scaled: np.ndarray = image.astype(np.float32) / np.float32(self._unit_of(image.dtype))
        if self.mode == "window":
            np.clip(scaled, np.asarray(self.low, np.float32), np.asarray(self.high, np.float32), out=scaled)
        if self.mode in ("standard", "window"):
            scaled = (scaled - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        return scaled

    def check_previous(self, image: np.ndarray) -> None:
        """Refuse an image without the first stage's mask, where there is a first stage; raises `DataError`."""
        behind = image.shape[-1] == self.given_channels
        if self.previous and not (behind and is_mask(image[..., -1], self.previous)):
            raise DataError(
                "a second stage, and an image without the first stage's mask",
                code="image-without-previous-stage",
                where="image",
                found=f"{image.shape[-1]} channel(s){', the last not of class ids' * behind}",
                expected=f"{self.channels} of the image, and the first stage's mask as the last",
                remedy="take the bundle of both stages, which seglab ensemble study=<second stage> writes",
            )

    def check_scale(self, image: np.ndarray) -> None:
        """Refuse an image whose numbers cannot be on the scale of the training images.

        Raises:
            DataError: such as 16 bits that are used, or floats of 0 to 1, for a model of 8-bit images.
        """
        if self.mode == "zscore" or self.scale in ("own", "mixed") or not image.size:
            return
        self.check_range(image.dtype, float(image.min()), float(image.max()))

    def check_range(self, dtype: np.dtype, low: float, high: float) -> None:
        """The same for an image that is known by its smallest and largest number."""
        if self.mode == "zscore" or self.scale in ("own", "mixed") or self.scale in scales_of(dtype, low, high):
            return
        raise DataError(
            "an image on another scale than the training images",
            code="image-scale",
            where="image",
            found=f"{dtype} values from {low:g} to {high:g}",
            expected=IN_WORDS[self.scale],
            remedy=f"rescale its numbers to that, {_FACTORS.get(self.scale, 'as the training images were')}; or"
            " train with data.normalize=zscore, which takes each image on its own scale",
        )

    def of_binary(self, image: np.ndarray) -> np.ndarray:
        """A black and white image in numbers of the training images, white at full brightness."""
        full = 255.0 if self.scale == "own" else self.unit
        return image * {255.0: np.uint8(255), 65535.0: np.uint16(65535)}.get(full, np.float32(full))

    def _unit_of(self, dtype: np.dtype) -> float:
        if dtype.kind == "b":
            return 1.0
        by_type = self.scale == "own" and dtype.kind == "u" and dtype.itemsize <= 2
        return float(np.iinfo(dtype).max) if by_type else self.unit

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` gives the same preprocessing, bit for bit."""
        values = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        for name in ("prompts", "previous"):
            if not values[name]:
                del values[name]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """The preprocessing that `to_dict` wrote."""
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**plain)


def fit_preprocessing(
    arrays: CaseStore, task: Task, cases: Sequence[str], mode: Mode, facts: Mapping[str, CaseFingerprint]
) -> Preprocessing:
    """Preprocessing of `mode`, with what it needs taken from `cases`, which must be the training split.

    Args:
        arrays: the images as they will be normalised; only `window` reads them.
        task: channels, and which classes are foreground.
        cases: ids of the training cases.
        mode: of `Preprocessing`.
        facts: of each case of the data set by its id; all of them say what its numbers count in.

    Raises:
        DataError: `window` without a single foreground voxel.
    """
    channels = task.channels
    if mode == "zscore":
        return Preprocessing(mode, channels)
    scale, unit = common_scale(facts.values())
    if mode == "window":
        return replace(_fit_window(arrays, task, cases, unit), scale=scale)
    if mode == "scale" or not cases:
        return Preprocessing(mode, channels, unit, scale=scale)
    known = [facts[case] for case in cases]
    pixels = [math.prod(one.shape) for one in known]
    means = np.array([one.intensity.mean for one in known]) / unit
    stds = np.array([one.intensity.std for one in known]) / unit
    mean = np.average(means, axis=0, weights=pixels)
    variance = np.average(np.square(stds) + np.square(means), axis=0, weights=pixels) - mean**2
    std = _spread(np.sqrt(np.maximum(variance, 0)))
    return Preprocessing(mode, channels, unit, _numbers(mean), std, scale=scale)


def _fit_window(arrays: CaseStore, task: Task, cases: Sequence[str], unit: float) -> Preprocessing:
    found = []
    for case in cases:
        image, mask = arrays.read(case)
        voxels = image[..., : task.channels][np.isin(mask, task.scored)]
        found.append(voxels[:: -(-len(voxels) // MOST_VOXELS) or 1] / np.float32(unit))
    foreground = np.concatenate(found) if found else np.empty((0, task.channels))
    if not len(foreground):
        raise DataError(
            "no foreground in the training cases to take the window of intensities from",
            code="no-foreground-for-window",
            where="data.normalize",
            found=f"no voxel of {', '.join(task.class_names[k] for k in task.scored)} in {len(cases)} cases",
            remedy="check the labels, or data.normalize=zscore",
        )
    low, high = np.percentile(foreground, [LOW_PERCENTILE, HIGH_PERCENTILE], axis=0)
    clipped = np.clip(foreground, low, high).astype(np.float64)
    return Preprocessing(
        "window",
        task.channels,
        unit,
        _numbers(clipped.mean(axis=0)),
        _spread(clipped.std(axis=0)),
        _numbers(low),
        _numbers(high),
    )


def _spread(std: np.ndarray) -> tuple[float, ...]:
    """What to divide by: 1 for a constant channel."""
    return _numbers(np.where(std < SMALLEST_SPREAD, 1.0, std))


def _numbers(values: np.ndarray) -> tuple[float, ...]:
    return tuple(map(float, values))


def _zscore(image: np.ndarray) -> np.ndarray:
    flat = image.reshape(-1, image.shape[-1]).astype(np.float64)
    low, high = np.percentile(flat, [LOW_PERCENTILE, HIGH_PERCENTILE], axis=0)
    clipped = np.clip(flat, low, high)
    return _standardised(clipped, clipped.mean(axis=0), clipped.std(axis=0)).reshape(image.shape)


def zscore_by(part: np.ndarray, stats: IntensityStats) -> np.ndarray:
    """A part `(…, C)` of an image as `zscore` has it, by the statistics of the whole; float32."""
    clipped = np.clip(part.astype(np.float64), stats.low, stats.high)
    return _standardised(clipped, np.array(stats.clipped_mean), np.array(stats.clipped_std))


def _standardised(clipped: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    # Relative to the size of the numbers: a constant image of 1e6 has rounding errors, not contrast.
    constant = std <= SMALLEST_SPREAD * np.maximum(np.abs(mean), 1e-30)
    result = (clipped - mean) / np.where(constant, 1.0, std)
    return np.where(constant, 0.0, result).astype(np.float32)
