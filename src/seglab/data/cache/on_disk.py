"""Arrays of cached cases, mapped into memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seglab.data.cache.cache_folder import Claim
from seglab.data.preprocessing.case_preprocessing import CaseMetadata, places_of
from seglab.errors import DataError

_HEAD = np.lib.format.MAGIC_LEN + 2  # of a `.npy` file of format 1.0: its last two bytes say how long the rest is


class DiskCaseStore:
    """`CaseStore` that are mapped into memory for each draw, so that no more than is drawn is ever read.

    Can be pickled; the copy does not keep the files from being removed, its origin does.
    """

    def __init__(
        self, folder: Path, keys: Mapping[str, str], outlines: Mapping[str, CaseMetadata], claim: Claim | None
    ):
        self._folder, self._keys, self.outlines, self._claim = folder.resolve(), dict(keys), outlines, claim

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_claim": None}

    def read(self, case_id: str) -> tuple[np.ndarray, np.ndarray]:
        """As `CaseStore.read`."""
        outline = self.outlines[case_id]
        image = self._map(case_id, "image", outline.dtype, (*outline.shape, outline.channels))
        return image, self._map(case_id, "mask", "uint8", outline.shape)

    def places(self, case_id: str, class_id: int) -> np.ndarray:
        """As `CaseStore.places`."""
        counts = self.outlines[case_id].places
        if not sum(counts):
            return np.empty(0, np.int64)
        return places_of(self._map(case_id, "places", "int64", (sum(counts),)), counts, class_id)

    def _map(self, case_id: str, kind: str, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        # The record knows what the header says but how long it is itself; the array is behind it, to the file's end.
        path = self._folder / f"{self._keys[case_id]}.{kind}.npy"
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        try:
            with path.open("rb") as file:
                start = os.fstat(file.fileno()).st_size - size
                head = file.read(_HEAD)
                if _HEAD + int.from_bytes(head[-2:], "little") != start:  # else the array moved by as many numbers
                    raise ValueError("the file was cut off or written over")
                return np.memmap(file, dtype, "r", start, shape).view(np.ndarray)
        except (OSError, ValueError) as error:
            raise DataError(
                "a cached case that is gone",
                code="cache-case-gone",
                where=f"case {case_id}, {path}",
                found=f"{type(error).__name__}: {error}",
                expected="nobody to remove or change cached files while a run needs them",
                remedy="start again: what is missing is built anew",
            ) from error
