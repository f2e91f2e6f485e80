"""The page at `/volume` of the API: a volume and its mask in three planes, or masks of several models side by side;
drawn in the browser by NiiVue."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import HTMLResponse, Response

from seglab.reports.html_document import document
from seglab.serving.service import Service
from seglab.viz.palette import CONFUSED, drawn_colors, first_drawn

NIIVUE = Path(__file__).parents[1] / "vendor" / "niivue-0.69.0.umd.js"
_HERE = Path(__file__).parent
_CACHED = {"Cache-Control": "private, max-age=86400", "Content-Type": "text/javascript; charset=utf-8"}


def add_volume(app: FastAPI, service: Service) -> None:
    """Add it; a room of `seglab.serving.asgi`."""

    @app.get("/volume", include_in_schema=False)
    async def volume() -> HTMLResponse:
        return HTMLResponse(_page(service))

    @app.get("/volume/niivue.js", include_in_schema=False)
    async def niivue() -> Response:
        return Response(_niivue(), headers=_CACHED)


@cache
def _niivue() -> bytes:
    return NIIVUE.read_bytes()


def _page(service: Service) -> str:
    """HTML; what comes from elsewhere is in it as JSON that a script reads, and is set as text."""
    task, values = service.model.task, service.model.values
    rows = zip(values, task.class_names, drawn_colors(task), strict=True)
    page_data = {
        "classes": [{"value": value, "name": name, "color": color} for value, name, color in rows],
        "first": first_drawn(task),
        "differ": CONFUSED,
        "name": service.model.name,
    }
    safe = json.dumps(page_data).replace("<", "\\u003c")
    body = (_HERE / "volume.html").read_text(encoding="utf-8").replace("PAGE_DATA", safe)
    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("volume.css", "volume.js"))
    return document("Volume", body, style=style, script=script)
