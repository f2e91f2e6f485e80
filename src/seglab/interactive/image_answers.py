"""The replies of a session on an image."""

from __future__ import annotations

import dataclasses
import io
import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from PIL import Image

from seglab.inference.overlay_picture import overlay
from seglab.interactive.accepted import AcceptedMasks
from seglab.interactive.measures import measure, warnings
from seglab.interactive.prompt import Bools
from seglab.interactive.segment import TASK
from seglab.interactive.sessions import OpenImage
from seglab.serving.encoding import coco_counts
from seglab.serving.polygons import polygons_of
from seglab.serving.problems import Problem

Reply = tuple[dict[str, Any], bytes]
_FACTS = ("points", "labels", "box", "score", "verdict", "area", "undo")


class ImageAnswers:
    """Of one session; bodies are PNG."""

    def __init__(self, found: OpenImage):
        self._found, self._session = found, found.session

    def described(self) -> dict[str, Any]:
        """Its size, and the newest prompt."""
        height, width = self._session.shape
        return {"width": width, "height": height, **self._facts(self._session.mask)}

    def picture(self, axis: str | None, index: int | None) -> bytes:
        """The image as the model sees it."""
        _no_slice(axis, index)
        return png(self._found.picture)

    def slice_mask(self, axis: str | None, index: int | None) -> bytes:
        """The mask as it is now."""
        _no_slice(axis, index)
        return png(self._session.mask)

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
        """An answer to a prompt; after a mask that was judged, one that does not go on from it is about another."""
        _no_slice(axis, index)
        state = self._session.state
        judged = state is not None and state is self._found.judged
        anew = anew or (judged and not self._session.goes_on(points, labels, box))
        reply = self._session.predict(points, labels, box, None, candidate, anew=anew)
        fields = {**self._facts(reply.mask), "notes": list(reply.notes), "milliseconds": round(reply.milliseconds, 1)}
        return with_mask(fields, reply.mask)

    def step(self, way: Literal["undo", "redo"]) -> Reply:
        """One step back or forward."""
        moved = self._session.undo() if way == "undo" else self._session.redo()
        return with_mask({**self._facts(self._session.mask), "moved": moved}, self._session.mask)

    def kept(self, accepted: AcceptedMasks, facts: dict[str, Any], form: str, tolerance_px: float) -> Reply:
        """Keep the mask, and give it in the form that is asked for: `answer`, or a PNG."""
        mask = self._session.mask
        shaped, content = self._shaped(form, mask, tolerance_px)  # first: what cannot be sent is not kept
        return {"id": accepted.add(self._found.picture, mask, facts), "media_type": "image/png", **shaped}, content

    def log(self, accepted: AcceptedMasks) -> AcceptedMasks:
        """Where it is written what became of it."""
        return accepted

    def facts(self) -> dict[str, Any]:
        """What is written beside the mask."""
        height, width = self._session.shape
        fields = self._facts(self._session.mask)
        return {"size": [width, height], **{key: fields[key] for key in _FACTS}}

    def _facts(self, mask: Bools) -> dict[str, Any]:
        """Of the newest prompt that was not undone."""
        size, box = measure(mask), None if self._session.state is None else self._session.state.prompt.box
        return {
            **newest(self._session),
            "area": size.area,
            "perimeter": round(size.perimeter, 2),
            "fill": None if size.box is None else round(size.fill, 4),
            "components": size.components,
            "mask_box": None if size.box is None else size.box.tolist(),
            "warnings": [] if self._session.state is None else list(warnings(mask, box)),
        }

    def _shaped(self, form: str, mask: Bools, tolerance_px: float) -> Reply:
        if form == "rle":
            return {"answer": {"segmentation": {"size": list(mask.shape), "counts": coco_counts(mask)}}}, b""
        if form == "polygons":
            rings = [[ring.tolist() for ring in polygon] for polygon in polygons_of(mask, tolerance_px)]
            return {"answer": {"polygons": rings, "tolerance_px": tolerance_px}}, b""
        return {}, png(overlay(self._found.picture, mask.astype(np.uint8), TASK) if form == "overlay" else mask)


def newest(session: Any) -> dict[str, Any]:
    """Of the newest step of a session on whatever, and how many there are."""
    state, (undo, redo) = session.state, session.steps
    if state is None:
        fields: dict[str, Any] = {"points": [], "labels": [], "box": None, "score": 0.0, "verdict": None}
        return {**fields, "scores": None, "chosen": None, "undo": undo, "redo": redo}
    return {
        "points": state.prompt.points.tolist(),
        "labels": state.prompt.labels.tolist(),
        "box": None if state.prompt.box is None else state.prompt.box.tolist(),
        "score": round(state.score, 4),
        "scores": [round(score, 4) for score in state.scores],
        "chosen": state.chosen,
        "verdict": dataclasses.asdict(state.verdict),
        "undo": undo,
        "redo": redo,
    }


def with_mask(fields: dict[str, Any], mask: Bools) -> Reply:
    """The fields of a reply, and a mask as PNG."""
    began = time.perf_counter()
    content = png(mask)
    return {**fields, "encode_ms": round((time.perf_counter() - began) * 1000, 1)}, content


def png(array: Any) -> bytes:
    """Of a picture, or of a mask in black and white."""
    written = io.BytesIO()
    values = array.astype(np.uint8) * 255 if array.dtype == bool else array
    Image.fromarray(values).save(written, "PNG", compress_level=1)
    return written.getvalue()


def _no_slice(axis: str | None, index: int | None) -> None:
    if axis is not None or index is not None:
        raise Problem(422, "prompt-form", "a slice of an image", "an image has one", remedy="leave axis and index away")
