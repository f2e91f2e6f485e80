"""How well the details of two images agree once one is laid over the other, and how it had to be laid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

import numpy as np

from seglab.data.preprocessing.image_detail import smooth

# Steps of the descent on the halved and on the whole grid; the farthest one goes at once (share of the axis).
_STEPS, _FARTHEST = (8, 4), 0.05
_DAMPING = 0.05
# How much larger or smaller than the other, and how far beside it, an image may lie; how much has to overlap.
_STRETCH, _BESIDE, _OVERLAP = 0.25, 0.16, 0.5
# A crop or a shift is told from this share of an axis on.
_NOTICED = 0.012
_BATCH = 128

Turn = tuple[tuple[int, ...], tuple[int, ...]]


def turns(rank: int) -> list[Turn]:
    """All ways to swap and mirror axes, the way of doing nothing first: 8 of a plane, 48 of a volume."""
    return [(order, signs) for order in permutations(range(rank)) for signs in product((1, -1), repeat=rank)]


def turned(array: np.ndarray, turn: Turn) -> np.ndarray:
    """A view of `(…, *grid)` with its last axes in another order, some of them backwards."""
    order, signs = turn
    rest = array.ndim - len(order)
    array = array.transpose(*range(rest), *(rest + axis for axis in order))
    backwards: tuple[Any, ...] = (..., *(slice(None, None, sign) for sign in signs))
    return array[backwards]


def windows(scale: np.ndarray, shift: np.ndarray, size: int, beyond: bool = False) -> np.ndarray:
    """`(P, size, size)`: linear interpolation at scale · x + shift, counted from the middle in places.

    Outside there is 0, or what is at the border (`beyond`), so that no edge arises there.
    """
    middle = (size - 1) / 2
    at = scale[:, None] * (np.arange(size) - middle) + shift[:, None] + middle
    if beyond:
        at = np.clip(at, 0, size - 1)
    return np.maximum(1 - np.abs(at[:, :, None] - np.arange(size)), 0).astype(np.float32)


@dataclass
class Alignment:
    """Pairs `(P,)`: their agreement (the correlation of details where they overlap) and how the second was laid.

    `scale` and `shift`, `(P, rank)`: place x of the first is place scale · x + shift of the second, from the middle,
    `shift` as a share of the axis.
    """

    agreement: np.ndarray
    scale: np.ndarray
    shift: np.ndarray


@dataclass(frozen=True)
class Details:
    """Details `(P, *grid)`, 0 outside the field of view; where that is; and patterns that the images of the set have in
    common, `(P, n, *grid)`, turned as each detail is."""

    values: np.ndarray
    inside: np.ndarray
    common: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> Details:
        return Details(self.values[rows], self.inside[rows], self.common[rows])

    def halved(self) -> Details:
        """On a grid of half the size."""
        # Averages of what is inside: values that fade at the border would lie best where the borders meet.
        inside = _halved(self.inside)
        return Details(_halved(self.values) / (inside + 1e-3), inside, self.common)


def lay_over(firsts: Details, seconds: Details, start: Alignment, known: float, hopeless: float | None) -> Alignment:
    """Lay each second image over its first so that their details agree most.

    Gauss-Newton steps on the squared difference of normalised details over scale and shift of each axis, first on a
    halved grid (Lucas and Kanade, IJCAI 1981; the criterion is the correlation of Evangelidis and Psarakis, PAMI 2008).
    The agreement is the partial correlation: what the two have in common with all others, as it lies in the one and in
    the other, is taken out of both.

    Args:
        firsts, seconds: pairs.
        start: where to begin; its agreement is not read.
        known: the share of what is common that is taken out.
        hopeless: pairs whose details agree less on the halved grid are left at that, with an agreement of -1.
    """
    made = Alignment(np.full(len(firsts.values), -1.0, np.float32), start.scale.copy(), start.shift.copy())
    for begin in range(0, len(firsts.values), _BATCH):
        rows = np.arange(begin, min(begin + _BATCH, len(firsts.values)))
        for level, steps in enumerate(_STEPS):
            one, other = firsts[rows], seconds[rows]
            if level < len(_STEPS) - 1:
                one, other = one.halved(), other.halved()
            agreement, made.scale[rows], made.shift[rows] = _descend(
                one, other, made.scale[rows], made.shift[rows], steps
            )
            if hopeless is not None:
                rows = rows[agreement >= hopeless]
            if not len(rows):
                break
        if len(rows):
            made.agreement[rows] = _agreement(firsts[rows], seconds[rows], made.scale[rows], made.shift[rows], known)
    return made


def _agreement(one: Details, other: Details, scale: np.ndarray, shift: np.ndarray, known: float) -> np.ndarray:
    flat = (len(one.values), -1)
    moved, *common = (_warp(a, scale, shift, beyond=True) for a in (other.values, *np.moveaxis(other.common, 1, 0)))
    covered = _warp(other.inside, scale, shift)
    weight = (one.inside * covered).reshape(flat)
    total = weight.sum(axis=1, keepdims=True) + 1e-6
    images = [_normalised(values.reshape(flat), weight, total)[0] for values in (one.values, moved)]
    taken: list[np.ndarray] = []
    for shared in (*np.moveaxis(one.common, 1, 0), *common):
        basis = _normalised(shared.reshape(flat), weight, total)[0]
        for before in taken:
            basis = basis - (basis * before * weight).sum(axis=1, keepdims=True) / total * before
        # What is left of a second that is the first once more is rounding.
        size = np.sqrt((basis * basis * weight).sum(axis=1, keepdims=True) / total)
        taken.append(np.where(size > 0.05, basis / np.maximum(size, 0.05), 0))
    for basis in taken:
        images = [v - known * (v * basis * weight).sum(axis=1, keepdims=True) / total * basis for v in images]
    left, right = (_normalised(values, weight, total)[0] for values in images)
    agreement: np.ndarray = (left * right * weight).sum(axis=1) / total[:, 0]
    enough = total[:, 0] > _OVERLAP * one.inside.reshape(flat).sum(axis=1)
    return np.where(enough, agreement, -1)


def _halved(array: np.ndarray) -> np.ndarray:
    axes = tuple(range(1, array.ndim))
    array = smooth(array, 1.0, axes)
    for axis in axes:
        index = [slice(None)] * array.ndim
        even, odd = list(index), list(index)
        even[axis], odd[axis] = slice(0, None, 2), slice(1, None, 2)
        array = (array[tuple(even)] + array[tuple(odd)]) / 2
    return array


def _descend(
    one: Details, other: Details, scale: np.ndarray, shift: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best of the places that the steps came by."""
    first, inside = one.values, one.inside
    count, rank, size = len(first), first.ndim - 1, first.shape[1]
    flat = (count, -1)
    places = [
        (np.arange(size, dtype=np.float32) - (size - 1) / 2).reshape(*(-1 if n == axis else 1 for n in range(rank)))
        for axis in range(rank)
    ]
    full = np.maximum(inside.reshape(flat).sum(axis=1), 1)
    best = np.full(count, -2.0, np.float32), scale.copy(), shift.copy()
    for step in range(steps + 1):
        moved, covered = _warp(other.values, scale, shift, beyond=True), _warp(other.inside, scale, shift)
        weight = (inside * covered).reshape(flat)
        overlap = weight.sum(axis=1, keepdims=True) + 1e-6
        target, _ = _normalised(first.reshape(flat), weight, overlap)
        source, spread = _normalised(moved.reshape(flat), weight, overlap)
        agreement = (target * source * weight).sum(axis=1) / overlap[:, 0]
        agreement = np.where(overlap[:, 0] > _OVERLAP * full, agreement, -1)
        better = agreement > best[0]
        for kept, now in zip(best, (agreement, scale, shift), strict=True):
            kept[better] = now[better]
        if step == steps:
            break
        slopes = [
            np.gradient(moved, axis=axis + 1).reshape(flat) / spread / scale[:, axis : axis + 1] for axis in range(rank)
        ]
        stretch = [(slope.reshape(moved.shape) * x).reshape(flat) for slope, x in zip(slopes, places, strict=True)]
        design = np.stack([*stretch, *slopes], axis=1)
        weighted = design * weight[:, None]
        normal = weighted @ design.transpose(0, 2, 1)
        diagonal = np.einsum("pii->pi", normal)
        diagonal += _DAMPING * diagonal + 1e-4 * diagonal.mean(axis=1, keepdims=True) + 1e-6
        change = np.linalg.solve(normal, weighted @ (target - source)[..., None])[..., 0]
        change[:, rank:] /= size
        change = np.clip(change, -_FARTHEST, _FARTHEST)
        scale = np.clip(scale + change[:, :rank], 1 - _STRETCH, 1 + _STRETCH).astype(np.float32)
        shift = np.clip(shift + change[:, rank:], -_BESIDE, _BESIDE).astype(np.float32)
    return best


