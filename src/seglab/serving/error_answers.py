"""Every error leaves as the same kind of document."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from seglab.serving.problem_response import response
from seglab.serving.problems import Problem
from seglab.serving.service import ClientLeft

_WORDS = {
    404: ("not-found", "no such address"),
    405: ("method-not-allowed", "a method that this address does not take"),
}


def add_error_answers(app: FastAPI) -> None:
    """Teach the application."""

    def answer_problem(request: Request, problem: Problem) -> Response:
        request.state.log_fields["code"] = problem.code
        return response(problem, request.state.request_id)

    async def problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return answer_problem(request, error)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code, title = _WORDS.get(error.status_code, ("request-malformed", str(error.detail)))
        behind = "leave out the slash at its end" if request.url.path.endswith("/") else ""
        remedy = behind if error.status_code == 404 else ""
        return answer_problem(request, Problem(error.status_code, code, title, remedy=remedy, headers=error.headers))

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        found = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        return answer_problem(
            request, Problem(422, "parameter-invalid", "a parameter that is not allowed", found[:500])
        )

    async def left(request: Request, error: Exception) -> Response:
        return Response(status_code=499)

    async def ours(request: Request, error: Exception) -> Response:  # the server then logs its trace, and hangs up
        remedy, close = "report it with the request's id", {"Connection": "close"}
        fault = Problem(500, "internal", "an internal error of the service", remedy=remedy, headers=close)
        return answer_problem(request, fault)

    app.add_exception_handler(Problem, problem)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(ClientLeft, left)
    app.add_exception_handler(Exception, ours)
