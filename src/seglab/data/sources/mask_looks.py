"""What a few files look like: masks of classes, masks that lost their values to compression, regions, photographs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seglab.data.io.image_files import read_mask_brightness, read_mask_colors, read_mask_file
from seglab.data.labels.label_remedies import MOST_UNKNOWN, looks_lossy
from seglab.errors import DataError

_NEARLY_WHITE = 240
_CUSTOMARILY_IGNORED = 255
_REGION_SHARE = 0.5  # of the pixels of each file that are white in a region of interest, at least


@dataclass(frozen=True)
class MaskSummary:
    """Of several files taken together.

    Attributes:
        values: that the files hold, if they can be class values; empty for anything else.
        lossy: whether they look like black and white with greys between.
        is_region: whether white covers most of each.
        is_colored: whether they hold a few colours, as masks do whose classes are told by these.
    """

    values: tuple[int, ...] = ()
    lossy: bool = False
    is_region: bool = False
    is_colored: bool = False

    @property
    def is_mask(self) -> bool:
        """Whether these can be masks."""
        return self.lossy or bool(self.values) or self.is_colored

    def settings(self) -> str:
        """What a config has to say for such masks, beside the default of 0 and 1; of colours, reading one says it."""
        if self.lossy:
            return "data.mask_threshold=128"
        if set(self.values) <= {0, 1}:
            return ""
        return _declared(self.values)

    def settings_ignoring(self) -> str:
        """The same if 255 is no class; empty unless it stands behind classes that are numbered from 0."""
        *classes, last = self.values or (0,)
        if self.lossy or last != _CUSTOMARILY_IGNORED or len(classes) < 2 or classes != [*range(len(classes))]:
            return ""
        return f"{_declared(classes)} data.ignore_value={last}"


def _declared(values: Sequence[int]) -> str:
    return f"data.label_values=[{','.join(map(str, values))}]"


def inspect_masks(files: Sequence[Path]) -> MaskSummary:
    """Decode the files and say what they look like; files that cannot be decoded say nothing."""
    counts: dict[int, int] = {}
    colors: set[int] = set()
    shares, lossy_file = [], ""
    for file in files:
        try:
            bright = read_mask_brightness(file)
        except DataError:  # colours, or damaged
            with suppress(DataError):
                colors |= set(np.unique(read_mask_colors(file).astype(np.int32) @ [1 << 16, 1 << 8, 1]).tolist())
            if len(colors) > MOST_UNKNOWN:
                return MaskSummary()
            continue
        shares.append(float((bright > bright.max(initial=0) / 2).mean()))
        try:
            values = read_mask_file(file)
        except DataError:  # grey but for a tint
            values = bright
        if values.dtype.kind not in "ui":
            return MaskSummary()
        held, many = np.unique(values, return_counts=True)
        for value, count in zip(held.tolist(), many.tolist(), strict=True):
            counts[value] = counts.get(value, 0) + count
        lossy_file = str(file)
    if colors:
        return MaskSummary(is_colored=True)
    values_held = sorted(counts)
    lossy = looks_lossy(values_held, np.array([counts[value] for value in values_held]), lossy_file)
    lossy = lossy and values_held[-1] > _NEARLY_WHITE  # else it may be a dark photograph
    if not counts or (len(values_held) > MOST_UNKNOWN and not lossy):
        return MaskSummary()
    return MaskSummary(() if lossy else tuple(values_held), lossy, min(shares) > _REGION_SHARE)
