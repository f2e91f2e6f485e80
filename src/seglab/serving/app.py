"""The routes of the service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp

from seglab.serving import encoding, tensors
from seglab.serving.documented import INFER_BODY, PREDICT_BODY, binary, predict_answers, problems
from seglab.serving.guard import Guard
from seglab.serving.page import page
from seglab.serving.prediction import Wanted, predict_file
from seglab.serving.problems import Problem, response
from seglab.serving.service import ClientLeft, Service
from seglab.serving.uploads import image_of
from seglab.version import version

_METRICS = "text/plain; version=0.0.4; charset=utf-8"
_STANDARD = problems(401, 408, 413, 429)
_WORDS = {
    404: ("not-found", "no such address"),
    405: ("method-not-allowed", "a method that this address does not take"),
}


def make_app(service: Service, keys: Sequence[str] = ()) -> ASGIApp:
    """The application with everything around it.

    Args:
        service: that answers.
        keys: any of which opens it; empty where none is asked for.
    """
    return Guard(routes(service), service.limits, service.telemetry, service.model.label, keys)


def routes(service: Service) -> FastAPI:
    """The application alone, whose `openapi()` is the document."""
    app = FastAPI(title="seglab", version=version().split("+")[0], description="Images in, masks out.", redoc_url=None)
    _handlers(app)
    model = service.model

    @app.get("/", response_class=HTMLResponse, operation_id="page", responses=_STANDARD)
    async def start() -> HTMLResponse:
        return HTMLResponse(page(model))

    def readiness() -> JSONResponse:
        ready = not service.draining
        told = {"ready": ready, "live": True, "model": model.name, "bundle": model.label}
        return JSONResponse(told, 200 if ready else 503, headers={} if ready else {"Retry-After": "5"})

    leaving: dict[int | str, dict[str, Any]] = {503: {"description": "About to leave."}}

    @app.get("/health", operation_id="health", responses={**_STANDARD, **leaving})
    async def health() -> JSONResponse:
        return readiness()

    @app.get("/v2/health/ready", operation_id="ready", responses={**_STANDARD, **leaving})
    async def ready() -> JSONResponse:
        return readiness()

    @app.get("/v2/health/live", operation_id="live", responses=_STANDARD)
    async def live() -> JSONResponse:
        return JSONResponse({"live": True})

    @app.get("/v2", operation_id="server", responses=_STANDARD)
    async def server() -> JSONResponse:
        return JSONResponse({"name": "seglab", "version": version(), "extensions": ["binary_tensor_data"]})

    @app.get("/v2/models/{name}", operation_id="model", responses={**_STANDARD, **problems(404, 422)})
    async def metadata(name: str) -> JSONResponse:
        _check_name(name, service)
        bundle = model.bundle
        told = {
            "name": model.name,
            "versions": [model.digest[:12]],
            "platform": f"seglab_{model.runtime}",
            **tensors.metadata(model),
            "precision": model.precision,
            "threads": model.threads,
            "run": model.run,
            "size": list(bundle.size),
            "resize_mode": bundle.resize_mode,
            "classes": model.classes(),
            "limits": service.limits.shown(),
        }
        return JSONResponse(told)

    @app.get(
        "/v2/models/{name}/ready", operation_id="model_ready", responses={**_STANDARD, **problems(404, 422), **leaving}
    )
    async def model_ready(name: str) -> JSONResponse:
        _check_name(name, service)
        return readiness()

    @app.get("/classes", operation_id="classes", responses=_STANDARD)
    async def classes() -> JSONResponse:
        return JSONResponse({"bundle": model.label, "classes": model.classes()})

    @app.get("/metrics", operation_id="metrics", responses={200: {"content": {"text/plain": {}}}, **_STANDARD})
    async def metrics() -> Response:
        return Response(service.telemetry.page(), headers={"Content-Type": _METRICS})

    @app.post("/predict", operation_id="predict", responses=predict_answers(), openapi_extra=PREDICT_BODY)
    async def predict(request: Request, palette: bool = True, rle: bool = False) -> Response:
        wanted = Wanted(encoding.negotiated(request.headers.get("accept", ""), model.bundle.task.rank), palette, rle)
        content = await image_of(request, model.bundle.task.rank, service.limits)
        answer = await service.computed(
            request,
            len(content),
            lambda work, stages: predict_file(content, model, service.limits, wanted, stages, work),
        )
        return _sent(request, answer.body, {"Content-Type": answer.media_type, **answer.headers}, answer.pixels)

    infer_answers = {
        200: {"content": {"application/json": {}, **binary("application/octet-stream")}},
        **problems(400, 401, 404, 408, 413, 415, 422, 429, 503, 504),
    }

    @app.post("/v2/models/{name}/infer", operation_id="infer", responses=infer_answers, openapi_extra=INFER_BODY)
    async def infer(name: str, request: Request) -> Response:
        _check_name(name, service)
        body, length = await request.body(), request.headers.get(tensors.HEADER_LENGTH)
        image, told = tensors.read_tensor(body, length, service.limits, model.bundle.task.rank)
        content, headers, pixels = await service.computed(
            request, len(body), lambda work, stages: tensors.infer(image, told, model, stages, work)
        )
        return _sent(request, content, headers, pixels)

    def _sent(request: Request, content: bytes, headers: dict[str, str], pixels: list[int]) -> Response:
        stages = request.state.stages
        service.telemetry.predicted(stages.seconds, stages.windows, pixels)
        return Response(content, headers={**headers, "Server-Timing": stages.header(), "Vary": "Accept"})

    return app


def _check_name(name: str, service: Service) -> None:
    if name != service.model.name:
        raise Problem(404, "model-unknown", "no such model", f"found: {name[:80]}; expected: {service.model.name}")


def _handlers(app: FastAPI) -> None:
    """Every error leaves as the same kind of document."""

    def told(request: Request, problem: Problem) -> Response:
        request.state.told["code"] = problem.code
        return response(problem, request.state.request_id)

    async def problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return told(request, error)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code, title = _WORDS.get(error.status_code, ("request-malformed", str(error.detail)))
        return told(request, Problem(error.status_code, code, title, headers=error.headers))

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        found = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        return told(request, Problem(422, "parameter-invalid", "a parameter that is not allowed", found[:500]))

    async def left(request: Request, error: Exception) -> Response:
        return Response(status_code=499)

    async def ours(request: Request, error: Exception) -> Response:
        return told(request, Problem(500, "internal", "a mistake of the service", remedy="tell us the request's id"))

    app.add_exception_handler(Problem, problem)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(ClientLeft, left)
    app.add_exception_handler(Exception, ours)
