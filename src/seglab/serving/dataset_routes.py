"""Routes that show the cases of a data set, where one is given."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from seglab.errors import SeglabError
from seglab.serving.errands import Errands, ProcessDied
from seglab.serving.openapi_bodies import IMAGES, STANDARD, binary, problems
from seglab.serving.problems import Problem, of_error
from seglab.serving.queueing import InferenceThread, QueueFull, Work
from seglab.serving.service import Service

_MODULE = "seglab.serving.data_process"
_WAITING = 32


class Images:
    """The cases of a data set, read by a process of their own, so that no prediction waits for a disk.

    Args:
        words: `data.root=…`, and `data=…` for other data than the model's.
        folder: exported model, which tells its data; None where no model is served.
    """

    def __init__(self, words: Sequence[str], folder: Path | None):
        self._settings = json.dumps({"words": list(words), "folder": str(folder or "")})
        self._process = Errands(_MODULE, [self._settings])
        self._worker = InferenceThread(_WAITING)
        self.listed: list[dict[str, Any]] = []
        self.split_of = ""

    def begin(self) -> None:
        """Wait until the data were found; raises `SeglabError` where they were not."""
        fields = self._process.begun()
        self.listed, self.split_of = fields["images"], fields["split_of"]

    async def ask(self, asked: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """What the process tells; raises `Problem`."""
        try:
            return await asyncio.wrap_future(self._worker.put(Work(lambda work: self._asked(asked))))
        except QueueFull as error:
            raise Problem(
                503, "service-busy", "a queue that is full", "for images of the data", headers={"Retry-After": "1"}
            ) from error

    def close(self) -> None:
        """End the process."""
        self._worker.close()
        self._process.end()

    def _asked(self, asked: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        try:
            if self._process.died:
                self._process = Errands(_MODULE, [self._settings])
                self.begin()
            return self._process.ask(asked)
        except ProcessDied as error:
            raise Problem(
                503, "data-restarting", "the process that reads the data has ended", headers={"Retry-After": "5"}
            ) from error
        except SeglabError as error:  # a file of the data set, which the client has not sent
            problem = of_error(error)
            raise Problem(404, problem.code, problem.title, remedy="seglab check-data says more") from error


class _AnyName(Convertor[str]):
    """Any text, a line break in it too, at which Starlette's own convertor stops."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("name", _AnyName())


def add_images(app: FastAPI, service: Service) -> None:
    """Add them."""

    @app.get("/images", operation_id="images", responses={200: IMAGES, **STANDARD, **problems(404, 422)})
    async def images(
        offset: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> JSONResponse:
        data = data_of(service)
        part = data.listed[offset : offset + limit]
        return JSONResponse({"count": len(data.listed), "offset": offset, "split_of": data.split_of, "images": part})

    shown: dict[int | str, dict[str, Any]] = {
        200: {"description": "The image.", "content": binary("image/png", "image/jpeg", "image/tiff", "image/bmp",
                                                             "application/gzip")},
        304: {"description": "It is still the one of If-None-Match."},
        **STANDARD,
        **problems(404, 422, 503),
    }  # fmt: skip

    @app.get("/images/{id:name}/truth", operation_id="truth", responses=shown)
    async def truth(id: str, request: Request) -> Response:
        return await _sent(request, {"do": "truth", "id": id})

    @app.get("/images/{id:name}", operation_id="image", responses=shown)
    async def image(id: str, request: Request, preview: bool = False) -> Response:
        return await _sent(request, {"do": "image", "id": id, "preview": preview})

    async def _sent(request: Request, asked: dict[str, Any]) -> Response:
        known = request.headers.get("if-none-match", "").removeprefix("W/").strip('"')
        fields, content = await data_of(service).ask({**asked, "etag": known})
        headers = {"ETag": f'"{fields["etag"]}"', "Cache-Control": "private, no-cache"}
        if not fields["media_type"]:
            return Response(status_code=304, headers=headers)
        return Response(content, headers={**headers, "Content-Type": fields["media_type"]})


def data_of(service: Service) -> Images:
    """The data that a service shows; raises `Problem` where it shows none."""
    if service.images is None:
        raise Problem(
            404,
            "data-missing",
            "a service without data to show",
            remedy="start it with data: seglab serve … data.root=<folder>",
        )
    return service.images
