"""A problem as the answer of a request."""

from __future__ import annotations

from starlette.responses import JSONResponse

from seglab.serving.problems import MEDIA_TYPE, Problem, document


def response(problem: Problem, request_id: str) -> JSONResponse:
    """The answer."""
    return JSONResponse(document(problem, request_id), problem.status, headers=problem.headers, media_type=MEDIA_TYPE)
