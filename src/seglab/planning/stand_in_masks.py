"""Labels in the place of a first stage's masks, before there are any: for the time and the memory that the second stage
takes. Nothing is learnt from them that is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from seglab.data.cases import Case, Sample
from seglab.data.loading.training_data import TrainingData, behind_masks
from seglab.data.mask_channels import with_mask
from seglab.data.preprocessing.case_preprocessing import CaseMetadata, CaseStore
from seglab.runtime.atomic_files import stream


def behind_labels(training_data: TrainingData, folder: Path) -> TrainingData:
    """The data of a second stage whose first stage has found every label.

    Args:
        training_data: without masks of a first stage.
        folder: for images with such a mask behind their channels, which are mapped into memory as those of the cache.
    """
    classes = training_data.task.classes
    return replace(
        behind_masks(training_data),
        arrays=_ArraysBehindLabels(training_data.arrays, classes, folder),
        source=_SourceBehindLabels(training_data.source, classes),  # type: ignore[arg-type]
    )


def _classes_alone(mask: np.ndarray, classes: int) -> np.ndarray:
    """Labels without the one that is ignored, as a mask of a first stage is."""
    return np.where(mask < classes, mask, 0).astype(np.uint8)


class _ArraysBehindLabels:
    """A `CaseStore` whose images have the labels behind their channels; written when a case is first read."""

    def __init__(self, arrays: CaseStore, classes: int, folder: Path):
        self._arrays, self._classes = arrays, classes
        self.outlines: Mapping[str, CaseMetadata] = {
            case_id: replace(one, channels=one.channels + 1) for case_id, one in arrays.outlines.items()
        }
        self._files = {case_id: folder / f"{number}.npy" for number, case_id in enumerate(arrays.outlines)}

    def read(self, case_id: str) -> tuple[np.ndarray, np.ndarray]:
        """As `CaseStore.read`."""
        image, mask = self._arrays.read(case_id)
        file = self._files[case_id]
        if not file.exists():
            with stream(file) as to_write:  # of two threads that write it, either
                np.save(to_write, with_mask(image, _classes_alone(mask, self._classes)))
        return np.load(file, mmap_mode="r"), mask

    def places(self, case_id: str, class_id: int) -> np.ndarray:
        """As `CaseStore.places`."""
        return self._arrays.places(case_id, class_id)


class _SourceBehindLabels:
    """A `Source` whose samples have their labels in the place of a first stage's mask."""

    def __init__(self, source: Any, classes: int):
        self._source, self._classes = source, classes
        self.name, self.task = source.name, source.task
        self.cases: Sequence[Case] = source.cases
        self.split = source.split

    def read(self, case: Case) -> Sample:
        """As `Source.read`."""
        sample: Sample = self._source.read(case)
        assert sample.mask is not None
        sample.previous = _classes_alone(sample.mask, self._classes)
        return sample

    def describe_files(self, case: Case) -> str:
        """As `Source.describe_files`."""
        text: str = self._source.describe_files(case)
        return text
