"""The plain page `/annotate`, and the files of the canvas, which the application's page loads from here too."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from seglab.serving.openapi_bodies import STANDARD
from seglab.serving.problems import Problem
from seglab.serving.service import Service

FOLDER = Path(__file__).parent
_PAGE = "annotate.html"
_KINDS = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
# Nothing but our own files runs or is asked for; pictures are made from what the service answered.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def add_annotate(app: FastAPI, service: Service) -> None:
    """Add them; they need `/sessions`."""
    files = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.suffix in _KINDS}
    page = (FOLDER / _PAGE).read_text(encoding="utf-8")

    @app.get("/annotate", response_class=HTMLResponse, operation_id="annotate", responses=STANDARD)
    async def annotate() -> HTMLResponse:
        return HTMLResponse(page, headers=_HEADERS)

    @app.get("/annotate/{file}", include_in_schema=False)
    async def part(file: str, request: Request) -> Response:
        if file not in files:
            raise Problem(404, "file-missing", "no such file", f"found: {file[:80]}; expected: {', '.join(files)}")
        content = files[file]
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        headers = {**_HEADERS, "ETag": etag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match", "").removeprefix("W/") == etag:
            return Response(status_code=304, headers=headers)
        return Response(content, headers={**headers, "Content-Type": _KINDS[Path(file).suffix]})
