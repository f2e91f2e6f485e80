"""Prepared cases in memory: for generated ones, which have no files that a cache could be keyed by."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from seglab.data.cases import Case, Source
from seglab.data.preprocessing.case_fingerprint import CaseFingerprint, examine
from seglab.data.preprocessing.case_preprocessing import (
    CaseMetadata,
    CasePreprocessing,
    PreprocessedCase,
    places_of,
    read_labelled,
)

_THREADS = 4


class MemoryCaseStore:
    """`CaseStore` that are held."""

    def __init__(self, prepared: dict[str, PreprocessedCase]):
        self._prepared = prepared
        self.outlines: dict[str, CaseMetadata] = {case_id: held.outline for case_id, held in prepared.items()}

    def read(self, case_id: str) -> tuple[np.ndarray, np.ndarray]:
        """As `CaseStore.read`."""
        held = self._prepared[case_id]
        return held.image, held.mask

    def places(self, case_id: str, class_id: int) -> np.ndarray:
        """As `CaseStore.places`."""
        held = self._prepared[case_id]
        return places_of(held.places, held.outline.places, class_id)


def store_in_memory(
    source: Source, preparation: CasePreprocessing, whole: Sequence[Case], examined: Sequence[Case] = ()
) -> tuple[dict[str, CaseFingerprint], MemoryCaseStore]:
    """Read cases several at a time; keep arrays and facts of `whole`, facts alone of `examined`.

    Raises:
        DataError: the first in the order of the cases.
    """
    prepared: dict[str, PreprocessedCase] = {}

    def read(case: Case, keep: bool) -> CaseFingerprint:
        sample = read_labelled(source, case)
        if keep:
            prepared[case.id] = preparation(sample, source.task)
        return examine(sample, source.task)

    kept = {case.id for case in whole}
    cases = [*whole, *(case for case in examined if case.id not in kept)]
    with ThreadPoolExecutor(_THREADS) as pool:
        facts = pool.map(read, cases, [case.id in kept for case in cases])
        return dict(zip([case.id for case in cases], facts, strict=True)), MemoryCaseStore(prepared)
