"""What is done to a case once, before training: another spacing, another size; normalising and cutting come later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from seglab.config.constructors import EXAMPLES
from seglab.config.sections import DataConfig
from seglab.data.cases import Case, Sample, Source
from seglab.data.mask_channels import with_mask
from seglab.data.preprocessing.geometry import letterbox_shape, resize_image, resize_mask
from seglab.data.preprocessing.intensity_stats import IntensityStats, intensity_stats_of
from seglab.data.preprocessing.spacing import Interpolation, resample_image, resample_mask
from seglab.errors import DataError
from seglab.task import Task

# Enough places to draw boxes around, for each class of a case; all voxels of large organs would fill the memory.
MOST_PLACES = 10_000


@dataclass(frozen=True)
class CaseMetadata:
    """What is known of a prepared case without its arrays.

    Attributes:
        shape: spatial shape as prepared.
        channels, dtype: of the image; the last one is a first stage's mask where there is one.
        spacing: of a prepared pixel or voxel along each axis.
        intensity: statistics of the prepared image, without such a mask.
        places: how many places to draw around are known of each class id; empty where whole images are taken.
    """

    shape: tuple[int, ...]
    channels: int
    dtype: str
    spacing: tuple[float, ...]
    intensity: IntensityStats
    places: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON values; `from_dict` gives the same outline."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CaseMetadata:
        """The outline that `to_dict` wrote."""
        plain: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        plain["intensity"] = IntensityStats(*map(tuple, plain["intensity"]))
        return cls(**plain)


@dataclass(frozen=True)
class PreprocessedCase:
    """A case as it is kept.

    Attributes:
        image: `(…, C)` uint8, uint16 or float32, not yet normalised; in a second stage `(…, C + 1)`, the last one the
            class ids that the first stage found.
        mask: `(…)` uint8 class ids.
        places: flat indices into the mask, class after class, `outline.places` of each.
        outline: the rest.
    """

    image: np.ndarray
    mask: np.ndarray
    places: np.ndarray
    outline: CaseMetadata


class CaseStore(Protocol):
    """Prepared cases, in memory or in files. Nobody may write to the arrays; safe to read from several threads."""

    @property
    def outlines(self) -> Mapping[str, CaseMetadata]:
        """Of each case that is here, by its id."""
        ...

    def read(self, case_id: str) -> tuple[np.ndarray, np.ndarray]:
        """Image and mask of `PreprocessedCase`."""
        ...

    def places(self, case_id: str, class_id: int) -> np.ndarray:
        """Flat indices of pixels or voxels of a class, evenly thinned out to at most `MOST_PLACES`."""
        ...


@dataclass(frozen=True)
class CasePreprocessing:
    """How cases are prepared for one input size.

    Attributes:
        size, fit, spacing, interpolation: as in the data's config.
    """

    size: tuple[int, ...]
    fit: str
    spacing: tuple[float, ...] | None
    interpolation: Interpolation = "linear"

    @classmethod
    def of(cls, card: DataConfig) -> CasePreprocessing:
        """What a data card asks for. Only what changes an array is kept: patches of any size share theirs."""
        whole = card.resize_mode in ("resize", "letterbox")
        return cls(
            tuple(card.size) if whole else (),
            card.resize_mode if whole else "patch",
            None if card.spacing is None else tuple(card.spacing),
            card.interpolation,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values, equal for preparations that do the same."""
        return {**asdict(self), "most_places": MOST_PLACES}

    def __call__(self, sample: Sample, task: Task) -> PreprocessedCase:
        """A case with a mask at the spacing and size of training; letterboxed ones are still without their border."""
        image, mask, spacing, previous = sample.image, sample.mask, sample.spacing, sample.previous
        assert mask is not None
        if self.spacing is not None:
            image = resample_image(image, spacing, self.spacing, self.interpolation)
            mask = resample_mask(mask, spacing, self.spacing, task.ignore_label)
            if previous is not None:
                previous = resample_mask(previous, spacing, self.spacing, task.ignore_label)
        if self.fit != "patch":
            size = self.size if self.fit == "resize" else letterbox_shape(mask.shape, self.size)
            image, mask = resize_image(image, size), resize_mask(mask, size, task.ignore_label)
            previous = None if previous is None else resize_mask(previous, size, task.ignore_label)
        intensity = intensity_stats_of(image)
        image = image if previous is None else with_mask(image, previous)
        image, mask = np.ascontiguousarray(image), np.ascontiguousarray(mask)
        places = [] if self.fit != "patch" else [_thinned(mask, k) for k in range(task.classes)]
        outline = CaseMetadata(
            shape=tuple(mask.shape),
            channels=image.shape[-1],
            dtype=image.dtype.name,
            spacing=tuple(
                float(step) * old / new
                for step, old, new in zip(sample.spacing, sample.image.shape, mask.shape, strict=False)
            ),
            intensity=intensity,
            places=tuple(map(len, places)),
        )
        return PreprocessedCase(image, mask, np.concatenate([np.empty(0, np.int64), *places]), outline)


def read_labelled(source: Source, case: Case) -> Sample:
    """A case that is trained on or scored; raises `DataError` when it has no mask."""
    sample = source.read(case)
    if not isinstance(sample, Sample):  # a source of the user's own
        raise DataError(
            "a source that reads something else than a sample",
            code="source-interface",
            where=f"{type(source).__module__}.{type(source).__name__}.read, case {case.id}",
            found=type(sample).__name__,
            expected="a seglab.data.cases.Sample",
            remedy="return Sample(image, mask, spacing=(1.0, 1.0)); " + EXAMPLES,
        )
    if sample.mask is None:
        raise DataError(
            "an image without a mask",
            code="image-without-mask",
            finding="image-without-mask",
            where=source.describe_files(case),
            found=f"no mask of case {case.id}",
            expected="a mask for each case that is trained on or scored",
            remedy="add its label, or remove the case; seglab predict takes images without labels",
        )
    return sample


def places_of(places: np.ndarray, counts: Sequence[int], class_id: int) -> np.ndarray:
    """The part of `PreprocessedCase.places` that belongs to a class; empty where no places are kept."""
    first = sum(counts[:class_id])
    return places[first : first + sum(counts[class_id : class_id + 1])]


def _thinned(mask: np.ndarray, class_id: int) -> np.ndarray:
    places = np.flatnonzero(mask == class_id)
    return places[:: -(-len(places) // MOST_PLACES) or 1]
