"""What to paste when masks hold what nobody declared: what was declared stays, what is missing comes behind it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seglab.errors import DataError

Rgb = tuple[int, ...]  # red, green and blue, 0 to 255
# More strange values than this are brightness, not classes.
MOST_UNKNOWN = 32
_PHOTOGRAPH = (
    "this looks like a photograph or a lossy mask: store masks as PNG or TIFF with one class value a pixel,"
    " and check that data.images and data.masks are not swapped"
)
_LOSSY = (
    "if it is black and white with greys between, as JPEG and soft edges make it: data.mask_threshold=128, which takes"
    " what is as bright or brighter for white"
)
# Of a mask that lossy compression or soft edges made grey: how far values are from black and white at most, for this
# share of the pixels; and how many shades lie between, far enough from black to be no numbers of classes.
_NEAR, _NEAR_SHARE, _SHADES, _FEWEST_SHADES = 12, 0.8, (32, 224), 4
_LOSSY_ENDINGS = (".jpg", ".jpeg")


class UndeclaredLabels(DataError):
    """A mask with values that are not declared.

    Args:
        values: all that the mask holds, sorted; empty where a remedy for this mask alone is the remedy for all.
        lossy: whether it looks like black and white with greys between.
    """

    def __init__(self, what: str, *, values: Sequence[int] = (), lossy: bool = False, **rest: Any):
        super().__init__(what, finding="undeclared-label", **rest)
        self.values, self.lossy = tuple(values), lossy


def looks_lossy(values: Sequence[int], counts: np.ndarray, file: str = "") -> bool:
    """Whether a mask seems to be black and white, made grey at its edges by lossy compression or by smoothing.

    Args:
        values: that it holds, sorted, and how many pixels hold each.
        counts: of pixels, for each value.
        file: its name; in a JPEG that has not more values than labels could have, compression is what made them.
    """
    held = np.asarray(values)
    near = (np.abs(held) <= _NEAR) | (np.abs(held - 255) <= _NEAR)
    if not held.size or held.min() < 0 or held.max() > 255 or counts[near].sum() < _NEAR_SHARE * counts.sum():
        return False
    if Path(file).suffix.lower() in _LOSSY_ENDINGS:
        return not set(values) <= {0, 255}
    shades = (held >= _SHADES[0]) & (held < _SHADES[1])
    return bool(shades.sum() >= _FEWEST_SHADES and held.max() >= 255 - _NEAR)


def declare_values(
    held: Sequence[int], declared: Sequence[int], ignored: int | None, names: Sequence[str], *, lossy: bool = False
) -> str:
    """What to do about masks of the values `held`.

    Args:
        held: sorted; of one mask, or of all.
        declared, ignored: the label values in the order of the class ids; the one without a truth, or None.
        names: of the classes as the user gave them, or none.
        lossy: as `looks_lossy` says.
    """
    if lossy and len(declared) == 2 and ignored is None:
        rest = declare_values(held, declared, ignored, names)
        return (
            f"{_LOSSY}; {rest}" if len(set(held) - set(declared)) <= MOST_UNKNOWN else f"{_LOSSY}; or store it as PNG"
        )
    unknown = [value for value in held if value not in declared and value != ignored]
    if len(unknown) > MOST_UNKNOWN:
        return _PHOTOGRAPH
    more = _list_of("label_values", [*declared, *unknown]) + _names(names, unknown)
    if ignored is not None:
        return f"if these are classes too: {more}"
    if {255 - value for value in held} <= set(declared):
        return (
            "if the file is a TIFF that says that 0 is white, though its values are labels: save it anew with 0 as"
            f" black (MINISBLACK); if these are classes too: {more}"
        )
    if set(held) <= {0, 255} and tuple(declared) == (0, 1):
        return (
            "if every mask is stored as black and white, 0 and 255: data.label_values=[0,255]; if 255 marks pixels"
            f" without a truth: data.ignore_value=255; if it is one class more: {more}"
        )
    if set(held) <= {0, 1} and tuple(declared) == (0, 255):
        return (
            "if every mask is stored as 0 and 1, as in PNG of 1 bit, which is shown as black and white:"
            " data.label_values=[0,1]; if others are stored as 0 and 255: save them anew in one way; if 1 marks pixels"
            f" without a truth: data.ignore_value=1; if it is one class more: {more}"
        )
    if len(unknown) == 1:
        [value] = unknown
        return f"if {value} marks pixels without a truth: data.ignore_value={value}; if it is one class more: {more}"
    return f"if these are classes too: {more}; one of them may be data.ignore_value instead, for pixels without a truth"


def declare_colors(
    unknown: Sequence[Rgb], colors: Sequence[Rgb], declared: Sequence[int], ignored: int | None, names: Sequence[str]
) -> str:
    """What to do about masks of colours that are not among `colors`, those of `declared` and, last, of `ignored`."""
    if len(unknown) > MOST_UNKNOWN:
        return _PHOTOGRAPH
    first = max([*declared, -1 if ignored is None else ignored]) + 1
    values = [*range(first, first + len(unknown))]
    known = len(declared)
    rows = _colors([*colors[:known], *unknown, *colors[known:]])
    more = f"{_list_of('label_values', [*declared, *values])} {rows}{_names(names, values)}"
    if ignored is None and len(unknown) == 1:
        without = f"data.ignore_value={first} {_colors([*colors, *unknown])}"
        return f"if it marks pixels without a truth: {without}; if it is one class more: {more}"
    return f"if these are classes too: {more}"


def _list_of(key: str, values: Sequence[object]) -> str:
    return f"data.{key}=[" + ",".join(map(str, values)) + "]"


def _colors(colors: Sequence[Rgb]) -> str:
    return _list_of("label_colors", ["[" + ",".join(map(str, color)) + "]" for color in colors])


def _names(names: Sequence[str], unknown: Sequence[int]) -> str:
    """With names given, one for each new value as well, quoted for Hydra and for the shell."""
    if not names:
        return ""
    if any(sign in name for name in names for sign in "'\"\\$`!"):
        return " and a name for each in data.class_names"
    return ' "' + _list_of("class_names", [f"'{name}'" for name in [*names, *(f"label_{v}" for v in unknown)]]) + '"'
