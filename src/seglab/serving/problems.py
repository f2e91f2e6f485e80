"""Errors as RFC 9457 has them: one document for whatever goes wrong, with the code that stays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seglab.errors import SeglabError

MEDIA_TYPE = "application/problem+json"
# What the model or this machine is to blame for, whatever was sent.
_OURS = {"model-not-finite": 500, "image-memory": 413, "image-too-large": 413, "file-unreadable": 400}
_UNUSABLE = 422


class Problem(Exception):
    """An answer that is an error.

    Args:
        status: of HTTP.
        code: of the kind of mistake, which stays.
        title: in a few words.
        detail: what was found here.
        remedy: what to do about it.
        headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str = "",
        *,
        remedy: str = "",
        headers: Mapping[str, str] | None = None,
    ):
        super().__init__(title)
        self.status, self.code, self.title, self.detail, self.remedy = status, code, title, detail, remedy
        self.headers = dict(headers or {})

    def to_dict(self) -> dict[str, Any]:
        """The arguments that make it again."""
        return {
            "status": self.status,
            "code": self.code,
            "title": self.title,
            "detail": self.detail,
            "remedy": self.remedy,
            "headers": self.headers,
        }


def of_error(error: SeglabError, file: Path | None = None) -> Problem:
    """What a client is told of an image that cannot be used; the name of our copy of it is left out."""

    def without_file(text: object) -> str:
        return "" if text is None else str(text).replace(str(file), "the image") if file else str(text)

    found = [
        f"{name}: {without_file(text)}" for name, text in (("found", error.found), ("expected", error.expected)) if text
    ]
    return Problem(
        _OURS.get(error.code, _UNUSABLE), error.code, error.what, "; ".join(found), remedy=without_file(error.remedy)
    )


def document(problem: Problem, request_id: str) -> dict[str, Any]:
    """The members of the document; `error` is where clients of the Open Inference Protocol look."""
    sentence = ": ".join(filter(None, (problem.title, problem.detail)))
    members = {
        "type": f"urn:seglab:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": f"urn:seglab:request:{request_id}",
        "code": problem.code,
        "remedy": problem.remedy,
        "error": f"{sentence}; {problem.remedy}" if problem.remedy else sentence,
    }
    return {name: value for name, value in members.items() if value != ""}


def too_large(what: str, found: object, most: object) -> Problem:
    """413."""
    return Problem(
        413,
        "request-too-large",
        f"{what} that is too large for this service",
        f"found: {found}; expected: at most {most}",
        remedy="cut it into smaller images, or ask for another limit",
    )


def queue_full(waiting: str, seconds: int) -> Problem:
    """There is no place in a queue; the client is to come again after so many seconds."""
    return Problem(
        503,
        "service-busy",
        "a queue that is full",
        waiting,
        remedy="try again",
        headers={"Retry-After": str(seconds)},
    )
