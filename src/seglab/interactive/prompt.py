"""A prompt: what a user clicked and drew on one image, checked once and then trusted by every model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from seglab.errors import DataError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

FOREGROUND, BACKGROUND = 1, 0
MAX_POINTS = 1000
MOST_INDEX = 2**31 - 1  # of a slice
# What a mask of true and false stands for where logits are asked for: sigmoid(±10) is certain to five digits.
CERTAIN = 10.0


@dataclass(frozen=True)
class Prompt:
    """Clicks, a box and a previous mask on one image, in the image's own pixels.

    Coordinates are `x, y` in an image (x to the right, y down) and `x, y, z` along the axes of a volume. A whole number
    is the centre of a pixel, so an image of width W reaches from -0.5 to W - 0.5. Make one with `Prompt.of`.

    Attributes:
        shape: of the mask that is asked for: `(H, W)` or `(X, Y, Z)`.
        points: `(N, D)` float64, N may be 0; no two of them in one pixel.
        labels: `(N,)` int64, 1 on the object and 0 beside it.
        box: `(2 D,)` float64, the lower corner and then the upper one (`x0 y0 x1 y1`), within the image, of a size
            above zero; or None. A pixel is in the box where its centre is.
        mask: the previous mask as logits, float32 of `shape`, finite; or None.
        notes: what was corrected in what the user gave, a sentence each.
    """

    shape: tuple[int, ...]
    points: Floats
    labels: Ints
    box: Floats | None = None
    mask: Logits | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def of(
        cls,
        shape: tuple[int, ...],
        points: Any = (),
        labels: Any = (),
        box: Any = None,
        mask: Any = None,
    ) -> Prompt:
        """A checked prompt from whatever a user gave.

        What cannot be meant is refused with a `DataError`: a prompt that names no object (no point on it, no box, no
        mask), a point outside of the image, a number that is not finite, a box without a size or beside the image,
        more than `MAX_POINTS` points, arrays of a wrong form. What is clear is corrected and noted: exchanged corners
        of a box are put right, a box is cut to the image, of two points in one pixel the later one stands.
        """
        shape = tuple(int(length) for length in shape)
        notes: list[str] = []
        places, signs = _points(shape, points, labels, notes)
        corners = _box(shape, box, notes)
        logits = _mask(shape, mask)
        if corners is None and logits is None and not (signs == FOREGROUND).any():
            raise DataError(
                "a prompt that names no object",
                code="prompt-without-object",
                where="points",
                found=f"{len(signs)} background points" if len(signs) else "nothing",
                expected="a foreground point, a box or a previous mask",
                remedy="click on the object (label 1), or draw a box around it",
            )
        return cls(shape, places, signs, corners, logits, tuple(notes))

    @property
    def extent(self) -> tuple[int, ...]:
        """How many pixels there are along each coordinate: `(W, H)` or `(X, Y, Z)`."""
        return extent(self.shape)

    @property
    def pixels(self) -> tuple[Ints, ...]:
        """The pixels of the points, as an index into an array of `shape`."""
        places = pixel_of(self.points)
        columns = tuple(places[:, axis] for axis in range(places.shape[1]))
        return columns[::-1] if len(self.shape) == 2 else columns


def extent(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The lengths of a mask of `shape` in the order of the coordinates."""
    return shape[::-1] if len(shape) == 2 else shape


def pixel_of(points: Floats) -> Ints:
    """The pixel that each point lies in: `(N, D)` int64 in the order of the coordinates."""
    return np.floor(points + 0.5).astype(np.int64)


