"""What is done with sessions: each errand of the process that holds them, from the request to the reply."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import cv2

from seglab.errors import DataError, SeglabError
from seglab.interactive.accepted import AcceptedMasks
from seglab.interactive.display_image import read_picture
from seglab.interactive.image_answers import ImageAnswers, Reply
from seglab.interactive.sessions import OpenImage, OpenSession, OpenVolume, Sessions
from seglab.interactive.volume_answers import VolumeAnswers, is_volume
from seglab.interactive.volume_segmentation import read_grey
from seglab.serving.errands import Errand
from seglab.serving.file_in_memory import file_of
from seglab.serving.headers import check_image, check_volume
from seglab.serving.limits import Limits
from seglab.serving.problems import Problem, of_error

_STATUS = {"session-missing": 404} | dict.fromkeys(
    ("sessions-full", "no-room", "file-unwritable", "mask-unwritable"), 503
)
_LATER = "10"  # seconds until there may be room for a session


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
        calls: dict[str, Callable[..., Reply]] = {
            "session": self._session,
            "picture": self._picture,
            "mask": self._mask,
            "step": self._step,
            "accept": self._accept,
            "reject": self._reject,
            "end": self._end,
        }
        begin = self._done(lambda asked, body, between: self._begin(body, **asked))
        predict = self._done(lambda asked, body, between: self._predict(between, **asked))
        return {"begin": begin, "predict": predict, **{name: self._done(_plain(call)) for name, call in calls.items()}}

    def _done(self, call: Callable[..., Reply]) -> Errand:
        def errand(asked: dict[str, Any], body: bytes, between: Callable[[], None]) -> Reply:
            try:
                fields, content = call(asked, body, between)
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
                    "an image too large for the memory",
                    remedy="send a smaller one, or end sessions that are done",
                ) from error
            return {**fields, "sessions": len(self._sessions)}, content

        return errand

    def _begin(self, content: bytes, client: str) -> Reply:
        found: OpenSession
        if is_volume(content):
            with _reading(content) as file:
                check_volume(file, self._limits)
                volume, affine = read_grey(file)
            found = self._sessions.begin_volume(volume, content, affine, client)
        else:
            check_image(content, self._limits)
            with _reading(content) as file:
                picture = read_picture(file)
            found = self._sessions.begin(picture, client)
        return self._described(found), b""

    def _session(self, id: str) -> Reply:
        return self._described(self._sessions.find(id)), b""

    def _picture(self, id: str, axis: str | None, index: int | None) -> Reply:
        return {}, self._of(self._sessions.find(id)).picture(axis, index)

    def _mask(self, id: str, axis: str | None, index: int | None) -> Reply:
        return {}, self._of(self._sessions.find(id)).slice_mask(axis, index)

    def _predict(self, between: Callable[[], None], id: str, **prompt: Any) -> Reply:
        found = self._idle(id)
        found.busy = True  # between two slices of a volume, prompts of others are answered
        try:
            return self._of(found).predict(between, **prompt)
        finally:
            found.busy = False

    def _step(self, id: str, way: Literal["undo", "redo"]) -> Reply:
        return self._of(self._idle(id)).step(way)

    def _accept(self, id: str, by: str, note: str, form: str, tolerance_px: float) -> Reply:
        found = self._with_prompt(id)
        facts = self._facts(found, by, note)
        fields, content = self._of(found).kept(self._accepted, facts, form, tolerance_px)
        row = _judged(found, facts)
        return {"outcome": "accepted" if row["steps"] == 1 else "corrected", "row": row, **fields}, content

    def _reject(self, id: str, by: str, note: str) -> Reply:
        found = self._with_prompt(id)
        facts = self._facts(found, by, note)
        self._of(found).log(self._accepted).tell({"outcome": "rejected", **facts})
        return {"outcome": "rejected", "row": _judged(found, facts)}, b""

    def _end(self, id: str) -> Reply:
        self._sessions.end(id)
        return {}, b""

    def _of(self, found: OpenSession) -> ImageAnswers | VolumeAnswers:
        return VolumeAnswers(found) if isinstance(found, OpenVolume) else ImageAnswers(_image(found))

    def _idle(self, id: str) -> OpenImage | OpenVolume:
        found = self._sessions.find(id)
        if found.busy:
            raise Problem(
                409,
                "session-busy",
                "a session that is answering a prompt",
                remedy="wait for that answer, then ask again",
                headers={"Retry-After": "1"},
            )
        return found if isinstance(found, OpenVolume) else _image(found)

    def _with_prompt(self, id: str) -> OpenImage | OpenVolume:
        found = self._idle(id)
        if found.session.state is None:
            raise Problem(409, "prompt-without-object", "a session without a mask", remedy="send a prompt first")
        return found

    def _described(self, found: OpenSession) -> dict[str, Any]:
        model = self._sessions.model
        fields = {"id": found.id, "model": model.name, "device": model.device}
        return {**fields, "idle_seconds": self._sessions.limits.idle_seconds, **self._of(found).described()}

    def _facts(self, found: OpenSession, by: str, note: str) -> dict[str, Any]:
        """What is written beside a mask."""
        model = self._sessions.model
        origin = {"model": model.name, "weights": model.digest, "by": by, "note": note}
        return {**self._of(found).facts(), **origin}


def _judged(found: OpenImage | OpenVolume, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the row of an outcome holds of the mask."""
    state = found.session.state
    assert state is not None
    found.judged = state
    numbers = {"score": facts["score"], "empty": not facts["area"], "verdict": facts["verdict"]["action"]}
    return {**numbers, "steps": state.taken}


def _plain(call: Callable[..., Reply]) -> Callable[..., Reply]:
    """An errand without a body."""
    return lambda asked, body, between: call(**asked)


def _image(found: OpenSession) -> OpenImage:
    assert isinstance(found, OpenImage)
    return found


@contextmanager
def _reading(content: bytes) -> Iterator[Any]:
    """A file of what was sent; errors do not show its name."""
    with file_of(content) as file:
        try:
            yield file
        except DataError as error:
            raise of_error(error, file) from error
