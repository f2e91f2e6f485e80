"""What an image looks like, in a few numbers that show nothing of it.

The same code measures what a model was trained on and what it is asked later, so that the two can be compared.
"""

from __future__ import annotations

import cv2
import numpy as np

_LOOKED_AT = 1 << 16  # values of an image of other numbers than bytes, evenly drawn
_BYTES_LOOKED_AT = 1 << 18  # values of an image of bytes, in whole rows, evenly drawn
_ROWS = 32  # that are looked at of an image of bytes, or more: a few planes of a volume say little of it
_PLANE_LOOKED_AT = 1 << 18  # pixels of the middle rows whose sharpness is taken
_CHANNELS = 4  # whose means stand for themselves
_MOST_OF_OPENCV = 128  # channels of an array
_PERCENTILES = ((0.05, "p05"), (0.5, "p50"), (0.95, "p95"))


def image_statistics(image: np.ndarray) -> dict[str, float]:
    """Statistics of one image.

    Args:
        image: `(H, W, C)` or `(X, Y, Z, C)`, raw intensities of any numeric type, as a source reads them.

    Returns:
        In the unit of the intensities `mean`, `sd`, `p05`, `p50`, `p95` over all channels, and `mean_<k>` of each of
        the first four where there are several; `clipped`, the share of values that are the lowest or the highest one
        of the image, in 0..1; `sharpness`, the variance of the Laplacian of the grey image, or of the middle slice;
        `pixels`, how many pixels or voxels there are.
    """
    grey = _grey_plane(image)
    found = _of_bytes(image) if image.dtype == np.uint8 else _of_some(image)
    laplacian = cv2.Laplacian(grey, cv2.CV_16S if grey.dtype == np.uint8 else cv2.CV_32F)
    spread = cv2.meanStdDev(laplacian)[1][0, 0]
    return {**found, "sharpness": float(spread * spread), "pixels": float(image.size // image.shape[-1])}


def _of_bytes(image: np.ndarray) -> dict[str, float]:
    """From how often each value occurs, in every second, third … row of a large image."""
    step = max(1, min(image.size // _BYTES_LOOKED_AT, len(image) // _ROWS))
    flat = np.ascontiguousarray(image[::step]).reshape(-1, 1, image.shape[-1])
    few = image.shape[-1] <= _MOST_OF_OPENCV
    counts: list[np.ndarray] = [
        cv2.calcHist([flat], [k], None, [256], [0, 256]).ravel()
        if few
        else np.bincount(flat[..., k].ravel(), minlength=256)
        for k in range(image.shape[-1])
    ]
    values = np.arange(256.0)
    total = np.sum(counts, axis=0, dtype=float)
    below = np.cumsum(total)
    pixels = below[-1]
    mean = total @ values / pixels
    held = np.flatnonzero(total)
    ends = total[held[0]] + (total[held[-1]] if len(held) > 1 else 0)
    found = {"mean": mean, "sd": max(0.0, total @ values**2 / pixels - mean * mean) ** 0.5}
    found |= {name: np.searchsorted(below, share * pixels) for share, name in _PERCENTILES}
    found["clipped"] = ends / pixels
    if len(counts) > 1:
        found |= {f"mean_{k}": one @ values / (pixels / len(counts)) for k, one in enumerate(counts[:_CHANNELS])}
    return {name: float(value) for name, value in found.items()}


def _of_some(image: np.ndarray) -> dict[str, float]:
    """From values that are evenly drawn, where there are many."""
    channels = image.shape[-1]
    flat = image.reshape(-1, channels)
    drawn = flat[:: max(1, flat.size // _LOOKED_AT) | 1].astype(np.float64)
    found = {"mean": drawn.mean(), "sd": drawn.std()}
    found |= dict(
        zip((name for _, name in _PERCENTILES), np.quantile(drawn, [at for at, _ in _PERCENTILES]), strict=True)
    )
    found["clipped"] = np.mean((drawn == drawn.min()) | (drawn == drawn.max()))
    if channels > 1:
        found |= {f"mean_{k}": drawn[:, k].mean() for k in range(min(channels, _CHANNELS))}
    return {name: float(value) for name, value in found.items()}


def _grey_plane(image: np.ndarray) -> np.ndarray:
    """`(H, W)` of bytes or float32: of a volume the middle slice of the last axis, of a large plane its middle rows, of
    colours their weighted mean."""
    plane = image[:, :, image.shape[2] // 2] if image.ndim == 4 else image
    rows = min(len(plane), max(3, _PLANE_LOOKED_AT // plane.shape[1]))
    plane = plane[(len(plane) - rows) // 2 :][:rows]
    if plane.dtype != np.uint8:
        plane = plane.astype(np.float32)
    if plane.shape[-1] == 3:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(plane), cv2.COLOR_RGB2GRAY))
    return np.ascontiguousarray(plane[..., 0])
