"""What is done with sessions: each errand of the process that holds them, from what was asked to what is told."""

from __future__ import annotations

import dataclasses
import io
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import cv2
import numpy as np
from PIL import Image

from seglab.errors import DataError, SeglabError
from seglab.inference.overlay_picture import overlay
from seglab.interactive.accepted import AcceptedMasks
from seglab.interactive.images import read_picture
from seglab.interactive.measures import measure, warnings
from seglab.interactive.prompt import Bools
from seglab.interactive.segment import TASK
from seglab.interactive.sessions import Open, Sessions
from seglab.serving.encoding import coco_counts
from seglab.serving.errands import Errand
from seglab.serving.file_in_memory import file_of
from seglab.serving.headers import check_image
from seglab.serving.limits import Limits
from seglab.serving.polygons import polygons_of
from seglab.serving.problems import Problem, of_error

_STATUS = {"session-missing": 404} | dict.fromkeys(
    ("sessions-full", "no-room", "file-unwritable", "mask-unwritable"), 503
)
_LATER = "10"  # seconds until there may be room for a session

Told = tuple[dict[str, Any], bytes]


class Answering:
    """The errands of a process.

    Args:
        sessions: that it holds.
        accepted: where what users accept is kept.
        limits: of an image.
    """

    def __init__(self, sessions: Sessions, accepted: AcceptedMasks, limits: Limits):
        self._sessions, self._accepted, self._limits = sessions, accepted, limits

    def errands(self) -> Mapping[str, Errand]:
        """Each by its name; each tells how many sessions are open, and raises `Problem`."""
        calls: dict[str, Callable[..., Told]] = {
            "begin": self._begin,
            "session": self._session,
            "picture": self._picture,
            "predict": self._predict,
            "step": self._step,
            "accept": self._accept,
            "reject": self._reject,
            "end": self._end,
        }
        return {name: self._done(call) for name, call in calls.items()}

    def _done(self, call: Callable[..., Told]) -> Errand:
        def errand(asked: dict[str, Any], body: bytes, between: Callable[[], None]) -> Told:
            try:
                told, content = call(body, **asked) if call == self._begin else call(**asked)
            except SeglabError as error:
                problem = of_error(error)
                problem.status = _STATUS.get(error.code, problem.status)
                if problem.status == 503:
                    problem.headers["Retry-After"] = _LATER
                raise problem from error
            except (MemoryError, cv2.error) as error:
                if isinstance(error, cv2.error) and error.code != cv2.Error.StsNoMem:
                    raise
                raise Problem(
                    413,
                    "image-memory",
                    "an image that the memory does not suffice for",
                    remedy="send a smaller one, or end sessions that are done",
                ) from error
            return {**told, "sessions": len(self._sessions)}, content

        return errand

    def _begin(self, content: bytes, client: str) -> Told:
        check_image(content, self._limits)
        with file_of(content) as file:
            try:
                picture = read_picture(file)
            except DataError as error:
                raise of_error(error, file) from error
        return self._described(self._sessions.begin(picture, client)), b""

    def _session(self, id: str) -> Told:
        return self._described(self._sessions.find(id)), b""

    def _picture(self, id: str) -> Told:
        return {}, _png(self._sessions.find(id).picture)

    def _predict(self, id: str, points: Any, labels: Any, box: Any, candidate: int | None) -> Told:
        found = self._sessions.find(id)
        reply = found.session.predict(points, labels, box, None, candidate)
        told = {
            **_state(found, reply.mask),
            "scores": [round(float(score), 4) for score in reply.scores],
            "chosen": reply.chosen,
            "notes": list(reply.notes),
            "milliseconds": round(reply.milliseconds, 1),
        }
        return _with_mask(told, reply.mask)

    def _step(self, id: str, way: Literal["undo", "redo"]) -> Told:
        found = self._sessions.find(id)
        moved = found.session.undo() if way == "undo" else found.session.redo()
        mask = found.session.mask
        return _with_mask({**_state(found, mask), "moved": moved}, mask)

    def _accept(self, id: str, by: str, note: str, form: str, tolerance_px: float) -> Told:
        found = self._with_prompt(id)
        mask = found.session.mask
        shaped, content = _shaped(form, mask, found.picture, tolerance_px)  # first: what cannot be told is not kept
        name = self._accepted.add(found.picture, mask, self._facts(found, by, note))
        outcome = "accepted" if found.session.steps[0] <= 1 else "corrected"
        return {"id": name, "outcome": outcome, **shaped}, content

    def _reject(self, id: str, by: str, note: str) -> Told:
        self._accepted.tell({"outcome": "rejected", **self._facts(self._with_prompt(id), by, note)})
        return {}, b""

    def _end(self, id: str) -> Told:
        self._sessions.end(id)
        return {}, b""

    def _with_prompt(self, id: str) -> Open:
        found = self._sessions.find(id)
        if found.session.state is None:
            raise Problem(409, "prompt-without-object", "a session without a mask", remedy="send a prompt first")
        return found

    def _described(self, found: Open) -> dict[str, Any]:
        height, width = found.session.shape
        model = self._sessions.model
        return {
            "id": found.id,
            "width": width,
            "height": height,
            "model": model.name,
            "device": model.device,
            "idle_seconds": self._sessions.limits.idle_seconds,
            **_state(found, found.session.mask),
        }

    def _facts(self, found: Open, by: str, note: str) -> dict[str, Any]:
        """What is written beside a mask."""
        height, width = found.session.shape
        told, model = _state(found, found.session.mask), self._sessions.model
        kept = {key: told[key] for key in ("points", "labels", "box", "score", "verdict", "area", "undo")}
        return {"size": [width, height], "model": model.name, "weights": model.digest, "by": by, "note": note, **kept}


