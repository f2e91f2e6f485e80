"""A prompt on one slice of a volume, carried through the rest with a model of images: each slice begins with the mask
of the one beside it, and any slice can be corrected by a prompt of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from seglab.errors import DataError
from seglab.interactive.images import picture_of
from seglab.interactive.model import PromptModel
from seglab.interactive.prompt import Bools, Floats, Prompt, box_of, inside
from seglab.interactive.session import Session

# How far around the mask of the slice before the object is looked for, as a share of its longer side, and in pixels.
_MARGIN, _LEAST_MARGIN = 0.1, 2.0
# A mask that is larger than the one before by more than the inverse is none of the object.
_LEAST_SHARE = 0.2
_RING = 3  # pixels around the object that tell how its surroundings look


@dataclass(frozen=True)
class SlicePrompt:
    """A prompt on one slice: `points` `(N, 2)`, `labels` and `box` as of an image whose x and y are the two axes of the
    volume that are left, in their order."""

    points: Sequence[Sequence[float]] = ()
    labels: Sequence[int] = ()
    box: Sequence[float] | None = None


def segment_volume(
    model: PromptModel,
    volume: npt.NDArray[Any],
    prompts: Mapping[int, SlicePrompt],
    axis: int = 2,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> Bools:
    """`(X, Y, Z)` bool: the object that is named on one or more slices.

    From each prompted slice the mask is carried to both sides, until nothing of it is left or the next prompted slice
    begins; between two prompted slices each is carried to the middle.

    Args:
        model: of rank 2.
        volume: `(X, Y, Z)` or `(X, Y, Z, C)`, in whatever order its axes are.
        prompts: by the index of the slice along `axis`.
        axis: that the slices are cut across.
        told: how many slices of how many at most are done.

    Raises:
        DataError: no prompt, a slice that the volume does not have, or a prompt that cannot be meant.
    """
    grey = volume[..., 0] if volume.ndim == 4 else volume
    count = grey.shape[axis]
    wrong = [index for index in prompts if not 0 <= index < count]
    if not prompts or wrong:
        raise DataError(
            "a slice that the volume does not have" if wrong else "a prompt that names no object",
            code="prompt-point-outside" if wrong else "prompt-without-object",
            where="slice",
            found=wrong[0] if wrong else "no prompt",
            expected=f"0 to {count - 1}",
            remedy="give a prompt on a slice that shows the object",
        )
    pictures = _Pictures(grey, axis)
    found = np.zeros(grey.shape, bool)
    planes = np.moveaxis(found, axis, 0)
    keys, done = sorted(prompts), 0
    for number, key in enumerate(keys):
        low = 0 if number == 0 else (keys[number - 1] + key) // 2 + 1
        high = count - 1 if number == len(keys) - 1 else (key + keys[number + 1]) // 2
        one = prompts[key]
        session = Session(model, model.embed(pictures[key]))
        shown = session.predict(one.points, one.labels, one.box).mask
        planes[key] = shown.T
        looks = _Looks.of(pictures[key], shown)
        for way in (range(key + 1, high + 1), range(key - 1, low - 1, -1)):
            before = shown
            for index in way:
                done += 1
                told(done, count)
                before = _carried(model, pictures[index], before, looks)
                if not before.any():
                    break
                planes[index] = before.T
    return found


class _Pictures:
    """The slices as pictures `(H, W, 3)`: x along the first axis that is left, y along the second, one window of grey
    values for all."""

    def __init__(self, grey: npt.NDArray[Any], axis: int):
        low, high = np.percentile(grey, (0.5, 99.5))
        self._planes = np.moveaxis(grey, axis, 0)
        self._low, self._scale = float(low), 255 / max(float(high - low), 1e-12)

    def __getitem__(self, index: int) -> npt.NDArray[np.uint8]:
        values = (self._planes[index].T.astype(np.float32) - self._low) * self._scale
        return picture_of(np.clip(values + 0.5, 0, 255).astype(np.uint8)[..., None])


def _near(box: Floats, margin: float, shape: tuple[int, ...]) -> Bools:
    """Pixels in a box with a margin."""
    found = np.zeros(shape, bool)
    found[inside(np.clip(box + np.array([-margin, -margin, margin, margin]), -0.5, np.tile(shape[::-1], 2)), shape)] = (
        True
    )
    return found


def _overlap(mask: Bools, other: Bools) -> float:
    return float((mask & other).sum() / max(int((mask | other).sum()), 1))


class _Looks(NamedTuple):
    """Mean grey value of the object and of what surrounds it, on the slice that a user prompted."""

    object: float
    around: float

    @classmethod
    def of(cls, picture: npt.NDArray[np.uint8], mask: Bools) -> _Looks:
        ring = ndimage.binary_dilation(mask, iterations=_RING) & ~mask
        grey = picture[..., 0]
        return cls(*(float(grey[where].mean()) if where.any() else 0.0 for where in (mask, ring)))

    def nearer_object(self, grey: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Where grey values are nearer to the object's than to its surroundings'."""
        return np.asarray(np.abs(grey - self.object) < np.abs(grey - self.around))


def _carried(model: PromptModel, picture: npt.NDArray[np.uint8], before: Bools, looks: _Looks) -> Bools:
    """The mask of a slice from that of the one beside it: asked with its box and the place in it that is innermost and
    looks like the object. Where nothing does, or the answer does not, the object has ended."""
    alike = looks.nearer_object(ndimage.uniform_filter(picture[..., 0].astype(np.float32), 3))
    seen = before & alike
    if not seen.any():
        return np.zeros_like(before)
    tight = box_of(seen)
    assert tight is not None
    margin = max(_MARGIN * float((tight[2:] - tight[:2]).max()), _LEAST_MARGIN)
    depth = ndimage.distance_transform_edt(np.pad(seen, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    prompt = Prompt.of(before.shape, [[column, row]], [1], tight + np.array([-margin, -margin, margin, margin]))
    found = model.candidates(model.embed(picture), prompt)
    likeness = [_overlap(logits > 0, alike & _near(tight, margin, before.shape)) for logits in found.logits]
    mask: Bools = found.logits[int(np.argmax(likeness))] > 0
    parts, _ = ndimage.label(mask)
    mask = np.isin(parts, np.setdiff1d(np.unique(parts[seen]), [0]))
    ended = not mask.any() or alike[mask].mean() < 0.5 or mask.sum() > before.sum() / _LEAST_SHARE
    return np.zeros_like(before) if ended else mask
