"""From the values in a mask file to class ids, or from its colours; what nobody declared is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from seglab.data.labels.label_remedies import Rgb, UndeclaredLabels, declare_colors, declare_values, looks_lossy
from seglab.errors import ConfigError, DataError

MAX_CLASSES = 255  # ids 0..254; 255 is the ignore label of an 8-bit mask
NEARLY_WHOLE = 1e-3  # how far from a whole number a label value may be
_LARGEST_WHOLE = 2**53  # from there on a float64 skips whole numbers


@dataclass(frozen=True)
class LabelMap:
    """`values[i]` in a file is class id `i`, or `class_ids[i]` where given; `ignore_value` becomes `ignore_label`.

    Attributes:
        values: the declared values, in the order of the class ids.
        ignore_value: value that marks pixels without a truth, or None.
        ignore_label: what those pixels become.
        remedy: what to do about an undeclared value, where the format has a better answer than `data.label_values`.
        class_ids: what each of `values` becomes, for labels that share a class or are ignored; empty for its position.
        names: of the classes as the user gave them, to be kept by a remedy; empty where they follow from the values.
        colors: red, green and blue of each of `values` and, last, of `ignore_value`, by which masks are read in the
            place of their values; empty for masks that are read by values.
        threshold: brightness from which on a mask stands for the larger of two `values`, below it for the smaller; None
            for masks that are read by values or colours.
    """

    values: tuple[int, ...]
    ignore_value: int | None = None
    ignore_label: int = 255
    remedy: str = ""
    class_ids: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    colors: tuple[Rgb, ...] = ()
    threshold: float | None = None

    def __post_init__(self) -> None:
        declared = list(self.values) + ([] if self.ignore_value is None else [self.ignore_value])
        too_many = len(self.values) > MAX_CLASSES
        if len(set(declared)) != len(declared) or too_many:
            raise ConfigError(
                "too many label values" if too_many else "label values that are not distinct",
                code="too-many-labels" if too_many else "label-values-repeat",
                where="data.label_values, data.ignore_value",
                found=f"label_values={list(self.values)}, ignore_value={self.ignore_value}",
                expected=f"up to {MAX_CLASSES} values, each once, the ignored one apart",
                remedy="list each value once, in the order of the class ids, background first",
            )
        right = {color for color in self.colors if len(color) == 3 and set(color) <= set(range(256))}
        if self.colors and not len(right) == len(self.colors) == len(declared):
            raise ConfigError(
                "label colours that do not fit the label values",
                code="label-colours-mismatch",
                where="data.label_colors",
                found=[list(color) for color in self.colors],
                expected=f"{len(declared)} different colours, of {declared}: red, green and blue of 0 to 255",
                remedy="for example data.label_colors=[[0,0,0],[255,255,255]], or null for masks of values",
            )

        if self.threshold is not None and (len(declared) != 2 or self.ignore_value is not None or self.colors):
            raise ConfigError(
                "a threshold for masks of other than two classes",
                code="mask-threshold-classes",
                where="data.mask_threshold",
                found=f"{self.threshold:g} with label_values={list(self.values)}, ignore_value={self.ignore_value}"
                + (", label_colors" if self.colors else ""),
                expected="two label values, for dark and bright, and no other rule for the classes",
                remedy="data.label_values=[0,1] data.ignore_value=null data.label_colors=null, or"
                " data.mask_threshold=null",
            )

    def settings(self) -> dict[str, Any]:
        """What decides which id a value becomes, as JSON values for the digest of a data set."""
        return {
            "label_values": list(self.values),
            "class_ids": list(self.class_ids),
            "ignore_value": self.ignore_value,
            **({"colors": [list(color) for color in self.colors]} if self.colors else {}),
            **({} if self.threshold is None else {"threshold": self.threshold}),
        }

    def first_values(self) -> tuple[int, ...]:
        """The first declared value of each class id, in the order of the ids; empty if one is negative."""
        ids = self.class_ids or tuple(range(len(self.values)))
        first = {k: value for k, value in reversed([*zip(ids, self.values, strict=True)]) if k != self.ignore_label}
        return () if min(first.values()) < 0 else tuple(first[k] for k in sorted(first))

    def ids(self, mask: np.ndarray, where: str) -> np.ndarray:
        """Class ids (uint8) of a mask of file values; `where` is the file to name.

        Raises:
            DataError: values that are not whole numbers, or not declared.
        """
        mask, _ = whole_numbers(mask, where)
        ignored = [] if self.ignore_value is None else [self.ignore_value]
        ids, known = _map_values(mask, np.array([*self.values, *ignored]), self._becomes())
        if not known:
            raise self._undeclared(mask, where)
        return ids

    def ids_of_brightness(self, brightness: np.ndarray) -> tuple[np.ndarray, float]:
        """Class ids (uint8) of a mask `(H, W)` that is read by `threshold`, and the share of its pixels that are nearer
        to the threshold than to black, or to as much above it."""
        assert self.threshold is not None
        dark, bright = self._becomes()[np.argsort(self.values)]
        unclear = np.abs(brightness.astype(np.float32) - self.threshold) < self.threshold / 2
        return np.where(brightness >= self.threshold, bright, dark), float(unclear.mean()) if unclear.size else 0.0

    def _undeclared(self, mask: np.ndarray, where: str) -> DataError:
        found, counts = np.unique(mask, return_counts=True)
        values = [int(value) for value in found]
        lossy = looks_lossy(values, counts, where)
        unknown = [value for value in values if value not in self.values and value != self.ignore_value]
        shown = ", ".join(map(str, values[:12])) + (f", … ({len(values)} values)" if len(values) > 12 else "")
        ignored = "" if self.ignore_value is None else f" and {self.ignore_value} (ignored)"
        return UndeclaredLabels(
            f"a mask value that is not declared: {', '.join(map(str, unknown[:6]))}",
            values=() if self.remedy else values,
            lossy=lossy,
            where=where,
            found=f"values {shown}",
            expected="only " + ", ".join(map(str, self.values)) + ignored,
            remedy=self.remedy or self.remedy_for(values, lossy=lossy),
        )

    def remedy_for(self, held: Sequence[int], *, lossy: bool = False) -> str:
        """What to set for masks that hold these values, sorted, beside what is declared.

        Args:
            held: values of one mask, or of all.
            lossy: whether they look like black and white with greys between.
        """
        return declare_values(held, self.values, self.ignore_value, self.names, lossy=lossy)

    def ids_of_colors(self, shown: np.ndarray, where: str) -> np.ndarray:
        """Class ids (uint8) of a mask `(H, W, 3)` uint8 that is read by `colors`; errors as `ids`."""
        declared, becomes = np.array([_packed(np.array(color)) for color in self.colors]), self._becomes()
        packed = _packed(shown)
        ids, known = _map_values(packed, declared, becomes)
        if known:
            return ids
        held = [(int(c) >> 16, int(c) >> 8 & 255, int(c) & 255) for c in np.unique(packed)]
        unknown = [color for color in held if color not in self.colors]
        raise UndeclaredLabels(
            f"a mask colour that is not declared: {list(unknown[0])}",
            where=where,
            found=f"{len(held)} colours, " + ", ".join(str(list(color)) for color in unknown[:6]) + " among them",
            expected="only " + ", ".join(str(list(color)) for color in self.colors),
            remedy=declare_colors(unknown, self.colors, self.values, self.ignore_value, self.names),
        )

    def _becomes(self) -> np.ndarray:
        """The class id of each declared value and, last, of the ignored one."""
        ignored = [] if self.ignore_value is None else [self.ignore_label]
        return np.array([*(self.class_ids or range(len(self.values))), *ignored]).astype(np.uint8)


def class_names_for(values: Sequence[int], names: Sequence[str] | None) -> list[str]:
    """The given class names, checked; without them each class is named after its value: `label_0`, `label_255`.

    The value is used because nothing says that the first class is a background: in a membrane data set with
    values 0 and 255, 0 is what is looked for.
    """
    if names is None:
        return [f"label_{value}" for value in values]
    if len(names) != len(values) or len(set(names)) != len(names):
        raise ConfigError(
            "class names that do not fit the label values",
            code="class-names-mismatch",
            where="data.class_names",
            found=f"{len(names)} names {list(names)} for {len(values)} values {list(values)}",
            expected="one name of its own for each of data.label_values",
            remedy=f"give {len(values)} different names, or data.class_names=null to name them after their values",
        )
    return list(names)


def _map_values(mask: np.ndarray, declared: np.ndarray, becomes: np.ndarray) -> tuple[np.ndarray, bool]:
    """What each value of `mask` becomes, and whether all of them are declared."""
    if mask.dtype == np.uint8 and mask.size:
        # A table of all 256 values is some ten times faster than a search.
        inside = (declared >= 0) & (declared < 256)
        table, strange = np.zeros(256, np.uint8), np.ones(256, np.uint8)
        table[declared[inside]], strange[declared[inside]] = becomes[inside], 0
        flat = np.ascontiguousarray(mask).reshape(1, -1)
        return cv2.LUT(flat, table).reshape(mask.shape), not cv2.LUT(flat, strange).any()
    order = np.argsort(declared)
    declared, becomes = declared[order], becomes[order]
    position = np.searchsorted(declared, mask).clip(max=len(declared) - 1)
    return becomes[position], bool((declared[position] == mask).all())


def _packed(colors: np.ndarray) -> np.ndarray:
    """One number for each colour `(…, 3)`."""
    red, green, blue = (colors[..., c].astype(np.int32) for c in range(3))
    return red << 16 | green << 8 | blue


def whole_numbers(mask: np.ndarray, where: str) -> tuple[np.ndarray, float]:
    """The mask as integers, and how far its values were from whole numbers: 0 where they are stored as such.

    Saving as floats, or a scale in a header, makes 2.9999999 of 3; what is within `NEARLY_WHOLE` is rounded.

    Raises:
        DataError: values that are farther off, not finite, or too large to be counted on.
    """
    if mask.dtype.kind in "iu":
        return mask, 0.0
    if mask.dtype.kind == "b":
        return mask.astype(np.int64), 0.0
    finite = np.isfinite(mask) & (np.abs(mask) <= _LARGEST_WHOLE)
    nearest = np.rint(np.where(finite, mask, 0))
    off = np.where(finite, np.abs(mask - nearest), np.inf)
    worst = float(off.max(initial=0))
    if worst > NEARLY_WHOLE:
        far = off[off > NEARLY_WHOLE]
        odd = np.unique(mask[off > NEARLY_WHOLE])
        shown = ", ".join(f"{value:.6g}" for value in odd[:4]) + (", …" if len(odd) > 4 else "")
        largest = float(far[np.isfinite(far)].max(initial=0))
        distance = f", up to {largest:.3g} from a whole number" if largest else ""
        raise DataError(
            "a mask whose values are no whole numbers",
            code="mask-not-whole",
            finding="label-not-whole",
            where=where,
            found=f"{shown} ({far.size} of {mask.size} values{distance})",
            expected=f"class values such as 0, 1, 2, within {NEARLY_WHOLE:g}",
            remedy="store the mask as integers; a resampled mask needs nearest-neighbour interpolation",
        )
    return nearest.astype(np.int64), worst
