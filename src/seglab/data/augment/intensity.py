"""Changes of intensity, for images and volumes. They are ours, since normalised images are not confined to 0..1."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.special import ndtri

from seglab.data.augment.splines import spread
from seglab.data.preprocessing.geometry import CHANNELS_AT_ONCE

BLUR_REACH = 3.0  # standard deviations
BIAS_DEGREE = 3
QUANTILES = ndtri((np.arange(2**16) + 0.5) / 2**16).astype(np.float32)  # of a standard normal distribution


@dataclass(frozen=True)
class Intensity:
    """Uneven gain, brightness, contrast, colour, gamma, blur and noise, each with `probability`.

    Strengths as those of `Augment`: in standard deviations of the image itself.
    """

    probability: float
    brightness: float
    contrast: float
    color: float
    gamma: float
    bias: float
    noise: float
    blur: float

    def __call__(self, image: np.ndarray, rng: np.random.Generator, spacing: np.ndarray) -> np.ndarray:
        """A changed copy of `(*size, C)` float32, or the image itself when nothing is drawn."""
        # The same numbers are drawn whatever is chosen, so that one probability does not shift the other draws.
        brighter, steeper, bent, blurred, noisy = rng.random(5) < self.probability
        amounts = rng.uniform(-1, 1, 5)
        tinted = self.color > 0 and rng.random() < self.probability
        uneven = self.bias > 0 and rng.random() < self.probability
        if uneven:
            image = biased(image, self.bias, rng)
        if not (brighter or steeper or tinted or bent or blurred or noisy):
            return image
        image = np.ascontiguousarray(image)
        mean, deviation = (float(n[0, 0]) for n in cv2.meanStdDev(image.reshape(-1, 1)))
        if brighter or steeper or tinted:
            slope = 1 + amounts[1] * self.contrast if steeper else 1.0
            shift = amounts[0] * self.brightness if brighter else 0.0
            tint = rng.uniform(-1, 1, image.shape[-1]) * self.color if tinted else 0.0
            image = image * np.float32(slope)
            image += np.float32(mean * (1 - slope) + (shift + tint) * deviation)
        if bent:
            image = bend(image, 1 + amounts[2] * self.gamma)
        if blurred:
            image = blur(image, abs(amounts[3]) * self.blur * spacing.min() / spacing)
        if noisy:
            noise = normal(image.shape, rng)
            noise *= np.float32(abs(amounts[4]) * self.noise * deviation)
            noise += image
            image = noise
        return image


def bend(image: np.ndarray, exponent: float) -> np.ndarray:
    """The image brought to 0..1, raised to the exponent, and brought back: its ends stay."""
    low, high, *_ = cv2.minMaxLoc(image.reshape(-1, 1))
    span = np.float32(max(high - low, 1e-6))
    image = (image - np.float32(low)) / span
    np.power(image, np.float32(exponent), out=image)
    image *= span
    image += np.float32(low)
    return image


def blur(image: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """Gaussian blur of `(*size, C)` by `sigmas` pixels or voxels along each axis; mirrored at the border."""
    if image.ndim == 3:
        return _blur_planes(image[None], sigmas)[0]
    image = _blur_planes(image, sigmas[1:])
    flat = image.reshape(len(image), -1)
    return cv2.sepFilter2D(flat, -1, _kernel(0), _kernel(sigmas[0]), borderType=cv2.BORDER_REFLECT).reshape(image.shape)


def _blur_planes(planes: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    across, along = _kernel(sigmas[1]), _kernel(sigmas[0])
    out = np.empty(planes.shape, np.float32)
    for first in range(0, planes.shape[-1], CHANNELS_AT_ONCE):
        some = slice(first, first + CHANNELS_AT_ONCE)
        for plane, to in zip(planes[..., some], out[..., some], strict=True):
            to[:] = cv2.sepFilter2D(plane, -1, across, along, borderType=cv2.BORDER_REFLECT).reshape(plane.shape)
    return out


def _kernel(sigma: float) -> np.ndarray:
    radius = int(BLUR_REACH * sigma + 0.5)
    return cv2.getGaussianKernel(2 * radius + 1, max(float(sigma), 1e-3), cv2.CV_32F)


def biased(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """The image's height over its darkest value times a smooth gain between 1 / (1 + strength) and 1 + strength.

    The gain's logarithm is a polynomial of third degree in each coordinate, like the uneven sensitivity of coils
    (Van Leemput et al. 1999): of Bernstein polynomials, which stay within the range of their coefficients.
    """
    # An image is a volume of one voxel in the middle.
    height, *depth, width = image.shape[:-1]
    first, second, third = (bernstein_basis(n) for n in (height, *(depth or (1,)), width))
    coefficients = rng.uniform(-1, 1, (BIAS_DEGREE + 1,) * 3).astype(np.float32) * np.float32(np.log1p(strength))
    gain = spread(np.tensordot(first, coefficients, 1), second, third).reshape(*image.shape[:-1], 1)
    np.exp(gain, out=gain)
    low = image.min()
    out = image - low
    out *= gain
    out += low
    return out


def normal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Standard normal float32 from 16 random bits each, 65,536 values up to ±4.2: four times as fast as NumPy's."""
    bits = rng.integers(0, len(QUANTILES), shape, dtype=np.uint16)
    return QUANTILES.take(bits)


def bernstein_basis(n: int) -> np.ndarray:
    """`(n, 4)` float32: the Bernstein polynomials of third degree at n places from 0 to 1."""
    t = np.linspace(0, 1, n)
    return np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], axis=1).astype(np.float32)