def _state(found: Open, mask: Bools) -> dict[str, Any]:
    """Of the newest prompt that was not undone."""
    state, (undo, redo) = found.session.state, found.session.steps
    size = measure(mask)
    return {
        "points": [] if state is None else state.prompt.points.tolist(),
        "labels": [] if state is None else state.prompt.labels.tolist(),
        "box": None if state is None or state.prompt.box is None else state.prompt.box.tolist(),
        "score": 0.0 if state is None else round(state.score, 4),
        "verdict": None if state is None else dataclasses.asdict(state.verdict),
        "undo": undo,
        "redo": redo,
        "area": size.area,
        "perimeter": round(size.perimeter, 2),
        "components": size.components,
        "mask_box": None if size.box is None else size.box.tolist(),
        "warnings": [] if state is None else list(warnings(mask, state.prompt.box)),
    }


def _with_mask(told: dict[str, Any], mask: Bools) -> Told:
    began = time.perf_counter()
    content = _png(mask)
    return {**told, "encode_ms": round((time.perf_counter() - began) * 1000, 1)}, content


def _shaped(form: str, mask: Bools, picture: Any, tolerance_px: float) -> Told:
    """A mask in the form that is asked for: members of a JSON object as `answer`, or a PNG."""
    if form == "rle":
        return {"answer": {"segmentation": {"size": list(mask.shape), "counts": coco_counts(mask)}}}, b""
    if form == "polygons":
        rings = [[ring.tolist() for ring in polygon] for polygon in polygons_of(mask, tolerance_px)]
        return {"answer": {"polygons": rings, "tolerance_px": tolerance_px}}, b""
    return {}, _png(overlay(picture, mask.astype(np.uint8), TASK) if form == "overlay" else mask)


def _png(array: Any) -> bytes:
    written = io.BytesIO()
    values = array.astype(np.uint8) * 255 if array.dtype == bool else array
    Image.fromarray(values).save(written, "PNG", compress_level=1)
    return written.getvalue()