def inside(box: Floats, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The pixels whose centre lies in a box, as an index into an array of `shape`; at least one along each axis."""
    rank = len(shape)
    parts = []
    for low, high, length in zip(box[:rank], box[rank:], extent(shape), strict=True):
        first = min(int(np.ceil(low)), length - 1) if np.ceil(low) <= high else int(np.floor(low + 0.5))
        first = min(max(first, 0), length - 1)
        parts.append(slice(first, max(min(int(np.floor(high)) + 1, length), first + 1)))
    return tuple(parts[::-1]) if rank == 2 else tuple(parts)


def box_of(mask: Bools) -> Floats | None:
    """The tight box of a mask: from the outer edge of its first pixel to that of its last; None of an empty one."""
    if not mask.any():
        return None
    low, high = [], []
    for axis in range(mask.ndim):
        rest = tuple(other for other in range(mask.ndim) if other != axis)
        found = np.flatnonzero(mask.any(axis=rest))
        low.append(found[0] - 0.5)
        high.append(found[-1] + 0.5)
    order = slice(None, None, -1) if mask.ndim == 2 else slice(None)
    return np.asarray([*low[order], *high[order]], np.float64)


def _numbers(value: Any, where: str, expected: str) -> Floats:
    """Finite numbers, or a `DataError` that says which word is none."""
    try:
        found = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            "a prompt that is no list of numbers",
            code="prompt-form",
            where=where,
            found=repr(value)[:80],
            expected=expected,
            remedy="give plain numbers in pixels of the image",
        ) from error
    if not np.isfinite(found).all():
        raise DataError(
            "a coordinate that is not finite",
            code="prompt-not-finite",
            where=where,
            found=repr(value)[:80],
            expected=expected,
            remedy="give plain numbers in pixels of the image",
        )
    return found


def _points(shape: tuple[int, ...], points: Any, labels: Any, notes: list[str]) -> tuple[Floats, Ints]:
    rank = len(shape)
    if hasattr(points, "__len__") and len(points) > MAX_POINTS:
        raise DataError(
            "more points than a prompt can hold",
            code="prompt-too-many-points",
            where="points",
            found=len(points),
            expected=f"at most {MAX_POINTS}",
            remedy="click where the mask is wrong; a mask prompt says more than thousands of points",
        )
    form = "a list of " + ", ".join("xyz"[:rank])
    places = _numbers(points, "points", form)
    places = places.reshape(0, rank) if places.size == 0 else places
    signs = _numbers(labels, "labels", "a 0 or 1 for each point").reshape(-1)
    if places.ndim != 2 or places.shape[1] != rank or len(signs) != len(places) or not np.isin(signs, (0, 1)).all():
        raise DataError(
            "points and labels that do not fit together",
            code="prompt-form",
            where="points",
            found=f"points {places.shape}, labels {signs[:8].tolist()}",
            expected=f"{form}, and for each of them 1 (on the object) or 0 (beside it)",
            remedy="give each point one label",
        )
    size = np.asarray(extent(shape))
    outside = ((places < -0.5) | (places >= size - 0.5)).any(axis=1)
    if outside.any():
        which = int(np.flatnonzero(outside)[0])
        raise DataError(
            "a point outside of the image",
            code="prompt-point-outside",
            where=f"points, number {which + 1}",
            found=places[which].tolist(),
            expected=" × ".join(f"-0.5 to {length - 0.5}" for length in size),
            remedy="give coordinates in pixels of the image itself, as it is after its EXIF turn",
        )
    last: dict[tuple[int, ...], int] = {}
    for index, pixel in enumerate(map(tuple, pixel_of(places).tolist())):
        if pixel in last and signs[last[pixel]] != signs[index]:
            notes.append(f"two points with different labels in pixel {pixel}: the later one stands")
        last[pixel] = index
    kept = sorted(last.values())
    return places[kept], signs[kept].astype(np.int64)


def _box(shape: tuple[int, ...], box: Any, notes: list[str]) -> Floats | None:
    if box is None:
        return None
    rank = len(shape)
    form = "x0, y0, x1, y1" if rank == 2 else "x0, y0, z0, x1, y1, z1"
    corners = _numbers(box, "box", form).reshape(-1)
    if corners.size != 2 * rank:
        raise DataError(
            "a box with the wrong number of coordinates",
            code="prompt-form",
            where="box",
            found=corners.tolist()[:8],
            expected=form,
            remedy="give two opposite corners",
        )
    low, high = np.minimum(corners[:rank], corners[rank:]), np.maximum(corners[:rank], corners[rank:])
    if (corners[:rank] > corners[rank:]).any():
        notes.append("the corners of the box were exchanged")
    if (low == high).any():
        raise DataError(
            "a box without a size",
            code="prompt-box-size",
            where="box",
            found=corners.tolist(),
            expected="x0 below x1 and y0 below y1",
            remedy="draw the box around the whole object",
        )
    edge = np.asarray(extent(shape)) - 0.5
    if (high <= -0.5).any() or (low >= edge).any():
        raise DataError(
            "a box beside the image",
            code="prompt-box-outside",
            where="box",
            found=corners.tolist(),
            expected=" × ".join(f"-0.5 to {end}" for end in edge),
            remedy="give coordinates in pixels of the image itself, as it is after its EXIF turn",
        )
    if (low < -0.5).any() or (high > edge).any():
        notes.append("the box was cut to the image")
    return np.concatenate([np.maximum(low, -0.5), np.minimum(high, edge)])


def _mask(shape: tuple[int, ...], mask: Any) -> Logits | None:
    if mask is None:
        return None
    given = np.asarray(mask)
    if given.shape != shape or given.dtype.kind not in "bf":
        raise DataError(
            "a previous mask of another form than the image",
            code="prompt-form",
            where="mask",
            found=f"{given.dtype} {given.shape}",
            expected=f"logits (float) or true and false, {shape}",
            remedy="give the mask at the size of the image itself",
        )
    if given.dtype.kind == "b":
        return np.where(given, CERTAIN, -CERTAIN).astype(np.float32)
    if not np.isfinite(given).all():
        raise DataError(
            "a previous mask that is not finite",
            code="prompt-not-finite",
            where="mask",
            found=f"{int((~np.isfinite(given)).sum())} of {given.size} values",
            expected="finite logits",
            remedy="give the logits as the model returned them",
        )
    return np.asarray(given, np.float32)
