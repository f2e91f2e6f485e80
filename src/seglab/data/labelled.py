"""The one reader of a case that has to have a label."""

from __future__ import annotations

import numpy as np

from seglab.data.cases import Case, Sample, Source
from seglab.errors import DataError


def labelled(source: Source, case: Case) -> tuple[Sample, np.ndarray]:
    """The case and its truth, `(*spatial)` class ids with the ignored label.

    Raises:
        DataError: it has none.
    """
    sample = source.read(case)
    if sample.mask is None:
        raise DataError(
            "a case without a label cannot be scored",
            where=source.describe_files(case),
            remedy="leave it out of the split, or add its label",
        )
    return sample, sample.mask
