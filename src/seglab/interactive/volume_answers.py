"""The replies of a session on a volume: slices as PNG, the whole mask as NIfTI in the geometry of its file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from seglab.data.io.nifti_files import spacing_of
from seglab.interactive.accepted import AcceptedMasks
from seglab.interactive.image_answers import Reply, newest, png, with_mask
from seglab.interactive.measures import measure, warnings
from seglab.interactive.prompt import Bools
from seglab.interactive.sessions import OpenVolume
from seglab.interactive.volume_prompts import AXES
from seglab.serving.problems import Problem

_GZIP = b"\x1f\x8b"
_MAGIC = {344: (b"n+1\0", b"ni1\0"), 4: (b"n+2\0", b"ni2\0")}  # where NIfTI-1 and NIfTI-2 have theirs
_FACTS = ("axis", "index", "points", "labels", "box", "score", "verdict", "area", "volume_mm3", "undo")
_ALONG_Z = 2


def is_volume(content: bytes) -> bool:
    """Whether a body is a NIfTI file, or compressed as only those are."""
    return content.startswith(_GZIP) or any(content[at : at + 4] in words for at, words in _MAGIC.items())


class VolumeAnswers:
    """Of one session. Slices are named by the axis that they are cut across and their index, in the file's own order of
    axes; a slice has x along the first axis that is left, and y along the second."""

    def __init__(self, found: OpenVolume):
        self._found, self._session = found, found.session
        self._spacing = spacing_of(found.affine)

    def described(self) -> dict[str, Any]:
        """Its size, and the newest prompt."""
        fields = {"shape": list(self._session.shape), "spacing_mm": [round(step, 6) for step in self._spacing]}
        return {**fields, **self._facts(self._session.mask), "prompts": self._prompts()}

    def picture(self, axis: str | None, index: int | None) -> bytes:
        """A slice as the model sees it."""
        return png(self._session.picture(*self._slice(axis, index)))

    def slice_mask(self, axis: str | None, index: int | None) -> bytes:
        """The mask of a slice."""
        return png(self._session.slice_mask(*self._slice(axis, index)))

    def predict(
        self,
        between: Callable[[], None],
        points: Any,
        labels: Any,
        box: Any,
        candidate: int | None,
        axis: str | None,
        index: int | None,
        anew: bool,
    ) -> Reply:
        """An answer to a prompt on a slice, with the mask of that slice; `between` is called between two slices."""
        if index is None:
            raise Problem(
                422,
                "prompt-form",
                "a prompt on no slice of a volume",
                f"expected: axis x, y or z, and an index, of {self._session.shape}",
                remedy='send {"axis": "z", "index": 12, …}',
            )
        where = self._slice(axis, index)
        reply = self._session.predict(
            *where, points, labels, box, candidate, anew=anew, progress=lambda done, total: between()
        )
        fields = {**self._facts(self._session.mask), "notes": list(reply.notes)}
        return with_mask({**fields, "milliseconds": round(reply.milliseconds, 1)}, reply.mask)

    def step(self, way: Literal["undo", "redo"]) -> Reply:
        """One step back or forward, with the mask of the slice that it was made on."""
        where = self._slice(None, None)
        moved = self._session.undo() if way == "undo" else self._session.redo()
        if way == "redo":
            where = self._slice(None, None)
        of_slice = self._prompts().get(str(where[1]), {"points": [], "labels": [], "box": None})
        state, fields = self._session.state, self._facts(self._session.mask)
        if state is None or (state.axis, state.index) != where:  # the newest prompt is about another slice
            fields |= {"scores": None, "chosen": None, "verdict": None, "warnings": []}
        fields |= {**of_slice, "axis": AXES[where[0]], "index": where[1], "moved": moved}
        return with_mask(fields, self._session.slice_mask(*where))

    def kept(self, accepted: AcceptedMasks, facts: dict[str, Any], form: str, tolerance_px: float) -> Reply:
        """Keep the mask, and give it as NIfTI."""
        if form != "png":
            raise Problem(
                422,
                "parameter-invalid",
                "a mask of a volume in a form for images",
                f"found: form={form}",
                remedy="leave form away: the mask of a volume is NIfTI",
            )
        volumes = self.log(accepted)
        name, content = volumes.add_volume(self._found.content, self._session.mask, self._found.affine, facts)
        return {"id": name, "media_type": "application/gzip"}, content

    def log(self, accepted: AcceptedMasks) -> AcceptedMasks:
        """Where it is written what became of it."""
        return accepted.volumes

    def facts(self) -> dict[str, Any]:
        """What is written beside the mask: the newest prompt, and that of every slice."""
        fields, spacing = self._facts(self._session.mask), [round(step, 6) for step in self._spacing]
        kept = {key: fields[key] for key in _FACTS}
        return {"size": list(self._session.shape), "spacing_mm": spacing, **kept, "prompts": self._prompts()}

    def _prompts(self) -> dict[str, Any]:
        """What was said of each slice that counts, by its index."""
        state = self._session.state
        prompted = {} if state is None else state.prompted
        return {
            str(index): {
                "points": one.prompt.points.tolist(),
                "labels": one.prompt.labels.tolist(),
                "box": None if one.prompt.box is None else one.prompt.box.tolist(),
            }
            for index, one in sorted(prompted.items())
        }

    def _slice(self, axis: str | None, index: int | None) -> tuple[int, int]:
        """The slice that is named; without a name that of the newest prompt, or the middle one along z."""
        state = self._session.state
        usual = _ALONG_Z if state is None else state.axis
        along = usual if axis is None else AXES.index(axis)
        if index is None:
            index = self._session.shape[along] // 2 if state is None or state.axis != along else state.index
        return along, index

    def _facts(self, mask: Bools) -> dict[str, Any]:
        """Of the newest step that was not undone; `area` are voxels."""
        state = self._session.state
        size = measure(mask, self._spacing)
        fields = {
            **newest(self._session),
            "axis": None,
            "index": None,
            "prompted": [],
            "area": size.area,
            "volume_mm3": round(size.area_mm, 3),
            "components": size.components,
            "mask_box": None if size.box is None else size.box.tolist(),
            "slices": None,
            "slice_area": 0,
            "warnings": [],
        }
        if state is None:
            return fields
        planes = np.moveaxis(mask, state.axis, 0)
        shown, held = planes[state.index].T, np.flatnonzero(planes.any(axis=(1, 2)))
        fields |= {"axis": AXES[state.axis], "index": state.index, "prompted": sorted(state.prompted)}
        fields |= {"slices": [int(held[0]), int(held[-1])] if held.size else None, "slice_area": int(shown.sum())}
        return {**fields, "warnings": list(warnings(shown, state.prompt.box))}
