"""The process: a port, a model, and an end that loses nobody's request."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from seglab.serving.address import Place
from seglab.serving.errands import keep_for_good
from seglab.serving.service import Service
from seglab.serving.service_log import take_logging
from seglab.serving.slow_heads import with_head_within

_BACKLOG = 128


def serve(
    service: Service,
    app: ASGIApp,
    place: Place,
    port: socket.socket,
    *,
    pages: bool = False,
    begun: Callable[[], None] = lambda: None,
) -> None:
    """Serve until a signal; returns when everything in flight is answered, and closes the service.

    Args:
        service: that answers.
        app: what is served, see `make_app`.
        place: how.
        port: as `bound` gave it.
        pages: whether it has any, which talk over WebSockets and are told of the beginning and the end.
        begun: called when clients can come.
    """
    take_logging()
    config = uvicorn.Config(
        app,
        http=with_head_within(place.limits.body_seconds),
        ws="websockets-sansio" if pages else "none",
        ws_max_size=place.limits.body_bytes,
        loop="asyncio",
        lifespan="on" if pages else "off",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        root_path=place.root_path,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=int(place.limits.deadline_seconds) + 1,
    )
    keep_for_good()
    try:
        _Server(config, service, place.drain_seconds, begun).run(sockets=[port])
    finally:
        service.close()


class _Server(uvicorn.Server):
    """Ends in two steps: not ready, and after a while no more."""

    def __init__(self, config: uvicorn.Config, service: Service, drain_seconds: float, begun: Callable[[], None]):
        super().__init__(config)
        self._service, self._drain_seconds = service, drain_seconds
        self._begun = begun
        self._end = float("inf")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Tells when it listens."""
        await super().startup(sockets)
        self._begun()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """On a signal; a second one ends at once."""
        if self._service.draining:
            self.should_exit = self.force_exit = True
            return
        self._service.drain()
        self._end = time.monotonic() + (0 if sig == signal.SIGINT else self._drain_seconds)

    async def on_tick(self, counter: int) -> bool:
        """Whether it is over."""
        if time.monotonic() >= self._end:
            self.should_exit = True
        return await super().on_tick(counter)
