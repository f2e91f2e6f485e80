"""Routes whose bodies are short: what is longer than any prompt is refused before it is parsed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from seglab.serving.problems import Problem

MOST_BYTES = 256 * 2**10  # a prompt of 1000 points has less than a quarter of that


class SmallBodyRoute(APIRoute):
    """A route that raises `Problem` for a body of more than `MOST_BYTES`: parsing it would hold up all clients."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler behind that check."""
        handle = super().get_route_handler()

        async def checked(request: Request) -> Response:
            size = len(await request.body())
            if size > MOST_BYTES:
                raise Problem(
                    413,
                    "request-too-large",
                    "a body that is longer than any prompt",
                    f"found: {size:,} bytes; expected: at most {MOST_BYTES:,}",
                    remedy="click where the mask is wrong; a box says more than thousands of points",
                )
            return await handle(request)

        return checked
