"""Routes that take an image and answer with its mask."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Query
from starlette.requests import Request
from starlette.responses import Response

from seglab.serving import protocol
from seglab.serving.about import check_name
from seglab.serving.negotiation import negotiated
from seglab.serving.openapi_bodies import INFER_ANSWERS, INFER_BODY, PREDICT_BODY, predict_answers
from seglab.serving.served import ServedModel
from seglab.serving.service import Computed, Service
from seglab.serving.uploads import image_of


def add_predicting(app: FastAPI, service: Service) -> None:
    """Add them."""

    @app.post("/predict", operation_id="predict", responses=predict_answers(), openapi_extra=PREDICT_BODY)
    async def predict(
        request: Request,
        palette: bool = True,
        rle: bool = False,
        polygons: bool = False,
        tolerance_px: Annotated[float, Query(ge=0, le=100)] = 1.0,
    ) -> Response:
        rank = service.model.task.rank
        asked = {"media_type": negotiated(request.headers.get("accept", ""), rank), "palette": palette}
        asked |= {"rle": rle, "polygons": polygons, "tolerance_px": tolerance_px}
        asked["watched"] = request.state.watched
        content = await image_of(request, rank, service.limits)
        return _sent(await service.computed(request, {"do": "predict", **asked}, content))

    @app.post("/v2/models/{name}/infer", operation_id="infer", responses=INFER_ANSWERS, openapi_extra=INFER_BODY)
    async def infer(name: str, request: Request) -> Response:
        return await infer_with(name, request, None)

    @app.post(
        "/v2/models/{name}/versions/{version}/infer",
        operation_id="infer_version",
        responses=INFER_ANSWERS,
        openapi_extra=INFER_BODY,
    )
    async def infer_version(name: str, version: str, request: Request) -> Response:
        return await infer_with(name, request, version)

    async def infer_with(name: str, request: Request, version: str | None) -> Response:
        check_name(name, service.model, version)
        asked = {"do": "infer", "header_length": request.headers.get(protocol.HEADER_LENGTH)}
        asked["watched"] = request.state.watched

        def check(model: ServedModel) -> None:
            check_name(name, model, version)  # another may have taken over while it waited

        return _sent(await service.computed(request, asked, await request.body(), check))


def _sent(found: Computed) -> Response:
    return Response(found.body, headers={**found.headers, "Server-Timing": found.server_timing, "Vary": "Accept"})
