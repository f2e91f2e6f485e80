"""What the OpenAPI document says of sessions."""

from __future__ import annotations

from typing import Any

from seglab.serving.openapi_bodies import PREDICT_BODY, STANDARD, binary, problems

_JSON = {"application/json": {"schema": {"type": "object"}}}
SESSION: dict[str, Any] = {"description": "The session: its id, size, model and newest prompt.", "content": _JSON}
MASK: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The mask, of a volume that of the slice, with its description in X-Prompt; or both, where "
        "JSON is accepted.",
        "content": {**binary("image/png"), **_JSON},
    },
    **STANDARD,
    **problems(404, 409, 422, 503, 504),
}
BEGUN: dict[int | str, dict[str, Any]] = {201: SESSION, **STANDARD, **problems(400, 404, 415, 422, 503, 504)}
DESCRIBED: dict[int | str, dict[str, Any]] = {200: SESSION, **STANDARD, **problems(404, 422, 503, 504)}
PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The image, or a slice of the volume; or its mask.", "content": binary("image/png")},
    **STANDARD,
    **problems(404, 422, 503, 504),
}
ACCEPTED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The mask that was kept, in the form that was asked for; of a volume as NIfTI.",
        "content": {**MASK[200]["content"], **binary("application/gzip")},
    },
    **STANDARD,
    **problems(404, 409, 422, 503, 504),
}
REJECTED: dict[int | str, dict[str, Any]] = {
    200: {"description": "It was written down.", "content": _JSON},
    **STANDARD,
    **problems(404, 409, 422, 503, 504),
}
ENDED: dict[int | str, dict[str, Any]] = {
    204: {"description": "The session is over."},
    **STANDARD,
    **problems(404, 422, 503, 504),
}
BODY: dict[str, Any] = {"requestBody": {"required": False, "content": PREDICT_BODY["requestBody"]["content"]}}
