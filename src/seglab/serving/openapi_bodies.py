"""What the OpenAPI document says of bodies and answers, which are no JSON models."""

from __future__ import annotations

from typing import Any

from seglab.serving.problems import MEDIA_TYPE

_BINARY = {"schema": {"type": "string", "format": "binary"}}
PROBLEM_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "instance", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "format": "uri"},
        "code": {"type": "string", "description": "stays for ever; titles may be worded anew"},
        "remedy": {"type": "string"},
        "error": {"type": "string", "description": "all of it in a line, as the Open Inference Protocol has it"},
    },
}
_DESCRIPTIONS = {
    400: "The body is no whole file of its kind.",
    401: "No key that is known.",
    404: "No such address or model.",
    405: "Another method.",
    406: "The answer is not offered in this form.",
    408: "The client fell silent in the middle of its request.",
    409: "Something has to be done first.",
    413: "More bytes, pixels or voxels than the service takes.",
    415: "A kind of file that is not read.",
    422: "A whole file that the model cannot use.",
    429: "More requests than a client has in a minute.",
    503: "Busy or about to leave; Retry-After says when to come again.",
    504: "The answer took too long.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers of a route that are errors."""
    return {
        status: {"description": _DESCRIPTIONS[status], "content": {MEDIA_TYPE: {"schema": PROBLEM_SCHEMA}}}
        for status in statuses
    }


def binary(*kinds: str) -> dict[str, Any]:
    """A body of one of these media types."""
    return dict.fromkeys(kinds, _BINARY)


def predict_answers() -> dict[int | str, dict[str, Any]]:
    """Of `/predict`."""
    masks = binary("image/png", "application/gzip", "application/octet-stream")
    summary: dict[str, Any] = {
        kind: {"schema": {"type": "object"}} for kind in ("application/json", "application/geo+json")
    }
    return {
        200: {"description": "The mask, in the form that Accept asks for.", "content": {**masks, **summary}},
        **problems(400, 401, 406, 408, 413, 415, 422, 429, 503, 504),
    }


STANDARD = problems(401, 408, 413, 429)
IMAGES: dict[str, Any] = {
    "description": "The ids of the data set, and whether each has a truth.",
    "content": {"application/json": {"schema": {"type": "object"}}},
}
INFER_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The mask as a tensor.",
        "content": {"application/json": {}, **binary("application/octet-stream")},
    },
    **problems(400, 401, 404, 408, 413, 415, 422, 429, 503, 504),
}
PREDICT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            **binary("image/png", "image/jpeg", "image/tiff", "image/bmp", "application/gzip"),
            **binary("application/octet-stream"),
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {"image": {"type": "string", "format": "binary"}},
                }
            },
        },
    }
}
INFER_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}}, **binary("application/octet-stream")},
    }
}
