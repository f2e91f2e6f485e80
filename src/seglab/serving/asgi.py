"""The application: its routes, room by room, and what stands around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastapi import FastAPI
from starlette.types import ASGIApp

from seglab.serving.about import add_about
from seglab.serving.dataset_routes import add_images
from seglab.serving.error_answers import add_error_answers
from seglab.serving.keys import Keys
from seglab.serving.predicting import add_predicting
from seglab.serving.request_guard import Guard
from seglab.serving.service import Service
from seglab.version import version

Room = Callable[[FastAPI, Service], None]


def make_app(service: Service, keys: Sequence[str] = (), rooms: Sequence[Room] = (), own: str = "") -> ASGIApp:
    """The application with everything around it.

    Args:
        service: that answers.
        keys: any of which opens it; empty where none is asked for.
        rooms: add routes of parts that stand above this one.
        own: key of the pages of this process; empty where there are none.
    """
    app = routes(service, rooms)
    return Guard(app, service.limits, service.telemetry, lambda: service.bundle, service.rows, Keys(keys, own))


def routes(service: Service, rooms: Sequence[Room] = ()) -> FastAPI:
    """The application alone, whose `openapi()` is the document. More routes are one more call here."""
    app = FastAPI(
        title="seglab",
        version=version().split("+")[0],
        description="Images in, masks out. HEAD is answered as GET is, without the body.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # clients do not send a body twice, and behind a proxy it would lead elsewhere
    )
    add_error_answers(app)
    add_about(app, service)
    add_predicting(app, service)
    add_images(app, service)
    for add in rooms:
        add(app, service)
    return app
