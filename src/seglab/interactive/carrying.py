"""A mask carried from a slice of a volume to the one beside it, and where the object has ended."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from seglab.interactive.prompt import Bools, Floats, Prompt, box_of, inside
from seglab.interactive.prompt_models import PromptModel

# How far around the mask of the slice before the object is looked for, as a share of its longer side, and in pixels.
_MARGIN, _LEAST_MARGIN = 0.1, 2.0
# A mask that is larger than the one before by more than the inverse is none of the object.
_LEAST_SHARE = 0.2
_RING = 3  # pixels around the object that tell how its surroundings look


def _near(box: Floats, margin: float, shape: tuple[int, ...]) -> Bools:
    """Pixels in a box with a margin."""
    found = np.zeros(shape, bool)
    found[inside(np.clip(box + np.array([-margin, -margin, margin, margin]), -0.5, np.tile(shape[::-1], 2)), shape)] = (
        True
    )
    return found


def _overlap(mask: Bools, other: Bools) -> float:
    return float((mask & other).sum() / max(int((mask | other).sum()), 1))


class Appearance(NamedTuple):
    """Mean grey value of the object and of what surrounds it, on the slice that a user prompted."""

    object: float
    around: float

    @classmethod
    def of(cls, picture: npt.NDArray[np.uint8], mask: Bools) -> Appearance:
        ring = ndimage.binary_dilation(mask, iterations=_RING) & ~mask
        grey = picture[..., 0]
        return cls(*(float(grey[where].mean()) if where.any() else 0.0 for where in (mask, ring)))

    def nearer_object(self, grey: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Where grey values are nearer to the object's than to its surroundings'."""
        return np.asarray(np.abs(grey - self.object) < np.abs(grey - self.around))


def carried(model: PromptModel, picture: npt.NDArray[np.uint8], before: Bools, appearance: Appearance) -> Bools:
    """The mask of a slice from that of the one beside it: asked with its box and the place in it that is innermost and
    looks like the object. Where nothing does, or the answer does not, the object has ended."""
    alike = appearance.nearer_object(ndimage.uniform_filter(picture[..., 0].astype(np.float32), 3))
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
