"""What is known of a case after it was read once: kept with the cached arrays; split, gate and fit read it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from seglab.data.cases import Case, Sample
from seglab.data.preprocessing.geometry import resize_image
from seglab.data.preprocessing.image_detail import detail_of
from seglab.data.preprocessing.intensity_stats import IntensityStats, histograms, intensity_stats_of
from seglab.task import Task

# Along each side of an image, for its look.
_PIXELS_LOOKED_AT = 256
# Bytes whose 64-bit words are added up, in the checksum of an image.
_BLOCK = 8192


@dataclass(frozen=True)
class CaseFingerprint:
    """Counts and statistics of one case at its original size.

    Attributes:
        shape: spatial shape.
        dtype: number type of the image, such as `uint8`.
        spacing: of a pixel or voxel along each axis, in mm for volumes.
        class_pixels: pixels or voxels of each class id, `(K,)`.
        ignored: pixels or voxels that carry the ignore label.
        intensity: statistics of each channel.
        image_hash: SHA-256 of the decoded image's shape, statistics and checksum: equal for equal images in different
            files.
        palette: as of `Sample`: the colours that the palette of the mask file has for the values that it holds.
        look: 64-bit difference hash of the image (its middle slice), in which neighbours of a sequence differ less.
        detail: the fine structure inside the field of view, by which copies are told: see `image_detail`.
        label_off: how far label values were from the whole numbers that they were rounded to.
        unclear: as of `Sample`.
    """

    shape: tuple[int, ...]
    dtype: str
    spacing: tuple[float, ...]
    class_pixels: tuple[int, ...]
    ignored: int
    intensity: IntensityStats
    image_hash: str
    look: int
    detail: str = field(repr=False)
    label_off: float = 0.0
    palette: Mapping[str, str] = field(default_factory=dict)
    unclear: float = 0.0

    @property
    def flat(self) -> bool:
        """Whether every pixel of each channel has one value."""
        return self.intensity.minimum == self.intensity.maximum

    def share_of(self, classes: Iterable[int]) -> float:
        """Share of the labelled pixels that these class ids hold; NaN without any labelled one."""
        labelled = sum(self.class_pixels)
        return sum(self.class_pixels[k] for k in classes) / labelled if labelled else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """JSON values; `from_dict` gives the same facts."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CaseFingerprint:
        """The facts that `to_dict` wrote."""
        plain: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        plain["intensity"] = IntensityStats(*map(tuple, plain["intensity"]))
        return cls(**plain)


def examine(sample: Sample, task: Task) -> CaseFingerprint:
    """The facts of a sample as a source reads it; finite image values and declared labels are the source's business."""
    image = sample.image
    intensity = intensity_stats_of(image)
    counts = np.zeros(256, np.int64) if sample.mask is None else histograms(sample.mask[..., None])[0]
    return CaseFingerprint(
        shape=tuple(image.shape[:-1]),
        dtype=image.dtype.name,
        spacing=tuple(float(step) for step in sample.spacing),
        class_pixels=tuple(int(count) for count in counts[: task.classes]),
        ignored=int(counts[task.ignore_label]) if sample.mask is not None else 0,
        intensity=intensity,
        image_hash=_image_hash(image, intensity),
        look=difference_hash(image),
        detail=detail_of(image),
        label_off=sample.label_off,
        palette=sample.palette,
        unclear=sample.unclear,
    )


def _image_hash(image: np.ndarray, intensity: IntensityStats) -> str:
    """Of sums over all bytes and what is known of them anyway; SHA-256 of the bytes takes twenty times as long.

    The bytes stand in rows of `_BLOCK`; the sums of each row and of each column of their 64-bit words count, so that
    words that change places show as well.
    """
    flat = np.ascontiguousarray(image).reshape(-1).view(np.uint8)
    words = flat[: len(flat) // _BLOCK * _BLOCK].view(np.uint64).reshape(-1, _BLOCK // 8)
    total = hashlib.sha256(repr((image.shape, image.dtype.name, *intensity)).encode())
    for part in (words.sum(axis=0), words.sum(axis=1), flat[words.nbytes :]):
        total.update(part.tobytes())
    return total.hexdigest()


def difference_hash(image: np.ndarray) -> int:
    """64 bits: whether each of 8×8 places of the shrunk grey image is brighter than its left neighbour (dHash).

    Args:
        image: `(H, W, C)`, or `(X, Y, Z, C)`, of which the middle slice along the last axis counts.
    """
    plane = image[:, :, image.shape[2] // 2] if image.ndim == 4 else image
    # Of a large image every second, third … pixel: hundreds of them make one of the 72 places all the same.
    step = [max(n // _PIXELS_LOOKED_AT, 1) for n in plane.shape[:2]]
    plane = np.ascontiguousarray(plane[:: step[0]])[:, :: step[1]]  # whole lines first: they lie in one piece
    grey = resize_image(plane.astype(np.float32), (8, 9)).mean(axis=-1)
    bits = (grey[:, 1:] > grey[:, :-1]).ravel()
    return int("".join("1" if bit else "0" for bit in bits), 2)


def class_frequencies(facts: Mapping[str, CaseFingerprint], cases: Sequence[Case]) -> tuple[float, ...]:
    """Share of the labelled pixels or voxels of `cases` that each class id holds; sums to 1.

    Ignored pixels do not count; a class that never occurs has 0.0. Take the training cases:
    these numbers weight losses.
    """
    counts = np.array([facts[case.id].class_pixels for case in cases], np.int64).sum(axis=0)
    total = max(int(counts.sum()), 1)
    return tuple(float(count) / total for count in counts.tolist())
