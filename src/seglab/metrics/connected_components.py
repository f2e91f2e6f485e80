"""Connected components of a class: how many lesions (cells, objects) there are, were found, and were made up.

An ignored pixel may join what it lies between: for this it is taken to be what the nearest pixels with a label are, of
the class where one of them is. So a strip across a lesion does not make two of it, and does not make one of two lesions
that lie along it. (What is thinner than the strip and crosses it aslant may still fall apart.) No component is made of
ignored pixels alone, none is found or right by them. What the border of the image cuts is what is seen of it; two parts
that would meet outside of the image are two.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from seglab.metrics.surface import bounding_box

_ROUNDING = 1e-9  # two places as far away


class ComponentMatches(NamedTuple):
    """Numbers of components of one class in one case. Pixels touch across faces, edges and corners.

    Attributes:
        true: in the truth.
        predicted: in the prediction.
        found: of the truth, that share at least one pixel with the prediction.
        right: of the prediction, that share at least one pixel with the truth.
    """

    true: int
    predicted: int
    found: int
    right: int

    @property
    def recall(self) -> float:
        """Share of the true components that were found; NaN where there is none."""
        return self.found / self.true if self.true else np.nan

    @property
    def precision(self) -> float:
        """Share of the predicted components that are right; NaN where none was predicted."""
        return self.right / self.predicted if self.predicted else np.nan


class Ignored:
    """The ignored pixels of a case, and how they join components.

    Args:
        where: boolean, of the case's shape, true somewhere and not everywhere.
        spacing: size of a pixel or voxel along each axis.
    """

    def __init__(self, where: np.ndarray, spacing: tuple[float, ...]):
        self.where, self._spacing = where, spacing

    @cached_property
    def beside(self) -> np.ndarray:
        """The ignored pixels and all that touch them."""
        beside: np.ndarray = ndimage.binary_dilation(self.where, _touching(self.where.ndim))
        return beside

    @cached_property
    def _away(self) -> np.ndarray:
        """Distance of each pixel to the nearest with a label."""
        away: np.ndarray = ndimage.distance_transform_edt(self.where, sampling=self._spacing)
        return away

    def joined(self, mask: np.ndarray) -> tuple[tuple[slice, ...], np.ndarray]:
        """A mask with the ignored pixels that nothing of another label is nearer to, in a box that holds it all."""
        reach = [int(np.ceil(self._away.max() / step)) for step in self._spacing]
        box = tuple(
            slice(max(part.start - n, 0), part.stop + n) for part, n in zip(bounding_box(mask), reach, strict=True)
        )
        near = ndimage.distance_transform_edt(~mask[box], sampling=self._spacing) <= self._away[box] + _ROUNDING
        return box, mask[box] | (near & self.where[box])


def match_components(truth: np.ndarray, prediction: np.ndarray, ignored: Ignored | None = None) -> ComponentMatches:
    """Counts and matches the components of two boolean masks of one shape, of any rank, that hold nothing ignored."""
    true_ids, predicted_ids = _labels(truth, ignored), _labels(prediction, ignored)
    both = truth & prediction
    pairs = ((true_ids, truth), (predicted_ids, prediction), (true_ids, both), (predicted_ids, both))
    return ComponentMatches(*(len(np.unique(ids[where])) for ids, where in pairs))


def _labels(mask: np.ndarray, ignored: Ignored | None) -> np.ndarray:
    """The number of the component that each pixel of a mask is of; elsewhere it has no meaning."""
    ids = np.zeros(mask.shape, np.int32)
    if not mask.any():
        return ids
    box, touching = bounding_box(mask), _touching(mask.ndim)
    ids[box], _ = ndimage.label(mask[box], touching)
    # Two that touch what is ignored can be one; the distances are only worth it then.
    if ignored is not None and len(np.unique(ids[mask & ignored.beside])) > 1:
        box, joined = ignored.joined(mask)
        ids[box], _ = ndimage.label(joined, touching)
    return ids


def _touching(rank: int) -> np.ndarray:
    return np.ones((3,) * rank, bool)
