"""Prepared cases in memory: for generated ones, which have no files that a cache could be keyed by."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from seglab.data.cases import Case, Source
from seglab.data.facts import Facts, examine
from seglab.data.preparation import Outline, Preparation, Prepared, places_of, read_labelled

_THREADS = 4


class ArraysInMemory:
    """`Arrays` that are held."""

    def __init__(self, prepared: dict[str, Prepared]):
        self._prepared = prepared
        self.outlines: dict[str, Outline] = {case_id: held.outline for case_id, held in prepared.items()}

    def read(self, case_id: str) -> tuple[np.ndarray, np.ndarray]:
        """As `Arrays.read`."""
        held = self._prepared[case_id]
        return held.image, held.mask

    def places(self, case_id: str, class_id: int) -> np.ndarray:
        """As `Arrays.places`."""
        held = self._prepared[case_id]
        return places_of(held.places, held.outline.places, class_id)


def hold(
    source: Source, preparation: Preparation, whole: Sequence[Case], examined: Sequence[Case] = ()
) -> tuple[dict[str, Facts], ArraysInMemory]:
    """Read cases several at a time; keep arrays and facts of `whole`, facts alone of `examined`.

    Raises:
        DataError: the first in the order of the cases.
    """
    prepared: dict[str, Prepared] = {}

    def read(case: Case, keep: bool) -> Facts:
        sample = read_labelled(source, case)
        if keep:
            prepared[case.id] = preparation(sample, source.task)
        return examine(sample, source.task)

    kept = {case.id for case in whole}
    cases = [*whole, *(case for case in examined if case.id not in kept)]
    with ThreadPoolExecutor(_THREADS) as pool:
        facts = pool.map(read, cases, [case.id in kept for case in cases])
        return dict(zip([case.id for case in cases], facts, strict=True)), ArraysInMemory(prepared)
