"""What of a case is drawn: the picture itself in 2D, three planes through the foreground in 3D."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

LONGEST_SIDE = 1024  # more pixels than this would not be seen
AXES = "xyz"
# For an axis order of right, anterior, superior: name of the plane, letters at its left, right, lower and upper edge.
ANATOMY = {2: ("axial", "LRPA"), 1: ("coronal", "LRIS"), 0: ("sagittal", "PAIS")}


@dataclass(frozen=True)
class Plane:
    """A flat picture of a case.

    Attributes:
        image: `(rows, columns, 3)` float32 in 0..1.
        truth: `(rows, columns)` class ids.
        prediction: `(rows, columns)` class ids.
        spacing: size of a pixel, height and width.
        origin: the first row is drawn at the top ("upper") or at the bottom ("lower").
        name: which plane it is; empty in 2D.
        edges: letters for the left, right, lower and upper edge; empty where directions are not known.
    """

    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    spacing: tuple[float, float]
    origin: Literal["upper", "lower"] = "upper"
    name: str = ""
    edges: str = ""

    @property
    def width(self) -> float:
        """In the unit of `spacing`."""
        return self.truth.shape[1] * self.spacing[1]

    @property
    def height(self) -> float:
        """In the unit of `spacing`."""
        return self.truth.shape[0] * self.spacing[0]


def planes(
    image: np.ndarray,
    truth: np.ndarray,
    prediction: np.ndarray,
    spacing: tuple[float, ...],
    ignore_label: int,
    anatomical: bool = False,
) -> list[Plane]:
    """The one plane of a 2D case, or the three of a volume through the middle of its foreground.

    Args:
        image: `(H, W, C)` or `(X, Y, Z, C)`, any numeric dtype.
        truth: `(H, W)` or `(X, Y, Z)` class ids.
        prediction: of the same shape.
        spacing: along each axis.
        ignore_label: is no foreground.
        anatomical: a volume's axes run to right, anterior and superior.
    """
    low, high = _window(image, together=truth.ndim == 2 and image.shape[-1] == 3)
    if truth.ndim == 2:
        step = -(-max(truth.shape) // LONGEST_SIDE)
        seen = slice(None, None, step)
        picture = _display(image[seen, seen], low, high)
        return [Plane(picture, truth[seen, seen], prediction[seen, seen], (spacing[0] * step, spacing[1] * step))]
    middle = foreground_middle(truth, prediction, spacing, ignore_label)
    found = []
    for normal in (2, 1, 0):
        across, up = (axis for axis in range(3) if axis != normal)
        cut = tuple(middle[axis] if axis == normal else slice(None) for axis in range(3))
        name, edges = ANATOMY[normal] if anatomical else (f"{AXES[across]}{AXES[up]} plane", "")
        found.append(
            Plane(
                _display(image[cut].swapaxes(0, 1), low, high),
                truth[cut].T,
                prediction[cut].T,
                spacing=(spacing[up], spacing[across]),
                origin="lower",
                name=f"{name}, {AXES[normal]} = {middle[normal]}",
                edges=edges,
            )
        )
    return found


def foreground_middle(
    truth: np.ndarray, prediction: np.ndarray, spacing: tuple[float, ...], ignore_label: int
) -> tuple[int, ...]:
    """Index of the foreground voxel nearest, in mm, to the centre of the foreground.

    Of the truth where it has foreground, else of the prediction, else the middle of the volume.
    """
    for ids in (truth, prediction):
        voxels = np.argwhere((ids > 0) & (ids != ignore_label))
        if len(voxels):
            distance = ((voxels - voxels.mean(axis=0)) * np.asarray(spacing)) ** 2
            return tuple(int(i) for i in voxels[distance.sum(axis=1).argmin()])
    return tuple(side // 2 for side in truth.shape)


def _window(image: np.ndarray, together: bool) -> tuple[np.ndarray, np.ndarray]:
    """For each channel the intensities to show as black and as white: the middle 99% of a sample of the pixels.

    Red, green and blue have one window `together`, so that the colours of a photograph stay what they are.
    """
    pixels = image.reshape(-1, image.shape[-1])
    pixels = pixels[:: max(1, len(pixels) // 200_000)].astype(np.float32)
    low, high = np.nanpercentile(pixels, (0.5, 99.5), axis=0)
    if together:
        low, high = np.full(3, np.nanmin(low)), np.full(3, np.nanmax(high))
    return low, np.where(high > low, high, low + 1)


def _display(image: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """`(rows, columns, 3)` float32 in 0..1: colour from three channels, else grey from the first."""
    scaled = np.nan_to_num(np.clip((image.astype(np.float32) - low) / (high - low), 0, 1)).astype(np.float32)
    return scaled if image.shape[-1] == 3 else scaled[..., :1].repeat(3, axis=-1)
