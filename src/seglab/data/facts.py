"""What is known of a case after it was read once: kept with the cached arrays; split, gate and fit read it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from seglab.data.cases import Sample
from seglab.data.geometry import resize_image
from seglab.task import Task

LOW_PERCENTILE, HIGH_PERCENTILE = 0.5, 99.5


@dataclass(frozen=True)
class Facts:
    """Counts and statistics of one case at its original size.

    Attributes:
        shape: spatial shape.
        dtype: number type of the image, such as `uint8`.
        spacing: of a pixel or voxel along each axis, in mm for volumes.
        class_pixels: pixels or voxels of each class id, `(K,)`.
        ignored: pixels or voxels that carry the ignore label.
        minimum, maximum, mean, std: of each channel, `(C,)`.
        low, high: 0.5 and 99.5 percentile of each channel, `(C,)`.
        image_hash: SHA-256 of the decoded image's shape and values: equal for equal images in different files.
        look: 64-bit difference hash of the image (its middle slice), by which look-alikes differ in few bits.
    """

    shape: tuple[int, ...]
    dtype: str
    spacing: tuple[float, ...]
    class_pixels: tuple[int, ...]
    ignored: int
    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    image_hash: str
    look: int

    @property
    def foreground_share(self) -> float:
        """Share of the labelled pixels that no class 0 holds; NaN without any."""
        labelled = sum(self.class_pixels)
        return 1 - self.class_pixels[0] / labelled if labelled else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """JSON values; `from_dict` gives the same facts."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Facts:
        """The facts that `to_dict` wrote."""
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


def examine(sample: Sample, task: Task) -> Facts:
    """The facts of a sample as a source reads it; finite image values and declared labels are the source's business."""
    image = sample.image
    flat = image.reshape(-1, image.shape[-1])
    low, high = np.percentile(flat, [LOW_PERCENTILE, HIGH_PERCENTILE], axis=0)
    counts = np.zeros(256, np.int64) if sample.mask is None else np.bincount(sample.mask.ravel(), minlength=256)
    digest = hashlib.sha256(f"{image.shape}{image.dtype}".encode())
    digest.update(np.ascontiguousarray(image).data)
    return Facts(
        shape=image.shape[:-1],
        dtype=image.dtype.name,
        spacing=tuple(float(step) for step in sample.spacing),
        class_pixels=tuple(int(count) for count in counts[: task.classes]),
        ignored=int(counts[task.ignore_label]) if sample.mask is not None else 0,
        minimum=_numbers(flat.min(axis=0)),
        maximum=_numbers(flat.max(axis=0)),
        mean=_numbers(flat.mean(axis=0, dtype=np.float64)),
        std=_numbers(flat.std(axis=0, dtype=np.float64)),
        low=_numbers(low),
        high=_numbers(high),
        image_hash=digest.hexdigest(),
        look=difference_hash(image),
    )


def difference_hash(image: np.ndarray) -> int:
    """64 bits: whether each of 8×8 places of the shrunk grey image is brighter than its left neighbour (dHash).

    Args:
        image: `(H, W, C)`, or `(X, Y, Z, C)`, of which the middle slice along the last axis counts.
    """
    plane = image[:, :, image.shape[2] // 2] if image.ndim == 4 else image
    grey = resize_image(plane.mean(axis=-1, keepdims=True, dtype=np.float32), (8, 9))[..., 0]
    bits = (grey[:, 1:] > grey[:, :-1]).ravel()
    return int("".join("1" if bit else "0" for bit in bits), 2)


def _numbers(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