def _normalised(values: np.ndarray, weight: np.ndarray, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    centred = values - (values * weight).sum(axis=1, keepdims=True) / total
    spread = np.sqrt((centred * centred * weight).sum(axis=1, keepdims=True) / total) + 1e-4
    return centred / spread, spread


def _warp(array: np.ndarray, scale: np.ndarray, shift: np.ndarray, beyond: bool = False) -> np.ndarray:
    size = array.shape[1]
    for axis in range(array.ndim - 1):
        lines = np.moveaxis(array, axis + 1, 1)
        warped = windows(scale[:, axis], shift[:, axis] * size, size, beyond) @ lines.reshape(len(array), size, -1)
        array = np.moveaxis(warped.reshape(lines.shape), 1, axis + 1)
    return array


def starts(turn: Turn) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Scales and shifts `(rank,)` from which every crop or shift of up to 5% can be found.

    Of a volume with axes swapped, which a right header does not let happen, there is only the whole one.
    """
    order, rank = turn[0], len(turn[0])
    yield np.ones(rank, np.float32), np.zeros(rank, np.float32)
    if rank == 3 and order != (0, 1, 2):
        return
    for scale in (0.92, 1.084):
        yield np.full(rank, scale, np.float32), np.zeros(rank, np.float32)
    for signs in product((1, -1), repeat=rank):
        yield np.ones(rank, np.float32), np.array(signs, np.float32) * 0.03


def words(turn: Turn, scale: np.ndarray, shift: np.ndarray, shape: tuple[int, ...]) -> str:
    """How an image relates to its first one: `mirrored left to right, cropped`; `the same view` when in no way."""
    parts = [part for part in (_turn_words(turn), _window_words(scale, shift, shape)) if part]
    return ", ".join(parts) or "the same view"


def _turn_words(turn: Turn) -> str:
    order, signs = turn
    rank, mirrored = len(order), [axis for axis, sign in enumerate(signs) if sign < 0]
    if order != tuple(range(rank)):
        even = np.linalg.det(np.eye(rank)[list(order)]) * np.prod(signs) > 0
        return "turned by 90°" if even and rank == 2 else "turned" if even else "turned and mirrored"
    if not mirrored:
        return ""
    if rank == 2:
        return (
            ("mirrored top to bottom", "mirrored left to right")[mirrored[0]]
            if len(mirrored) == 1
            else "turned by 180°"
        )
    return "mirrored in " + " and ".join("xyz"[axis] for axis in mirrored)


def _window_words(scale: np.ndarray, shift: np.ndarray, shape: tuple[int, ...]) -> str:
    if np.abs(scale - 1).max() >= _NOTICED:
        return "cropped"
    axis = int(np.abs(shift).argmax())
    if abs(shift[axis]) < _NOTICED:
        return ""
    if len(shape) == 2:
        return f"shifted by {abs(shift[axis]):.0%}"
    slices = max(round(abs(float(shift[axis])) * shape[axis]), 1)
    return f"shifted by {slices} slice{'s' if slices > 1 else ''} in {'xyz'[axis]}"
