"""A case with the label that it has to have."""

from __future__ import annotations

import numpy as np

from seglab.data.cases import Case, Sample, Source
from seglab.data.preprocessing.case_preprocessing import read_labelled


def labelled(source: Source, case: Case) -> tuple[Sample, np.ndarray]:
    """The case and its truth, `(*spatial)` class ids with the ignored label.

    Raises:
        DataError: it has none.
    """
    sample = read_labelled(source, case)
    assert sample.mask is not None
    return sample, sample.mask
