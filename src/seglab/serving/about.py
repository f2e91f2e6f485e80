"""Routes that tell of the service and its model."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import FastAPI
from starlette.responses import HTMLResponse, JSONResponse, Response

from seglab.serving import protocol
from seglab.serving.docs_page import docs_page
from seglab.serving.openapi_bodies import STANDARD, problems
from seglab.serving.page import page, page_without_model
from seglab.serving.problems import Problem
from seglab.serving.served import ServedModel
from seglab.serving.service import Service
from seglab.version import version

_METRICS = "text/plain; version=0.0.4; charset=utf-8"
_LEAVING: dict[int | str, dict[str, Any]] = {503: {"description": "About to leave."}}


def add_about(app: FastAPI, service: Service) -> None:
    """Add them."""

    @app.get("/", response_class=HTMLResponse, operation_id="page", responses=STANDARD)
    async def start() -> HTMLResponse:
        return HTMLResponse(page(service.model) if service.bundle else page_without_model())

    @app.get("/docs", response_class=HTMLResponse, operation_id="docs", responses=STANDARD)
    async def docs() -> HTMLResponse:
        return HTMLResponse(docs_page(app.openapi()))

    def readiness() -> JSONResponse:
        ready = service.ready
        return JSONResponse(service.health(), 200 if ready else 503, headers={} if ready else {"Retry-After": "5"})

    @app.get("/health", operation_id="health", responses={**STANDARD, **_LEAVING})
    async def health() -> JSONResponse:
        return readiness()

    @app.get("/v2/health/ready", operation_id="ready", responses={**STANDARD, **_LEAVING})
    async def ready() -> JSONResponse:
        return readiness()

    @app.get("/v2/health/live", operation_id="live", responses=STANDARD)
    async def live() -> JSONResponse:
        return JSONResponse({"live": True})

    @app.get("/v2", operation_id="server", responses=STANDARD)
    async def server() -> JSONResponse:
        return JSONResponse({"name": "seglab", "version": version(), "extensions": ["binary_tensor_data"]})

    @app.get("/v2/models/{name}", operation_id="model", responses={**STANDARD, **problems(404, 422)})
    async def metadata(name: str) -> JSONResponse:
        model = service.model
        check_name(name, model)
        fields = {
            "name": model.name,
            "versions": [model.number],
            "platform": f"seglab_{model.runtime}",
            **protocol.metadata(model),
            "precision": model.precision,
            "threads": model.threads,
            "members": model.members,
            "stages": model.stages,
            "postprocessing": list(model.postprocessing),
            "run": model.run,
            "registered_version": model.version or None,
            "size": list(model.size),
            "resize_mode": model.resize_mode,
            "classes": model.classes(),
            "unscored": list(model.task.unscored),
            "regions": [asdict(region) for region in model.task.regions],
            "ignore_label": model.task.ignore_label,
            "limits": service.limits.shown(),
        }
        return JSONResponse(fields)

    @app.get(
        "/v2/models/{name}/ready", operation_id="model_ready", responses={**STANDARD, **problems(404, 422), **_LEAVING}
    )
    async def model_ready(name: str) -> JSONResponse:
        check_name(name, service.model)
        return readiness()

    @app.get(
        "/v2/models/{name}/versions/{version}",
        operation_id="model_version",
        responses={**STANDARD, **problems(404, 422)},
    )
    async def metadata_of_version(name: str, version: str) -> JSONResponse:
        check_name(name, service.model, version)
        return await metadata(name)

    @app.get(
        "/v2/models/{name}/versions/{version}/ready",
        operation_id="model_version_ready",
        responses={**STANDARD, **problems(404, 422), **_LEAVING},
    )
    async def version_ready(name: str, version: str) -> JSONResponse:
        check_name(name, service.model, version)
        return readiness()

    @app.get("/classes", operation_id="classes", responses=STANDARD)
    async def classes() -> JSONResponse:
        model = service.model
        return JSONResponse({"bundle": model.label, "classes": model.classes()})

    @app.get("/metrics", operation_id="metrics", responses={200: {"content": {"text/plain": {}}}, **STANDARD})
    async def metrics() -> Response:
        return Response(service.telemetry.page(), headers={"Content-Type": _METRICS})


def check_name(name: str, model: ServedModel, version: str | None = None) -> None:
    """See that the model, and where it is asked for its version, is the one of an address; raises `Problem`."""
    if name != model.name:
        raise Problem(404, "model-unknown", "no such model", f"found: {name[:80]}; expected: {model.name}")
    if version is not None and version != model.number:
        raise Problem(
            404,
            "model-unknown",
            "a version of the model that does not answer now",
            f"found: {version[:80]}; expected: {model.number}",
            remedy="leave the version out for whichever answers",
        )
