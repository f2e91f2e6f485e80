"""Sessions over HTTP: an image once, then prompts, each answered with a mask."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from seglab.interactive.openapi_sessions import ACCEPTED, BEGUN, BODY, DESCRIBED, ENDED, MASK, PICTURE, REJECTED
from seglab.interactive.prompt import MAX_POINTS, MOST_INDEX
from seglab.interactive.prompt_counters import PromptCounters
from seglab.interactive.prompting import Prompting
from seglab.interactive.small_bodies import SmallBodyRoute
from seglab.serving.dataset_routes import data_of
from seglab.serving.problems import Problem
from seglab.serving.service import Service
from seglab.serving.uploads import image_of

Axis = Literal["x", "y", "z"] | None
Index = Annotated[int | None, Query(ge=0, le=MOST_INDEX)]


class PromptBody(BaseModel):
    """A whole prompt: all points so far."""

    model_config = ConfigDict(extra="forbid")

    points: list[Annotated[list[float], Field(min_length=2, max_length=2)]] = Field([], max_length=MAX_POINTS)
    labels: list[Literal[0, 1]] = Field([], max_length=MAX_POINTS)
    box: Annotated[list[float], Field(min_length=4, max_length=4)] | None = None
    candidate: Annotated[int, Field(ge=0, le=2)] | None = None
    axis: Axis = None
    index: Annotated[int, Field(ge=0, le=MOST_INDEX)] | None = None
    anew: bool = False


_HEADER_BYTES = 4096
_LONG = ("points", "labels", "notes", "prompted")  # `GET /sessions/{id}` has them


class OutcomeBody(BaseModel):
    """Who accepted or rejected, and why, in their own words."""

    model_config = ConfigDict(extra="forbid")

    by: Annotated[str, Field(max_length=80)] = ""
    note: Annotated[str, Field(max_length=1000)] = ""


def add_sessions(app: FastAPI, service: Service, prompting: Prompting) -> None:
    """Add the routes below `/sessions` to the application of a service, which ends their process with itself."""
    counters = PromptCounters(service.telemetry.registry, lambda: prompting.sessions)
    service.ends.callback(prompting.close)
    router = APIRouter(route_class=SmallBodyRoute)

    async def ask(request: Request, asked: dict[str, Any], body: bytes = b"") -> tuple[dict[str, Any], bytes]:
        request.state.began = time.perf_counter()
        try:
            return await prompting.ask(asked, body, service.limits.deadline_seconds)
        except Problem as problem:
            counters.failed(problem.code)
            row(request, "failed", {"code": problem.code})
            raise

    def row(request: Request, event: str, fields: dict[str, Any]) -> None:
        seconds = time.perf_counter() - request.state.began
        service.rows.prompt(event, request.state.request_id, prompting.model, seconds, fields)

    @app.post("/sessions", operation_id="begin_session", status_code=201, responses=BEGUN, openapi_extra=BODY)
    async def begin(request: Request, image: str | None = None) -> JSONResponse:
        content = await (
            image_of(request, None, service.limits) if image is None else _of_data(request, service, image)
        )
        fields, _ = await ask(request, {"do": "begin", "client": _client(request)}, content)
        return JSONResponse(fields, 201, headers={"Location": f"/sessions/{fields['id']}"})

    @router.get("/sessions/{id}", operation_id="session", responses=DESCRIBED)
    async def described(id: str, request: Request) -> JSONResponse:
        return JSONResponse((await ask(request, {"do": "session", "id": id}))[0])

    @router.get("/sessions/{id}/image", operation_id="session_image", responses=PICTURE)
    async def picture(id: str, request: Request, axis: Axis = None, index: Index = None) -> Response:
        asked = {"do": "picture", "id": id, "axis": axis, "index": index}
        return Response((await ask(request, asked))[1], media_type="image/png")

    @router.get("/sessions/{id}/mask", operation_id="session_mask", responses=PICTURE)
    async def current_mask(id: str, request: Request, axis: Axis = None, index: Index = None) -> Response:
        asked = {"do": "mask", "id": id, "axis": axis, "index": index}
        return Response((await ask(request, asked))[1], media_type="image/png")

    @router.post("/sessions/{id}/predict", operation_id="prompt", responses=MASK)
    async def predict(id: str, body: PromptBody, request: Request) -> Response:
        fields, mask = await ask(request, {"do": "predict", "id": id, **body.model_dump()})
        request.state.log_fields["prompt"] = counters.answered(fields, prompting.model)
        row(request, "prompt", request.state.log_fields["prompt"])
        return _mask_answer(request, mask, fields)

    @router.post("/sessions/{id}/accept", operation_id="accept", responses=ACCEPTED)
    async def accept(
        id: str,
        request: Request,
        body: OutcomeBody | None = None,
        form: Literal["png", "rle", "polygons", "overlay"] = "png",
        tolerance_px: Annotated[float, Query(ge=0, le=100)] = 1.0,
    ) -> Response:
        outcome = (body or OutcomeBody()).model_dump()
        asked = {"do": "accept", "id": id, **outcome, "form": form, "tolerance_px": tolerance_px}
        fields, mask = await ask(request, asked)
        counters.outcomes.labels(fields["outcome"]).inc()
        row(request, fields["outcome"], fields["row"])
        headers = {"X-Mask-Id": fields["id"]}
        if "answer" in fields:
            return JSONResponse({"id": fields["id"], **fields["answer"]}, headers=headers)
        return Response(mask, media_type=fields["media_type"], headers=headers)

    @router.post("/sessions/{id}/reject", operation_id="reject", responses=REJECTED)
    async def reject(id: str, request: Request, body: OutcomeBody | None = None) -> JSONResponse:
        fields, _ = await ask(request, {"do": "reject", "id": id, **(body or OutcomeBody()).model_dump()})
        counters.outcomes.labels("rejected").inc()
        row(request, "rejected", fields["row"])
        return JSONResponse({"outcome": "rejected"})

    @router.post("/sessions/{id}/{way}", operation_id="step", responses=MASK)
    async def step(id: str, way: Literal["undo", "redo"], request: Request) -> Response:
        fields, mask = await ask(request, {"do": "step", "id": id, "way": way})
        return _mask_answer(request, mask, fields)

    @router.delete("/sessions/{id}", operation_id="end_session", status_code=204, responses=ENDED)
    async def end(id: str, request: Request) -> Response:
        await ask(request, {"do": "end", "id": id})
        return Response(status_code=204)

    app.include_router(router)


def _client(request: Request) -> str:
    """Who asks, by key or else by address, as a digest."""
    key = request.headers.get("authorization") or request.headers.get("x-api-key")
    address = request.client.host if request.client else ""
    return hashlib.sha256((key or address).encode()).hexdigest()


async def _of_data(request: Request, service: Service, image_id: str) -> bytes:
    """The stored image of an id of `GET /images`."""
    if await request.body():
        raise Problem(
            422, "parameter-invalid", "an image and the id of one", remedy="send the image, or ?image=<id> without it"
        )
    return (await data_of(service).ask({"do": "image", "id": image_id, "preview": False, "etag": ""}))[1]


def _mask_answer(request: Request, mask: bytes, fields: dict[str, Any]) -> Response:
    """The mask as a PNG with the rest in `X-Prompt`, or all of it in JSON where that is asked for."""
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({**fields, "mask": base64.b64encode(mask).decode("ascii")})
    return Response(mask, media_type="image/png", headers={"X-Prompt": _in_header(fields), "Vary": "Accept"})


def _in_header(fields: dict[str, Any]) -> str:
    """As much as proxies and clients take: of a long prompt, what the client has sent itself is left out."""
    text = json.dumps(fields)
    if len(text) <= _HEADER_BYTES:
        return text
    return json.dumps({key: value for key, value in fields.items() if key not in _LONG} | {"left_out": list(_LONG)})
