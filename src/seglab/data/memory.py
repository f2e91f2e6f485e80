"""Decode once: a source that keeps what it was told to load, and the counts taken from it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from seglab.data.cases import Case, Sample, Source


class SourceInMemory:
    """A `Source` that keeps samples of another one in memory, in the number type of the file, from `load` to `forget`.

    A case that was not loaded is read each time, so that cases which are needed once fill no memory.
    Safe to read from several threads. Nobody may write to the arrays that `read` returns.
    """

    def __init__(self, source: Source):
        self._source = source
        self._samples: dict[str, Sample] = {}
        self.name, self.task, self.cases, self.split = source.name, source.task, source.cases, source.split

    def load(self, cases: Sequence[Case], *, threads: int = 4) -> None:
        """Read these cases now, several at a time, and keep them; raises the first `DataError` in their order."""
        with ThreadPoolExecutor(threads) as pool:
            for case, sample in zip(cases, pool.map(self.read, cases), strict=True):
                self._samples[case.id] = sample

    def check(self, cases: Sequence[Case], *, threads: int = 4) -> None:
        """Read these cases and keep none; raises the first `DataError` in their order. Generated ones are left out."""
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(self._read_and_drop, [case for case in cases if case.image]):
                pass

    def _read_and_drop(self, case: Case) -> None:
        self.read(case)

    def forget(self, case: Case) -> None:
        """Give the memory of a case back; its next `read` decodes it again."""
        self._samples.pop(case.id, None)

    def read(self, case: Case) -> Sample:
        """As `Source.read`, from memory when the case is loaded."""
        held = self._samples.get(case.id)
        return self._source.read(case) if held is None else held

    def read_image(self, case: Case) -> Sample:
        """As `Source.read_image`; taken from memory when the whole case is there."""
        held = self._samples.get(case.id)
        if held is None:
            return self._source.read_image(case)
        return Sample(held.image, None, held.spacing, held.affine, held.file_affine)

    def describe_files(self, case: Case) -> str:
        """As `Source.describe_files`."""
        return self._source.describe_files(case)

    def digest(self) -> str:
        """As `Source.digest`."""
        return self._source.digest()


def class_frequencies(source: Source, cases: Sequence[Case]) -> tuple[float, ...]:
    """Share of the labelled pixels or voxels of `cases` that each class id holds; sums to 1.

    Ignored pixels do not count; a class that never occurs has 0.0. Take the training cases:
    these numbers weight losses.
    """
    counts = np.zeros(256, np.int64)
    for case in cases:
        mask = source.read(case).mask
        if mask is not None:
            counts += np.bincount(mask.ravel(), minlength=256)
    counts = counts[: source.task.classes]
    total = max(int(counts.sum()), 1)
    return tuple(float(count) / total for count in counts)
