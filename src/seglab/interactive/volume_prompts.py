"""A prompt on one slice of a volume, carried through the rest with a model of images: each slice begins with the mask
of the one beside it, and any slice can be corrected by a prompt of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seglab.errors import DataError
from seglab.interactive.carrying import Appearance, carried
from seglab.interactive.display_image import grey_of, picture_of
from seglab.interactive.prompt import CERTAIN, Bools, Logits, Prompt
from seglab.interactive.prompt_models import PromptModel
from seglab.interactive.session import STEPS_SHARE, Session, goes_on, logits_of, same_prompt
from seglab.interactive.steps import Steps
from seglab.interactive.volume_state import Prompted, VolumeState, packed, packed_logits, unpacked

AXES = "xyz"


@dataclass(frozen=True)
class SlicePrompt:
    """A prompt on one slice: `points` `(N, 2)`, `labels` and `box` as of an image whose x and y are the two axes of the
    volume that are left, in their order."""

    points: Sequence[Sequence[float]] = ()
    labels: Sequence[int] = ()
    box: Sequence[float] | None = None


@dataclass(frozen=True)
class VolumeReply:
    """An answer to a prompt on a slice: see `seglab.interactive.session.Reply`; `mask` is of the slice, and is shown as
    `seglab.interactive.volume_prompts.VolumeSession.picture` is."""

    mask: Bools
    state: VolumeState
    notes: tuple[str, ...]
    milliseconds: float


class VolumeSession:
    """One volume with a model of images.

    Args:
        model: of rank 2.
        volume: `(X, Y, Z)`, in whatever order its axes are. Kept in 8 bits, with one window of grey values for all.
    """

    def __init__(self, model: PromptModel, volume: npt.NDArray[Any]):
        self.model = model
        self._grey = grey_of(volume)
        self._steps: Steps[VolumeState] = Steps(lambda state: state.bytes, STEPS_SHARE * volume.size)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the volume."""
        return self._grey.shape

    @property
    def bytes(self) -> int:
        """Memory that the session holds."""
        return self._grey.nbytes + self._steps.bytes

    @property
    def state(self) -> VolumeState | None:
        """The newest step that was not undone."""
        return self._steps.newest

    @property
    def steps(self) -> tuple[int, int]:
        """How many steps can be undone, and done again."""
        return self._steps.counts

    @property
    def mask(self) -> Bools:
        """`(X, Y, Z)`, as it is now; empty before the first prompt."""
        return np.zeros(self.shape, bool) if self.state is None else unpacked(self.state.mask, self.shape)

    def undo(self) -> bool:
        """One step back; False where there is none."""
        return self._steps.undo()

    def redo(self) -> bool:
        """One step forward again; False where there is none."""
        return self._steps.redo()

    def picture(self, axis: int, index: int) -> npt.NDArray[np.uint8]:
        """A slice as the model sees it, `(H, W, 3)`: x along the first axis that is left, y along the second. Raises
        `DataError` for a slice that the volume does not have."""
        self._check(axis, index)
        return picture_of(np.moveaxis(self._grey, axis, 0)[index].T[..., None])

    def slice_mask(self, axis: int, index: int) -> Bools:
        """`(H, W)`, the mask of a slice; raises as `picture`."""
        self._check(axis, index)
        return np.moveaxis(self.mask, axis, 0)[index].T

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
        """The mask of the volume after a whole prompt on one slice: all its points so far.

        Prompts on other slices stay. From the slice the mask is carried to both sides, until nothing of it is left, or
        to the middle between it and the next slice that was prompted; beyond, it stays as it was. What the slice shows
        already is gone on from by points alone, and by a prompt that says what the slice's last one said and more; any
        other box begins the slice anew.

        Args:
            axis: 0, 1 or 2, that slices are cut across; the same for all prompts on one object.
            index: of the slice.
            points, labels, box: in pixels of `picture(axis, index)`.
            candidate: as of `seglab.interactive.session.Session.predict`.
            anew: it is another object: what was said on other slices does not count any more.
            progress: how many slices of how many at most are done; what it raises ends the prompt, without a trace.

        Raises:
            DataError: a slice that is not there or is cut across another axis, or a prompt that cannot be meant.
        """
        began_at = time.perf_counter()
        picture = self.picture(axis, index)
        former = None if anew else self.state
        if former is not None and former.axis != axis:
            raise other_axis(former.axis, axis)
        before = self._before(former, index, picture.shape[:2], points, labels, box)
        session = Session(self.model, self.model.embed(picture))
        reply = session.predict(points, labels, box, before, candidate)
        assert session.state is not None
        prompted = {} if former is None else dict(former.prompted)
        prompted[index] = Prompted(session.state.prompt, packed_logits(before), session.state.logits)
        mask = np.zeros(self.shape, bool) if former is None else self.mask
        self._carry(np.moveaxis(mask, axis, 0), axis, index, sorted(prompted), reply.mask, progress)
        scores = tuple(float(score) for score in reply.scores)
        of_slice = session.state.score, scores, reply.chosen, reply.verdict
        state = VolumeState(axis, index, prompted, packed(mask), *of_slice, 1 if former is None else former.taken + 1)
        self._steps.add(state)
        return VolumeReply(reply.mask, state, reply.notes, (time.perf_counter() - began_at) * 1000)

    def _before(
        self, former: VolumeState | None, index: int, shape: tuple[int, ...], points: Any, labels: Any, box: Any
    ) -> Logits | None:
        """Logits of the mask that a prompt on a slice goes on from."""
        if former is None:
            return None
        new = Prompt.of(shape, points, labels, box, np.zeros(shape, bool))
        last = former.prompted.get(index)
        if last is not None and same_prompt(last.prompt, new):
            return None if last.began is None else logits_of(last.began, shape)
        if last is not None and goes_on(new, last.prompt):
            return logits_of(last.logits, shape)
        shown = self.slice_mask(former.axis, index)
        if box is not None or not shown.any():
            return None
        return np.where(shown, CERTAIN, -CERTAIN).astype(np.float32)

    def _carry(
        self,
        planes: Bools,
        axis: int,
        key: int,
        keys: Sequence[int],
        shown: Bools,
        progress: Callable[[int, int], None],
    ) -> None:
        """Write the mask of a prompted slice into `planes`, and what is carried from there to both sides."""
        low = max(((other + key) // 2 + 1 for other in keys if other < key), default=0)
        high = min(((other + key) // 2 for other in keys if other > key), default=len(planes) - 1)
        planes[low : high + 1] = False
        planes[key] = shown.T
        appearance, done = Appearance.of(self.picture(axis, key), shown), 0
        for way in (range(key + 1, high + 1), range(key - 1, low - 1, -1)):
            before = shown
            for index in way:
                done += 1
                progress(done, high - low + 1)
                before = carried(self.model, self.picture(axis, index), before, appearance)
                if not before.any():
                    break
                planes[index] = before.T

    def _check(self, axis: int, index: int) -> None:
        if not 0 <= index < self.shape[axis]:
            raise DataError(
                "a slice that the volume does not have",
                code="prompt-point-outside",
                where=f"slice across {AXES[axis]}",
                found=index,
                expected=f"0 to {self.shape[axis] - 1}",
                remedy="give a prompt on a slice that shows the object",
            )


def segment_volume(
    model: PromptModel,
    volume: npt.NDArray[Any],
    prompts: Mapping[int, SlicePrompt],
    axis: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Bools:
    """`(X, Y, Z)` bool: the object that is named on one or more slices, one prompt after the other in a
    `VolumeSession`.

    Args:
        model: of rank 2.
        volume: `(X, Y, Z)` or `(X, Y, Z, C)`, in whatever order its axes are.
        prompts: by the index of the slice along `axis`.
        axis: that the slices are cut across.
        progress: how many slices of how many at most are done, for each prompt.

    Raises:
        DataError: no prompt, a slice that the volume does not have, or a prompt that cannot be meant.
    """
    if not prompts:
        raise DataError(
            "a prompt that names no object",
            code="prompt-without-object",
            where="slice",
            found="no prompt",
            expected="a prompt on a slice",
            remedy="give a prompt on a slice that shows the object",
        )
    session = VolumeSession(model, volume[..., 0] if volume.ndim == 4 else volume)
    for index, one in prompts.items():
        session.predict(axis, index, one.points, one.labels, one.box, progress=progress)
    return session.mask


def other_axis(expected: int, found: int) -> DataError:
    """A prompt on a slice across another axis than those of the object so far."""
    return DataError(
        "slices across another axis than those before",
        code="prompt-other-axis",
        where="axis",
        found=AXES[found],
        expected=AXES[expected],
        remedy="go on along that axis; or begin another object (anew), or undo what was prompted",
    )
