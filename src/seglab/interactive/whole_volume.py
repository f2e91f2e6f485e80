"""Prompts on slices of a volume, answered as one by a model of volumes: it sees all clicks and boxes at once, so that
nothing is carried from slice to slice."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from nibabel import orientations

from seglab.data.io.nifti_files import restore_orientation, spacing_of, to_ras
from seglab.interactive.prompt import CERTAIN, Bools, Floats, Logits, Prompt
from seglab.interactive.prompt_models import PromptModel
from seglab.interactive.session import Session, goes_on, same_prompt
from seglab.interactive.volume_prompts import VolumeReply, VolumeSession, other_axis
from seglab.interactive.volume_state import Prompted, VolumeState, packed, unpacked


class WholeVolumeSession(VolumeSession):
    """One volume with a model of volumes; slices, steps and the way back as of `VolumeSession`.

    Args:
        model: of rank 3.
        volume: `(X, Y, Z)` in the order of its file.
        affine: from its voxels to mm; the model sees the volume in RAS order, as in training.
    """

    def __init__(self, model: PromptModel, volume: npt.NDArray[Any], affine: npt.NDArray[np.float64]):
        super().__init__(model, volume)
        self._affine = affine
        self._embedding = model.embed(np.ascontiguousarray(to_ras(volume, affine), np.float32)[..., None])

    @property
    def bytes(self) -> int:
        """Memory that the session holds."""
        return super().bytes + self._embedding.bytes

    def predict(
        self,
        axis: int,
        index: int,
        points: Sequence[Sequence[float]] = (),
        labels: Sequence[int] = (),
        box: Sequence[float] | None = None,
        candidate: int | None = None,
        *,
        anew: bool = False,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> VolumeReply:
        """As of `VolumeSession`, but for what follows: a click on any slice is about the whole object. Clicks go on
        from the mask before; a box that is another than before, or a click that was taken away, begins it anew. As
        deep as a box is high and wide, in mm, the object is thought to be."""
        began_at = time.perf_counter()
        shape = self.picture(axis, index).shape[:2]
        former = None if anew else self.state
        if former is not None and former.axis != axis:
            raise other_axis(former.axis, axis)
        on_slice = Prompt.of(shape, points, labels, box, None if former is None else np.zeros(shape, bool))
        before = self._mask_before(former, index, on_slice)
        prompted = {} if former is None else dict(former.prompted)
        prompted[index] = Prompted(on_slice, None if before is None else packed(before), b"")
        session = Session(self.model, self._embedding)
        reply = session.predict(*self._asked(axis, prompted), self._logits(before), candidate)
        mask = restore_orientation(reply.mask, self._affine)
        scores = tuple(float(score) for score in reply.scores)
        of_mask = scores[reply.chosen], scores, reply.chosen, reply.verdict
        state = VolumeState(axis, index, prompted, packed(mask), *of_mask, 1 if former is None else former.taken + 1)
        self._steps.add(state)
        took = (time.perf_counter() - began_at) * 1000
        return VolumeReply(self.slice_mask(axis, index), state, on_slice.notes, took)

    def _mask_before(self, former: VolumeState | None, index: int, new: Prompt) -> Bools | None:
        """The mask of the volume that a prompt goes on from."""
        if former is None:
            return None
        last = former.prompted.get(index)
        if last is not None and index == former.index and same_prompt(last.prompt, new):
            return None if last.began is None else unpacked(last.began, self.shape)
        if last is None:
            return None if new.box is not None else self.mask
        return self.mask if goes_on(new, last.prompt) else None

    def _logits(self, mask: Bools | None) -> Logits | None:
        if mask is None or not mask.any():
            return None
        return np.where(to_ras(mask, self._affine), CERTAIN, -CERTAIN).astype(np.float32)

    def _asked(self, axis: int, prompted: Mapping[int, Prompted]) -> tuple[list[list[float]], list[int], Floats | None]:
        """Points, labels and box of all slices as the model sees the volume."""
        places, labels, corners, middles = [np.zeros((0, 3))], [], [], []
        for index, one in prompted.items():
            places.append(np.insert(one.prompt.points, axis, index, axis=1))
            labels += one.prompt.labels.tolist()
            if one.prompt.box is not None:
                corners.append(one.prompt.box)
                middles.append(index)
        box = None
        if corners:
            flat = np.array(corners)
            low, high = flat[:, :2].min(axis=0), flat[:, 2:].max(axis=0)
            spacing = np.array(spacing_of(self._affine))
            side = ((high - low) * np.delete(spacing, axis)).mean() / spacing[axis]
            middle = (min(middles) + max(middles)) / 2
            half = max(side, max(middles) - min(middles) + 1) / 2
            both = [np.insert(end, axis, middle + way * half) for end, way in ((low, -1), (high, 1))]
            limit = np.array(self.shape) - 0.5
            ends = self._in_ras(np.clip(np.array(both), -0.5, limit))
            box = np.concatenate([ends.min(axis=0), ends.max(axis=0)])
        return self._in_ras(np.concatenate(places)).tolist(), labels, box

    def _in_ras(self, places: Floats) -> Floats:
        """Places `(N, 3)` in the order of the file, in RAS order."""
        found = np.empty_like(places)
        for axis, (to, way) in enumerate(orientations.io_orientation(self._affine)):
            along = places[:, axis]
            found[:, int(to)] = along if way > 0 else self.shape[axis] - 1 - along
        return found
