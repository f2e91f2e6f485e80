"""Connected components of a class: how many lesions (cells, objects) there are, were found, and were made up."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from seglab.evaluation.surface import cropped


class Components(NamedTuple):
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


def match_components(truth: np.ndarray, prediction: np.ndarray) -> Components:
    """Counts and matches the components of two boolean masks of one shape, of any rank."""
    if not (truth.any() or prediction.any()):
        return Components(0, 0, 0, 0)
    truth, prediction = cropped(truth, prediction)
    everywhere = np.ones((3,) * truth.ndim, int)
    true_ids, true = ndimage.label(truth, everywhere)
    predicted_ids, predicted = ndimage.label(prediction, everywhere)
    both = truth & prediction
    return Components(true, predicted, len(np.unique(true_ids[both])), len(np.unique(predicted_ids[both])))
